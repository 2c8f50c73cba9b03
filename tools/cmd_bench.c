/* softfocus bench: starts softfocus-bench (bench/), a program of its own because Google Benchmark is C++, and
 * makes a table of its JSON. Called by main.c. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_report.h"
#include "command.h"
#include "softfocus/softfocus.h"
#include "table.h"

typedef struct request {
    char *filter; /* NULL, or --benchmark_filter=REGEX, from malloc */
    bool quick, json;
    const char *roofline; /* a folder, or NULL */
    bool compare;         /* the two files of `rest` */
    char **rest; /* for softfocus-bench as they are */
    int rest_count;
} request;

enum { REASON_SIZE = 512 }; /* of a line that says why a program failed */

/* What a program has written. */
typedef struct text {
    char *bytes; /* ends in NUL */
    size_t size;
} text;

/* ---- Running softfocus-bench --------------------------------------------------------------------------- */

/* Where it is: named by SOFTFOCUS_BENCH, in the build tree, beside this program, or installed. */
static bool find_program(char path[PATH_MAX])
{
    const char *named = getenv("SOFTFOCUS_BENCH");
    if (named != NULL && named[0] != '\0') {
        snprintf(path, PATH_MAX, "%s", named);
        return access(path, X_OK) == 0 ||
               (softfocus_complain(named, "%s (named by SOFTFOCUS_BENCH)", strerror(errno)), false);
    }
    char folder[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    static const char *const places[] = {"../bench/", "", "../libexec/softfocus/"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (snprintf(path, PATH_MAX, "%s/%ssoftfocus-bench", folder, places[i]) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
    snprintf(path, PATH_MAX, "%s/softfocus/softfocus-bench", SOFTFOCUS_LIBEXECDIR);
    if (access(path, X_OK) == 0)
        return true;
    softfocus_complain(NULL, "softfocus-bench was not found; it is built where Google Benchmark is there, and "
                             "the environment variable SOFTFOCUS_BENCH may name it");
    return false;
}

/* The command line: ours, then what the user gave for softfocus-bench, which wins. `last` may be NULL. */
static char **make_arguments(const request *r, char *program, const char *last)
{
    char **arguments = softfocus_tool_allocate((size_t)r->rest_count + 8, sizeof *arguments);
    int count = 0;
    arguments[count++] = program;
    arguments[count++] = (char *)(uintptr_t) "--benchmark_format=json";
    if (r->quick)
        arguments[count++] = (char *)(uintptr_t) "--quick";
    if (r->roofline != NULL)
        arguments[count++] = (char *)(uintptr_t) "--roof";
    if (r->roofline != NULL || r->json) /* every repetition, for --compare */
        arguments[count++] = (char *)(uintptr_t) "--benchmark_display_aggregates_only=false";
    if (r->filter != NULL)
        arguments[count++] = r->filter;
    for (int i = 0; i < r->rest_count; i++)
        arguments[count++] = r->rest[i];
    if (last != NULL)
        arguments[count++] = (char *)(uintptr_t)last;
    return arguments;
}

/* Starts a program with its standard output in a pipe, and its standard error in a file unless `errors` is NULL: -1 after
   a message, or the end to read from. */
static int start(char **arguments, FILE *errors, pid_t *child)
{
    int ends[2];
    if (pipe(ends) != 0)
        return softfocus_complain(arguments[0], "%s", strerror(errno)), -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (errors != NULL)
        posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int error = posix_spawn(child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error == 0)
        return ends[0];
    close(ends[0]);
    softfocus_complain(arguments[0], "%s", strerror(error));
    return -1;
}

/* How many of `total` benchmarks have been reported: one line on a terminal, written over. */
typedef struct progress {
    size_t total, done;
    char last[256];
} progress;

/* Called with each whole line of the JSON. Google Benchmark reports a benchmark's aggregates together, each
   with the benchmark's run_name. */
static void show_progress(progress *p, const char *line)
{
    static const char key[] = "\"run_name\": \"";
    const char *name = strstr(line, key);
    if (name == NULL)
        return;
    name += strlen(key);
    int length = (int)strcspn(name, "\"");
    char current[sizeof p->last];
    snprintf(current, sizeof current, "%.*s", length, name);
    if (strcmp(current, p->last) == 0)
        return;
    memcpy(p->last, current, sizeof current);
    p->done++;
    fprintf(stderr, "\r\33[K[%zu/%zu] %s", p->done, p->total, current);
}

/* The first line that a program wrote to standard error, where it begins with its name without that. */
static void read_reason(FILE *errors, const char *program, char reason[REASON_SIZE])
{
    reason[0] = '\0';
    if (errors == NULL)
        return;
    rewind(errors);
    if (fgets(reason, REASON_SIZE, errors) == NULL)
        reason[0] = '\0';
    reason[strcspn(reason, "\n")] = '\0';
    size_t length = strlen(program);
    if (strncmp(reason, program, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
        memmove(reason, reason + length + 2, strlen(reason + length + 2) + 1);
}

/* Runs a program and collects its output; `p` and `errors`, a temporary file for its standard error, may be NULL. False
   after a message, which is the program's own where it is in `errors`. */
static bool collect(char **arguments, progress *p, FILE *errors, text *output)
{
    *output = (text){0};
    pid_t child;
    int end = start(arguments, errors, &child);
    if (end < 0)
        return false;
    FILE *stream = fdopen(end, "r");
    size_t capacity;
    FILE *memory = open_memstream(&output->bytes, &output->size);
    char *line = NULL;
    for (ssize_t length;
         stream != NULL && memory != NULL && (length = getline(&line, &capacity, stream)) > 0;) {
        fwrite(line, 1, (size_t)length, memory);
        if (p != NULL)
            show_progress(p, line);
    }
    if (p != NULL)
        fputs("\r\33[K", stderr);
    free(line);
    if (stream != NULL)
        fclose(stream);
    bool collected = memory != NULL && fclose(memory) == 0 && stream != NULL;
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return softfocus_complain(arguments[0], "ended by signal %d (%s)", WTERMSIG(status),
                                  strsignal(WTERMSIG(status))),
               false;
    if (!collected)
        return softfocus_complain(arguments[0], "%s", strerror(errno)), false;
    if (WEXITSTATUS(status) == 0)
        return true;
    char reason[REASON_SIZE];
    read_reason(errors, arguments[0], reason);
    if (reason[0] != '\0')
        softfocus_complain(arguments[0], "%s", reason);
    else
        softfocus_complain(arguments[0], "ended with exit status %d", WEXITSTATUS(status));
    return false;
}

static size_t count_lines(const text *output)
{
    size_t lines = 0;
    for (size_t i = 0; i < output->size; i++)
        lines += output->bytes[i] == '\n';
    return lines;
}

/* How many benchmarks there will be. Takes milliseconds, and fails where the filter is wrong, or chooses nothing, or an
   option is unknown, with one line that says so. */
static bool count_benchmarks(const request *r, char *program, size_t *count)
{
    FILE *errors = tmpfile();
    if (errors == NULL)
        return softfocus_complain("a temporary file", "%s", strerror(errno)), false;
    text names;
    char **arguments = make_arguments(r, program, "--benchmark_list_tests=true");
    bool good = collect(arguments, NULL, errors, &names);
    *count = good ? count_lines(&names) : 0;
    free(names.bytes);
    free(arguments);
    (void)fclose(errors);
    return good;
}

/* The benchmark's JSON. */
static bool run_benchmark(const request *r, char *program, text *output)
{
    progress shown = {0};
    bool terminal = isatty(STDERR_FILENO);
    bool good = count_benchmarks(r, program, &shown.total);
    *output = (text){0};
    if (good) {
        char **arguments = make_arguments(r, program, NULL);
        good = collect(arguments, terminal ? &shown : NULL, NULL, output);
        free(arguments);
    }
    return good;
}

/* ---- The table ----------------------------------------------------------------------------------------- */

/* A kernel and a shape stand where they begin, so that what is compared is one block. */
static void add_row(table *t, const json_t *benchmark, name_parts *previous)
{
    name_parts parts = softfocus_bench_split_name(softfocus_bench_string(benchmark, "run_name"));
    bool same = strcmp(parts.kernel, previous->kernel) == 0 && strcmp(parts.shape, previous->shape) == 0;
    *previous = parts;
    softfocus_table_cell(t, "%s", same ? "" : parts.kernel);
    softfocus_table_cell(t, "%s", same ? "" : parts.shape);
    softfocus_table_cell(t, "%s", parts.by);
    softfocus_table_cell(t, "%.3f", softfocus_bench_number(benchmark, "ns_per_element"));
    softfocus_table_cell(t, "%.1f", 1e-9 * softfocus_bench_number(benchmark, "bytes_per_second"));
    softfocus_table_cell(t, "%.2f", softfocus_bench_number(benchmark, "speedup_over_scalar"));
    double share = softfocus_bench_number(benchmark, "roof_share");
    if (share > 0.0)
        softfocus_table_cell(t, "%.0f %%", 100.0 * share);
    else
        softfocus_table_cell(t, "-");
}

static void print_context(const json_t *context)
{
    printf("softfocus %s on %s\n", softfocus_bench_string(context, "softfocus_version"),
           softfocus_bench_string(context, "cpu_model"));
    printf("compiler: %s, %s\n", softfocus_bench_string(context, "compiler"), softfocus_bench_string(context, "flags"));
    puts("one thread; medians; GB/s: what a call has to read and write at least; x scalar: speed-up over "
         "scalar code;\nof roof: the share of what this CPU can do with these operations, or this memory\n");
}

/* How many rows there are. */
static size_t print_table(const json_t *report)
{
    print_context(json_object_get(report, "context"));
    table *t = softfocus_table_new("lllrrrr");
    static const char *const heads[] = {"kernel", "shape", "by", "ns/element", "GB/s", "x scalar",
                                        "of roof"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        softfocus_table_cell(t, "%s", heads[i]);
    name_parts previous = {0};
    size_t index, rows = 0;
    const json_t *benchmark;
    json_array_foreach(json_object_get(report, "benchmarks"), index, benchmark)
    {
        if (!softfocus_bench_is_row(benchmark))
            continue;
        add_row(t, benchmark, &previous);
        rows++;
    }
    softfocus_table_print(t, stdout);
    return rows;
}

static int report_benchmarks(const char *program, const text *output)
{
    json_error_t error;
    json_t *report = json_loadb(output->bytes, output->size, 0, &error);
    if (report == NULL)
        return softfocus_complain(program, "its JSON cannot be read: line %d: %s", error.line, error.text);
    size_t rows = print_table(report);
    json_decref(report);
    return rows > 0 ? 0 : softfocus_complain(program, "no benchmark ran");
}

/* ---- The command --------------------------------------------------------------------------------------- */

enum { OPTION_JSON = 256, OPTION_QUICK, OPTION_ROOFLINE, OPTION_COMPARE };

static void check_arguments(const struct argp_state *state, const request *r)
{
    if (r->compare && (r->filter != NULL || r->quick || r->json || r->roofline != NULL))
        softfocus_usage_error(state, "--compare times nothing: no other option goes with it");
    if (r->compare && r->rest_count != 2)
        softfocus_usage_error(state, "--compare: two reports are expected");
    if (r->compare && strcmp(r->rest[0], "-") == 0 && strcmp(r->rest[1], "-") == 0)
        softfocus_usage_error(state, "--compare: the reports cannot both be read from standard input");
    if (r->roofline != NULL && r->json)
        softfocus_usage_error(state, "--json and --roofline exclude each other: DIR/roofline.json is the JSON");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case 'f':
        free(r->filter);
        if (asprintf(&r->filter, "--benchmark_filter=%s", argument) < 0)
            return ENOMEM;
        return 0;
    case OPTION_QUICK:
        r->quick = true;
        return 0;
    case OPTION_JSON:
        r->json = true;
        return 0;
    case OPTION_ROOFLINE:
        r->roofline = argument;
        return 0;
    case OPTION_COMPARE:
        r->compare = true;
        return 0;
    case ARGP_KEY_ARGS:
        r->rest = state->argv + state->next;
        r->rest_count = state->argc - state->next;
        return 0;
    case ARGP_KEY_END:
        check_arguments(state, r);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"filter", 'f', "REGEX", 0,
     "Time what matches alone, such as 'log_softmax/f32/avx2' (a leading '-' negates)", 0},
    {"quick", OPTION_QUICK, NULL, 0, "Fewer repetitions, and no large tensors", 0},
    {"json", OPTION_JSON, NULL, 0, "Print Google Benchmark's JSON as it is", 0},
    {"roofline", OPTION_ROOFLINE, "DIR", 0,
     "Time what this CPU can do at most too, and write DIR/roofline.json, .svg and .html (needs gnuplot)", 0},
    {"compare", OPTION_COMPARE, NULL, 0,
     "Time nothing: compare two reports, which --json or --roofline wrote on two machines or with two builds (- for "
     "standard input)",
     0},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[-- ARGUMENT...]\n--compare A.json B.json",
    .doc = "Time every kernel on every ISA that this CPU has, and the libraries that were found when it was "
           "built.\v"
           "Starts softfocus-bench and makes a table of what it reports; a benchmark is "
           "KERNEL/f32/ISA/SHAPE. What follows -- is handed to softfocus-bench ('softfocus-bench --help' "
           "lists it). The environment variable SOFTFOCUS_BENCH may name another softfocus-bench.",
};

int softfocus_command_bench(int argc, char **argv)
{
    request r = {0};
    softfocus_parse_command_line(&argp, argc, argv, &r);

    if (r.compare)
        return softfocus_bench_compare(r.rest[0], r.rest[1]);
    bool made = false;
    int status = STATUS_FAILED;
    char program[PATH_MAX];
    text output = {0};
    if ((r.roofline == NULL || softfocus_bench_can_write_roofline(r.roofline, &made)) && find_program(program) &&
        run_benchmark(&r, program, &output)) {
        if (r.roofline != NULL)
            status = softfocus_bench_write_roofline(r.roofline, output.bytes, output.size);
        else if (r.json)
            status = fwrite(output.bytes, 1, output.size, stdout) == output.size
                         ? 0
                         : softfocus_complain("standard output", "%s", strerror(errno));
        else
            status = report_benchmarks(program, &output);
    }
    if (status != 0 && made)
        (void)rmdir(r.roofline); /* unless something is in it */
    free(output.bytes);
    free(r.filter);
    return status;
}
