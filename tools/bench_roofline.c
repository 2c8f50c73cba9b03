/* softfocus bench --roofline DIR: what softfocus-bench reported with --roof, as DIR/roofline.json (as it is),
 * a picture made by gnuplot (roofline.svg) and a page that needs no other file (roofline.html). What roofs
 * are: bench/roof/roof.h. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_report.h"
#include "command.h"

/* ---- gnuplot ------------------------------------------------------------------------------------------- */

/* The exit status; -1: it cannot be started. Its standard output goes with ours to standard error. */
static int run_gnuplot(const char *argument)
{
    char name[] = "gnuplot", copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", argument);
    char *arguments[] = {name, copy, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    pid_t child;
    int error = posix_spawnp(&child, name, &actions, NULL, arguments, environ), status = -1;
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool softfocus_bench_have_gnuplot(void)
{
    const char *path = getenv("PATH");
    for (const char *at = path != NULL ? path : "/usr/bin"; *at != '\0';) {
        char program[PATH_MAX];
        size_t length = strcspn(at, ":");
        snprintf(program, sizeof program, "%.*s/gnuplot", (int)length, at);
        if (access(program, X_OK) == 0)
            return true;
        at += length + (at[length] == ':');
    }
    softfocus_complain(NULL, "--roofline draws with gnuplot, which was not found (Debian: gnuplot-nox)");
    return false;
}

/* ---- The picture --------------------------------------------------------------------------------------- */

static bool is_limit(const name_parts *parts)
{
    return strncmp(parts->kernel, "stream_", 7) == 0 || strcmp(parts->kernel, "word") == 0;
}

static bool is_ours(const json_t *benchmark, const name_parts *parts)
{
    return !is_limit(parts) && softfocus_bench_number(benchmark, "roof_share") > 0.0;
}

/* The kernels in the order of the report, each once. */
enum { MAX_KERNELS = 16 };
typedef struct names {
    char name[MAX_KERNELS][64];
    size_t count;
} names;

static void keep_name(names *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->name[i], name) == 0)
            return;
    if (list->count < MAX_KERNELS)
        snprintf(list->name[list->count++], sizeof list->name[0], "%s", name);
}

/* Goes over the rows of the report: benchmark and parts are set in the statement that follows. */
#define EACH_ROW(report, benchmark, parts)                                                                   \
    size_t index_;                                                                                           \
    const json_t *(benchmark);                                                                               \
    name_parts(parts);                                                                                       \
    json_array_foreach(                                                                                      \
        json_object_get(report, "benchmarks"), index_,                                                       \
        benchmark) if (softfocus_bench_is_row(benchmark) &&                                                  \
                       ((parts) = softfocus_bench_split_name(softfocus_bench_string(benchmark, "run_name")), \
                        true))

static double limit_of(const json_t *report, const char *kernel, const char *isa, const char *shape,
                       const char *counter)
{
    double found = 0.0;
    EACH_ROW(report, benchmark, parts)
    {
        if (strcmp(parts.kernel, kernel) == 0 && strcmp(parts.by, isa) == 0 &&
            strcmp(parts.shape, shape) == 0)
            found = softfocus_bench_number(benchmark, counter);
    }
    return found;
}

/* Bytes that a call must move, per element. */
static double bytes_per_element(const json_t *benchmark)
{
    return 1e-9 * softfocus_bench_number(benchmark, "bytes_per_second") *
           softfocus_bench_number(benchmark, "ns_per_element");
}

/* The classical picture, of one ISA: operations per second over operations per byte; the levels' lines and
   the peaks' come from measurements too. */
static void plot_roof(FILE *out, const json_t *report, const names *kernels, const char *isa)
{
    static const char *const levels[] = {"level:L1", "level:L2", "level:L3", "level:DRAM"};
    static const char *const peaks[] = {"vf_mul_add", "vf_add", "vi_lookup"};
    for (size_t k = 0; k < kernels->count; k++) {
        fprintf(out, "$roof%zu << END\n", k);
        EACH_ROW(report, benchmark, parts)
        {
            if (!is_ours(benchmark, &parts) || strcmp(parts.kernel, kernels->name[k]) != 0 ||
                strcmp(parts.by, isa) != 0)
                continue;
            double operations = softfocus_bench_number(benchmark, "operations_per_element");
            fprintf(out, "%g %g\n", operations / bytes_per_element(benchmark),
                    operations / softfocus_bench_number(benchmark, "ns_per_element"));
        }
        fputs("0.001 NaN\nEND\n", out);
    }
    fprintf(out,
            "set title \"operations of %s and their roofs\"\nset xlabel \"operations per byte\"\n"
            "set ylabel \"10^9 operations per second\"\nset logscale xy\nset xrange [0.5:64]\nset yrange "
            "[1:1000]\nplot ",
            isa);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        double bytes = fmax(limit_of(report, "stream_copy", isa, levels[i], "bytes_per_second"),
                            limit_of(report, "stream_copy_nt", isa, levels[i], "bytes_per_second"));
        if (bytes > 0.0)
            fprintf(out, "%g * x with lines lc rgb '#999999' dt %zu title 'copy, %s: %.0f GB/s', ",
                    1e-9 * bytes, i + 1, levels[i] + strlen("level:"), 1e-9 * bytes);
    }
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        double rate = limit_of(report, "word", isa, peaks[i], "elements_per_second");
        if (rate > 0.0)
            fprintf(out, "%g with lines lc rgb '#cc3333' dt %zu title '%s alone: %.0f', ", 1e-9 * rate, i + 1,
                    peaks[i], 1e-9 * rate);
    }
    for (size_t k = 0; k < kernels->count; k++)
        fprintf(out, "%s$roof%zu with points pt %zu ps 0.7 title '%s'", k > 0 ? ", " : "", k, k + 4,
                kernels->name[k]);
    fputs("\nunset logscale\nset autoscale\n", out);
}

/* Time over the number of classes, rows alone, all kernels on one ISA. */
static void plot_classes(FILE *out, const json_t *report, const names *kernels, const char *isa)
{
    for (size_t k = 0; k < kernels->count; k++) {
        fprintf(out, "$classes%zu << END\n", k);
        EACH_ROW(report, benchmark, parts)
        {
            const char *classes = strstr(parts.shape, "/classes:");
            if (is_ours(benchmark, &parts) && strcmp(parts.kernel, kernels->name[k]) == 0 &&
                strcmp(parts.by, isa) == 0 && strncmp(parts.shape, "rows:", 5) == 0 && classes != NULL)
                fprintf(out, "%s %g\n", classes + strlen("/classes:"),
                        softfocus_bench_number(benchmark, "ns_per_element"));
        }
        fputs("0.001 NaN\nEND\n", out);
    }
    fprintf(out,
            "set title \"by number of classes, %s, rows\"\nset xlabel \"classes\"\nset ylabel \"ns per "
            "element\"\n"
            "set logscale xy\nset xrange [1.5:500000]\nplot ",
            isa);
    for (size_t k = 0; k < kernels->count; k++)
        fprintf(out, "%s$classes%zu with points pt %zu ps 0.7 title '%s'", k > 0 ? ", " : "", k, k + 4,
                kernels->name[k]);
    fputs("\nunset logscale\nset autoscale\n", out);
}

/* Time of every kernel on every ISA, at the shape that all kernels share, beside the roof. */
static void plot_isas(FILE *out, const json_t *report, const names *kernels)
{
    static const char shape[] = "rows:1024/classes:1000";
    names isas = {.count = 0};
    EACH_ROW(report, benchmark, parts)
    {
        if (is_ours(benchmark, &parts))
            keep_name(&isas, parts.by);
    }
    fputs("$isas << END\nkernel", out);
    for (size_t i = 0; i < isas.count; i++)
        fprintf(out, " %s", isas.name[i]);
    for (size_t k = 0; k < kernels->count; k++) {
        fprintf(out, "\n%s", kernels->name[k]);
        for (size_t i = 0; i < isas.count; i++) {
            double ns = limit_of(report, kernels->name[k], isas.name[i], shape, "ns_per_element");
            fprintf(out, ns > 0.0 ? " %g" : " NaN", ns);
        }
    }
    fprintf(out,
            "\nEND\nset title \"by ISA, %s\"\nunset xlabel\nset ylabel \"ns per element\"\nset logscale y\n"
            "set style data histograms\nset style fill solid 0.7\nset xtics rotate by -20 noenhanced\n"
            "plot for [i = 2:%zu] $isas using i:xtic(1) title columnheader(i)\n",
            shape, isas.count + 1);
}

static void write_script(FILE *out, const json_t *report, const char *picture)
{
    names kernels = {.count = 0};
    EACH_ROW(report, benchmark, parts)
    {
        if (is_ours(benchmark, &parts))
            keep_name(&kernels, parts.kernel);
    }
    const char *isa = softfocus_bench_string(json_object_get(report, "context"), "isa");
    fprintf(out,
            "set terminal svg size 900,1500 font 'sans,12' noenhanced\nset output '%s'\n"
            "set multiplot layout 3,1\nset grid\nset key outside right top samplen 2\n",
            picture);
    plot_roof(out, report, &kernels, isa);
    plot_classes(out, report, &kernels, isa);
    plot_isas(out, report, &kernels);
    fputs("unset multiplot\n", out);
}

/* ---- The page ------------------------------------------------------------------------------------------ */

static void write_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else
            putc(*text, out);
}

static void write_limits(FILE *out, const json_t *report)
{
    fputs("<h2>Memory and words</h2>\n<table><tr><th>what</th><th>ISA</th><th>where</th><th>GB/s</th>"
          "<th>10<sup>9</sup> elements/s</th></tr>\n",
          out);
    EACH_ROW(report, benchmark, parts)
    {
        if (is_limit(&parts))
            fprintf(out, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%.1f</td><td>%.2f</td></tr>\n",
                    parts.kernel, parts.by, parts.shape,
                    1e-9 * softfocus_bench_number(benchmark, "bytes_per_second"),
                    1.0 / softfocus_bench_number(benchmark, "ns_per_element"));
    }
    fputs("</table>\n", out);
}

static void write_rows(FILE *out, const json_t *report)
{
    fputs("<table><tr><th>kernel</th><th>shape</th><th>by</th><th>ns/element</th><th>arithmetic roof, ns</th>"
          "<th>streaming roof, ns</th><th>share of the roof</th></tr>\n",
          out);
    EACH_ROW(report, benchmark, parts)
    {
        if (!is_ours(benchmark, &parts))
            continue;
        double arithmetic = softfocus_bench_number(benchmark, "arithmetic_ns_per_element");
        double streaming = softfocus_bench_number(benchmark, "streaming_ns_per_element");
        const char *marks[] = {arithmetic >= streaming ? " class=\"lower\"" : "",
                               arithmetic < streaming ? " class=\"lower\"" : ""};
        fprintf(out,
                "<tr><td>%s</td><td>%s</td><td>%s</td><td>%.4g</td><td%s>%.4g</td><td%s>%.4g</td><td>%.0f "
                "%%</td></tr>\n",
                parts.kernel, parts.shape, parts.by, softfocus_bench_number(benchmark, "ns_per_element"),
                marks[0], arithmetic, marks[1], streaming,
                100.0 * softfocus_bench_number(benchmark, "roof_share"));
    }
    fputs("</table>\n", out);
}

/* The picture's file without what is before <svg. */
static bool write_picture(FILE *out, const char *picture)
{
    FILE *in = fopen(picture, "r");
    if (in == NULL)
        return false;
    char *line = NULL;
    size_t capacity = 0;
    for (bool begun = false; getline(&line, &capacity, in) > 0;) {
        begun = begun || strncmp(line, "<svg", 4) == 0;
        if (begun)
            fputs(line, out);
    }
    free(line);
    fclose(in);
    return true;
}

static bool write_page(FILE *out, const json_t *report, const char *picture)
{
    const json_t *context = json_object_get(report, "context");
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>softfocus: "
          "roofs</title>\n<style>"
          "body { font-family: sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }"
          "table { border-collapse: collapse } td, th { padding: 0.15em 0.7em; border-bottom: 1px solid "
          "#ccc; text-align: right }"
          "td:nth-child(-n+3), th:nth-child(-n+3) { text-align: left } .lower { font-weight: bold "
          "}</style></head><body>\n<h1>",
          out);
    fprintf(out, "softfocus %s on ", softfocus_bench_string(context, "softfocus_version"));
    write_escaped(out, softfocus_bench_string(context, "cpu_model"));
    fputs("</h1>\n<p>", out);
    write_escaped(out, softfocus_bench_string(context, "date"));
    fputs("; ", out);
    write_escaped(out, softfocus_bench_string(context, "compiler"));
    fputs("; ", out);
    write_escaped(out, softfocus_bench_string(context, "flags"));
    fputs("; one thread.</p>\n<p>Each kernel beside what this CPU could do at most, measured in the same "
          "run. Arithmetic: the "
          "kernel's own operations, counted, in the same proportions, none waiting for another. Streaming: "
          "its bytes read and "
          "written in the same kind of memory. The slower one (bold) is the roof.</p>\n",
          out);
    bool good = write_picture(out, picture);
    write_rows(out, report);
    write_limits(out, report);
    fputs("</body></html>\n", out);
    return good;
}

/* ---- The files ----------------------------------------------------------------------------------------- */

/* A file that is being written; false after a message. */
static bool finish(FILE *file, const char *path, bool good)
{
    int failed = file == NULL || !good || ferror(file);
    if (file != NULL && fclose(file) != 0)
        failed = 1;
    return !failed || (softfocus_complain(path, "%s", strerror(errno)), false);
}

static bool write_files(const char *folder, const json_t *report, const char *json, size_t size)
{
    char path[PATH_MAX], picture[PATH_MAX], script[PATH_MAX];
    snprintf(path, sizeof path, "%s/roofline.json", folder);
    snprintf(picture, sizeof picture, "%s/roofline.svg", folder);
    snprintf(script, sizeof script, "%s/roofline.gnuplot", folder);
    FILE *file = fopen(path, "w");
    if (!finish(file, path, file != NULL && fwrite(json, 1, size, file) == size))
        return false;
    file = fopen(script, "w");
    if (file != NULL)
        write_script(file, report, picture);
    if (!finish(file, script, true))
        return false;
    int status = run_gnuplot(script);
    if (status != 0)
        return softfocus_complain(script, "gnuplot ended with exit status %d", status), false;
    (void)unlink(script);
    snprintf(path, sizeof path, "%s/roofline.html", folder);
    file = fopen(path, "w");
    return finish(file, path, file != NULL && write_page(file, report, picture));
}

int softfocus_bench_write_roofline(const char *folder, const char *json, size_t size)
{
    json_error_t error;
    json_t *report = json_loadb(json, size, 0, &error);
    if (report == NULL)
        return softfocus_complain(NULL, "the JSON of softfocus-bench cannot be read: line %d: %s", error.line,
                                  error.text);
    int status = STATUS_FAILED;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        softfocus_complain(folder, "%s", strerror(errno));
    else if (write_files(folder, report, json, size)) {
        printf("written: %s/roofline.html, roofline.svg, roofline.json\n", folder);
        status = 0;
    }
    json_decref(report);
    return status;
}
