/* A report of softfocus-bench: Google Benchmark's JSON, and how its names are made. For cmd_bench.c and
 * bench_*.c. */
#ifndef SOFTFOCUS_TOOLS_BENCH_REPORT_H
#define SOFTFOCUS_TOOLS_BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>

/* Of a file, or "-", standard input; NULL after a message: not there, no JSON, or no report of ours. */
json_t *softfocus_bench_load(const char *path);

/* A member that is missing is "" or 0. */
const char *softfocus_bench_string(const json_t *object, const char *key);
double softfocus_bench_number(const json_t *object, const char *key);

/* A benchmark's name, taken apart: KERNEL/f32/ISA/SHAPE, or PEER_KERNEL/f32/SHAPE. */
typedef struct name_parts {
    char kernel[64], by[64], shape[128];
} name_parts;
name_parts softfocus_bench_split_name(const char *run_name);

/* The median of a benchmark's repetitions, or the only one; not where it ended with an error. */
bool softfocus_bench_is_row(const json_t *benchmark);

/* `softfocus bench --compare`: two reports. The exit status. */
int softfocus_bench_compare(const char *first, const char *second);

/* `softfocus bench --roofline`: DIR/roofline.json, .svg and .html from a report. The exit status. */
int softfocus_bench_write_roofline(const char *folder, const char *json, size_t size);

/* Whether that will be possible, asked before minutes of timing: gnuplot is there, and the files can be written.
   `folder` is made where it is missing (*made). Else after a message, false. */
bool softfocus_bench_can_write_roofline(const char *folder, bool *made);

#endif
