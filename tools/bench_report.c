/* Reading reports of softfocus-bench: see bench_report.h. */
#include "bench_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "softfocus/softfocus.h"
#include "tests/cases/cases.h"

const char *softfocus_bench_string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "";
}

double softfocus_bench_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static json_t *load_json(const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "r");
    struct stat status;
    if (file == NULL)
        return softfocus_complain(path, "%s", strerror(errno)), NULL;
    json_t *json = NULL;
    json_error_t error;
    errno = 0;
    if (fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode))
        softfocus_complain(path, "%s", strerror(EISDIR));
    else if ((json = json_loadf(file, 0, &error)) == NULL && ferror(file))
        softfocus_complain(path, "%s", errno != 0 ? strerror(errno) : "it cannot be read");
    else if (json == NULL)
        softfocus_complain(path, "it cannot be read as JSON: line %d: %s", error.line, error.text);
    if (!is_stdin)
        (void)fclose(file); /* only read */
    return json;
}

json_t *softfocus_bench_load(const char *path)
{
    json_t *report = load_json(path);
    if (report == NULL)
        return NULL;
    const json_t *context = json_object_get(report, "context");
    if (softfocus_bench_string(context, "softfocus_version")[0] == '\0' ||
        !json_is_array(json_object_get(report, "benchmarks"))) {
        softfocus_complain(path, "it is no report of softfocus-bench");
        json_decref(report);
        return NULL;
    }
    return report;
}

/* PEER_KERNEL: the kernel is one that we have, the peer what stands before it. */
static void split_peer(const char *name, name_parts *parts)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < softfocus_case_kernel_count(); i++) {
        const char *kernel = softfocus_case_kernel_at(i)->name;
        size_t kernel_length = strlen(kernel);
        if (length > kernel_length + 1 && strcmp(name + length - kernel_length, kernel) == 0) {
            snprintf(parts->kernel, sizeof parts->kernel, "%s", kernel);
            snprintf(parts->by, sizeof parts->by, "%.*s", (int)(length - kernel_length - 1), name);
        }
    }
}

/* An ISA of another build or CPU family is one too: KERNEL/f32/ISA/SHAPE has a third slash, and a shape a
 * colon first. */
name_parts softfocus_bench_split_name(const char *name)
{
    name_parts parts = {0};
    const char *dtype = strchrnul(name, '/');
    const char *third = *dtype == '/' ? strchrnul(dtype + 1, '/') : dtype;
    third += *third == '/';
    const char *after = strchrnul(third, '/');
    snprintf(parts.kernel, sizeof parts.kernel, "%.*s", (int)(dtype - name), name);
    if (*after == '/' && memchr(third, ':', (size_t)(after - third)) == NULL) {
        snprintf(parts.by, sizeof parts.by, "%.*s", (int)(after - third), third);
        third = after + 1;
    } else {
        char first[64];
        memcpy(first, parts.kernel, sizeof first);
        split_peer(first, &parts);
    }
    snprintf(parts.shape, sizeof parts.shape, "%s", third);
    return parts;
}

bool softfocus_bench_is_row(const json_t *benchmark)
{
    if (json_is_true(json_object_get(benchmark, "error_occurred")))
        return false;
    return strcmp(softfocus_bench_string(benchmark, "aggregate_name"), "median") == 0 ||
           (strcmp(softfocus_bench_string(benchmark, "run_type"), "iteration") == 0 &&
            softfocus_bench_number(benchmark, "repetitions") <= 1);
}
