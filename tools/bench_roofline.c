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
#include "save.h"

enum {
    MAX_PICTURE = 64 << 20, /* bytes; one of all kernels and shapes has 100 kB */
    PANEL_HEIGHT = 500      /* of the picture */
};

/* ---- gnuplot ------------------------------------------------------------------------------------------- */

/* The exit status; -1: it cannot be started. Script and picture are its standard input and output, so that no path stands in
   either. */
static int run_gnuplot(FILE *script, FILE *picture)
{
    char name[] = "gnuplot";
    char *arguments[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(picture), STDOUT_FILENO);
    pid_t child;
    int error = posix_spawnp(&child, name, &actions, NULL, arguments, environ), status = -1;
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool have_gnuplot(void)
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

/* Names in the order of the report, each once. */
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

/* What begins the next part of a plot command. */
static const char *separator(size_t *parts)
{
    return (*parts)++ > 0 ? ", " : "plot ";
}

/* A value that a logarithmic axis can show. */
static bool is_positive(double value)
{
    return isfinite(value) && value > 0.0;
}

/* Writes $NAMEk, the points of each kernel, at most one per row. point_of: false where a row has none in this panel. */
typedef struct point {
    double x, y;
} point;
typedef bool point_function(const json_t *benchmark, const name_parts *parts, point *p);

typedef struct points {
    bool any[MAX_KERNELS];
    double lowest, highest; /* y */
} points;

static points write_points(FILE *out, const json_t *report, const names *kernels, const char *isa, const char *name,
                           point_function *point_of)
{
    points found = {.lowest = INFINITY};
    for (size_t k = 0; k < kernels->count; k++) {
        fprintf(out, "$%s%zu << END\n", name, k);
        EACH_ROW(report, benchmark, parts)
        {
            point p;
            if (is_ours(benchmark, &parts) && strcmp(parts.kernel, kernels->name[k]) == 0 &&
                strcmp(parts.by, isa) == 0 && point_of(benchmark, &parts, &p) && is_positive(p.x) &&
                is_positive(p.y)) {
                fprintf(out, "%g %g\n", p.x, p.y);
                found.any[k] = true;
                found.lowest = fmin(found.lowest, p.y);
                found.highest = fmax(found.highest, p.y);
            }
        }
        fputs("END\n", out);
    }
    return found;
}

/* The plot command's parts for them, of the same look in each panel. */
static void plot_points(FILE *out, const names *kernels, const char *name, const points *found, size_t *parts)
{
    for (size_t k = 0; k < kernels->count; k++)
        if (found->any[k])
            fprintf(out, "%s$%s%zu with points pt %zu ps 0.7 title '%s'", separator(parts), name, k, k + 4,
                    kernels->name[k]);
}

static bool roof_point(const json_t *benchmark, const name_parts *parts, point *p)
{
    (void)parts;
    double operations = softfocus_bench_number(benchmark, "operations_per_element");
    p->x = operations / bytes_per_element(benchmark);
    p->y = operations / softfocus_bench_number(benchmark, "ns_per_element");
    return true;
}

/* The classical picture, of one ISA: operations per second over operations per byte; the levels' lines and
   the peaks' come from measurements too. */
static bool plot_roof(FILE *out, const json_t *report, const names *kernels, const char *isa)
{
    static const char *const levels[] = {"level:L1", "level:L2", "level:L3", "level:DRAM"};
    static const char *const peaks[] = {"vf_mul_add", "vf_add", "vi_lookup"};
    points found = write_points(out, report, kernels, isa, "roof", roof_point);
    fprintf(out,
            "set title \"operations of %s and their roofs\"\nset xlabel \"operations per byte\"\n"
            "set ylabel \"10^9 operations per second\"\nset logscale xy\nset xrange [0.5:64]\nset yrange "
            "[1:1000]\n",
            isa);
    size_t parts = 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        double bytes = fmax(limit_of(report, "stream_copy", isa, levels[i], "bytes_per_second"),
                            limit_of(report, "stream_copy_nt", isa, levels[i], "bytes_per_second"));
        if (bytes > 0.0)
            fprintf(out, "%s%g * x with lines lc rgb '#999999' dt %zu title 'copy, %s: %.0f GB/s'",
                    separator(&parts), 1e-9 * bytes, i + 1, levels[i] + strlen("level:"), 1e-9 * bytes);
    }
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        double rate = limit_of(report, "word", isa, peaks[i], "elements_per_second");
        if (rate > 0.0)
            fprintf(out, "%s%g with lines lc rgb '#cc3333' dt %zu title '%s alone: %.0f'", separator(&parts),
                    1e-9 * rate, i + 1, peaks[i], 1e-9 * rate);
    }
    plot_points(out, kernels, "roof", &found, &parts);
    fputs("\nunset logscale\nset autoscale\n", out);
    return parts > 0;
}

static bool classes_point(const json_t *benchmark, const name_parts *parts, point *p)
{
    const char *classes = strstr(parts->shape, "/classes:");
    if (strncmp(parts->shape, "rows:", 5) != 0 || classes == NULL)
        return false;
    p->x = strtod(classes + strlen("/classes:"), NULL);
    p->y = softfocus_bench_number(benchmark, "ns_per_element");
    return true;
}

/* gnuplot's own choice of a range warns of one that is empty, where there is one point. */
static void set_y_range(FILE *out, double lowest, double highest)
{
    fprintf(out, "set yrange [%g:%g]\n", lowest / 1.5, highest * 1.5);
}

/* Time over the number of classes, rows alone, all kernels on one ISA. */
static bool plot_classes(FILE *out, const json_t *report, const names *kernels, const char *isa)
{
    points found = write_points(out, report, kernels, isa, "classes", classes_point);
    fprintf(out,
            "set title \"by number of classes, %s, rows\"\nset xlabel \"classes\"\nset ylabel \"ns per "
            "element\"\n"
            "set logscale xy\nset xrange [1.5:500000]\n",
            isa);
    set_y_range(out, found.lowest, found.highest);
    size_t parts = 0;
    plot_points(out, kernels, "classes", &found, &parts);
    fputs("\nunset logscale\nset autoscale\n", out);
    return parts > 0;
}

/* Time of every kernel on every ISA, at the shape that all kernels share, beside the roof. */
static bool plot_isas(FILE *out, const json_t *report, const names *kernels, const char *isa)
{
    (void)kernels, (void)isa;
    static const char shape[] = "rows:1024/classes:1000";
    names isas = {.count = 0}, measured = {.count = 0};
    double lowest = INFINITY, highest = 0.0;
    EACH_ROW(report, benchmark, parts)
    {
        double ns = softfocus_bench_number(benchmark, "ns_per_element");
        if (is_ours(benchmark, &parts) && strcmp(parts.shape, shape) == 0 && is_positive(ns)) {
            keep_name(&isas, parts.by);
            keep_name(&measured, parts.kernel);
            lowest = fmin(lowest, ns);
            highest = fmax(highest, ns);
        }
    }
    fputs("$isas << END\nkernel", out);
    for (size_t i = 0; i < isas.count; i++)
        fprintf(out, " %s", isas.name[i]);
    for (size_t k = 0; k < measured.count; k++) {
        fprintf(out, "\n%s", measured.name[k]);
        for (size_t i = 0; i < isas.count; i++) {
            double ns = limit_of(report, measured.name[k], isas.name[i], shape, "ns_per_element");
            fprintf(out, is_positive(ns) ? " %g" : " NaN", ns);
        }
    }
    fprintf(out, "\nEND\nset title \"by ISA, %s\"\nunset xlabel\nset ylabel \"ns per element\"\nset logscale y\n", shape);
    set_y_range(out, lowest, highest);
    fprintf(out,
            "set style data histograms\nset style fill solid 0.7\nset xtics rotate by -20 noenhanced\n"
            "plot for [i = 2:%zu] $isas using i:xtic(1) title columnheader(i)\n",
            isas.count + 1);
    return isas.count > 0;
}

/* Whoever chose benchmarks by a filter gets the panels that these have points for. How many, or -1: no memory. */
static int write_script(FILE *out, const json_t *report)
{
    static bool (*const panels[])(FILE *, const json_t *, const names *, const char *) = {plot_roof, plot_classes,
                                                                                         plot_isas};
    enum { PANELS = sizeof panels / sizeof panels[0] };
    names kernels = {.count = 0};
    EACH_ROW(report, benchmark, parts)
    {
        if (is_ours(benchmark, &parts))
            keep_name(&kernels, parts.kernel);
    }
    const char *isa = softfocus_bench_string(json_object_get(report, "context"), "isa");
    char *drawn[PANELS] = {NULL};
    int count = 0;
    bool good = true;
    for (size_t i = 0; i < PANELS; i++) {
        size_t size;
        FILE *stream = open_memstream(&drawn[i], &size);
        bool any = stream != NULL && panels[i](stream, report, &kernels, isa);
        good = good && stream != NULL && fclose(stream) == 0;
        if (any) {
            count++;
        } else {
            free(drawn[i]);
            drawn[i] = NULL;
        }
    }
    fprintf(out,
            "set terminal svg size 900,%d font 'sans,12' noenhanced\n"
            "set multiplot layout %d,1\nset grid\nset key outside right top samplen 2\n",
            PANEL_HEIGHT * count, count);
    for (size_t i = 0; i < PANELS; i++) {
        if (drawn[i] != NULL)
            fputs(drawn[i], out);
        free(drawn[i]);
    }
    fputs("unset multiplot\n", out);
    return good ? count : -1;
}

/* All of a file, from malloc; NULL: errno says why not. */
static char *read_all(FILE *file)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0)
        return NULL;
    errno = EFBIG;
    if (status.st_size > MAX_PICTURE)
        return NULL;
    size_t size = (size_t)status.st_size;
    char *bytes = malloc(size + 1);
    rewind(file);
    errno = EIO;
    if (bytes != NULL && fread(bytes, 1, size, file) != size) {
        free(bytes);
        return NULL;
    }
    if (bytes != NULL)
        bytes[size] = '\0';
    return bytes;
}

/* The picture as text, from malloc; NULL after a message. */
static char *draw(const json_t *report)
{
    FILE *script = tmpfile(), *picture = tmpfile();
    char *svg = NULL;
    int panels = script != NULL ? write_script(script, report) : -1, status = 0;
    if (panels < 0 || picture == NULL || ferror(script) || fflush(script) != 0 || fseek(script, 0, SEEK_SET) != 0)
        softfocus_complain("gnuplot's script", "%s", strerror(errno));
    else if (panels == 0)
        svg = strdup("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"40\">"
                     "<text x=\"10\" y=\"25\">No kernel was measured.</text></svg>\n");
    else if ((status = run_gnuplot(script, picture)) != 0)
        softfocus_complain(NULL, "gnuplot ended with exit status %d: only roofline.json is written", status);
    else if ((svg = read_all(picture)) == NULL)
        softfocus_complain("gnuplot's picture", "%s", strerror(errno));
    if (svg != NULL && (strstr(svg, "<svg") == NULL || strstr(svg, "</svg>") == NULL)) { /* a full disk, say */
        softfocus_complain(NULL, "gnuplot has drawn no whole picture: only roofline.json is written");
        free(svg);
        svg = NULL;
    }
    if (script != NULL)
        (void)fclose(script);
    if (picture != NULL)
        (void)fclose(picture);
    return svg;
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

static void write_page(FILE *out, const json_t *report, const char *svg)
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
    fputs(strstr(svg, "<svg"), out); /* without what is before it */
    write_rows(out, report);
    write_limits(out, report);
    fputs("</body></html>\n", out);
}

/* ---- The files ----------------------------------------------------------------------------------------- */

enum { JSON, SVG, HTML, FILES };
static const char *const file_names[FILES] = {"roofline.json", "roofline.svg", "roofline.html"};

typedef struct file_paths {
    char path[FILES][PATH_MAX];
} file_paths;

static bool make_paths(const char *folder, file_paths *paths)
{
    for (size_t i = 0; i < FILES; i++)
        if (snprintf(paths->path[i], PATH_MAX, "%s/%s", folder, file_names[i]) >= PATH_MAX)
            return softfocus_complain(folder, "%s", strerror(ENAMETOOLONG)), false;
    return true;
}

bool softfocus_bench_can_write_roofline(const char *folder, bool *made)
{
    file_paths paths;
    *made = false;
    if (!have_gnuplot() || !make_paths(folder, &paths))
        return false;
    *made = mkdir(folder, 0777) == 0;
    if (!*made && errno != EEXIST)
        return softfocus_complain(folder, "%s", strerror(errno)), false;
    for (size_t i = 0; i < FILES; i++)
        if (!softfocus_can_save(paths.path[i])) {
            if (*made)
                (void)rmdir(folder);
            return false;
        }
    return true;
}

/* The page, from malloc; NULL after a message. */
static char *make_page(const json_t *report, const char *svg)
{
    char *page = NULL;
    size_t size;
    FILE *stream = open_memstream(&page, &size);
    if (stream != NULL)
        write_page(stream, report, svg);
    if (stream != NULL && fclose(stream) == 0)
        return page;
    free(page);
    softfocus_complain(NULL, "%s", strerror(ENOMEM));
    return NULL;
}

/* The JSON first, which has taken minutes and may be all that can be written. */
static int write_files(const json_t *report, const file_paths *paths, const char *json, size_t size)
{
    const result as_it_is = {paths->path[JSON], NULL, json, size};
    if (softfocus_save(&as_it_is, 1) != 0)
        return STATUS_FAILED;
    char *svg = draw(report);
    char *page = svg != NULL ? make_page(report, svg) : NULL;
    int status = STATUS_FAILED;
    if (page != NULL) {
        const result made[] = {{paths->path[SVG], NULL, svg, strlen(svg)}, {paths->path[HTML], NULL, page, strlen(page)}};
        status = softfocus_save(made, 2);
    }
    free(page);
    free(svg);
    return status;
}

int softfocus_bench_write_roofline(const char *folder, const char *json, size_t size)
{
    file_paths paths;
    if (!make_paths(folder, &paths))
        return STATUS_FAILED;
    json_error_t error;
    json_t *report = json_loadb(json, size, 0, &error);
    if (report == NULL)
        return softfocus_complain(NULL, "the JSON of softfocus-bench cannot be read: line %d: %s", error.line,
                                  error.text);
    int status = write_files(report, &paths, json, size);
    json_decref(report);
    if (status == 0)
        printf("written: %s/roofline.html, roofline.svg, roofline.json\n", folder);
    return status;
}
