/* softfocus bench --compare: what differs between two machines, then each benchmark that both reports have.
 *
 * Two sets of repetitions are compared by the rank test of Mann and Whitney, as Google Benchmark's compare.py
 * does: it asks nothing of how times are distributed. Where neither has ties, its p is exact; else the normal
 * approximation. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "command.h"
#include "table.h"

enum { MAX_RUNS = 64 };           /* repetitions of one benchmark that are looked at */
static const double LEVEL = 0.05; /* of p: below it two times differ */

/* One benchmark's repetitions. */
typedef struct runs {
    double ns[MAX_RUNS], share[MAX_RUNS];
    size_t count;
} runs;

/* ---- What differs -------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *context, const char *key, char text[64])
{
    const json_t *value = json_object_get(context, key);
    if (json_is_string(value))
        return json_string_value(value);
    if (!json_is_number(value))
        return "?";
    snprintf(text, 64, "%g", json_number_value(value));
    return text;
}

static void print_differences(const json_t *first, const json_t *second)
{
    static const char *const keys[] = {"cpu_model",        "num_cpus", "mhz_per_cpu", "cache_l1", "cache_l2",
                                       "cache_l3",         "isa",      "isas",        "compiler", "flags",
                                       "softfocus_version"};
    size_t found = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char a[64], b[64];
        const char *x = text_of(first, keys[i], a), *y = text_of(second, keys[i], b);
        if (strcmp(x, y) == 0)
            continue;
        printf("%s\n  A: %s\n  B: %s\n", keys[i], x, y);
        found++;
    }
    puts(found > 0 ? "" : "nothing differs: CPU, caches, ISAs, compiler, flags and version are the same\n");
}

/* ---- The test ------------------------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(const double *values, size_t count)
{
    double sorted[MAX_RUNS];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0;
}

/* U: pairs in which the first is larger, a tie being half of one. *ties: the sum of t^3 - t over groups of t
 * equal values. */
static double rank_sum(const runs *a, const runs *b, double *ties)
{
    double all[2 * MAX_RUNS], u = 0.0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            u += a->ns[i] > b->ns[j] ? 1.0 : a->ns[i] < b->ns[j] ? 0.0 : 0.5;
    memcpy(all, a->ns, a->count * sizeof *all);
    memcpy(all + a->count, b->ns, b->count * sizeof *all);
    size_t count = a->count + b->count;
    qsort(all, count, sizeof *all, compare_doubles);
    *ties = 0.0;
    for (size_t i = 0, next; i < count; i = next) {
        next = i + 1;
        while (next < count && !(all[next] > all[i]))
            next++;
        double t = (double)(next - i);
        *ties += t * t * t - t;
    }
    return u;
}

/* The probability of so small a U or a smaller one: of all orders of n and m values, those with U <= u.
   ways[i][k]: orders of i first values among the m and U of k, built up value by value. */
static double exact_tail(size_t n, size_t m, size_t u)
{
    size_t most = n * m;
    double *ways = softfocus_tool_allocate((n + 1) * (most + 1), sizeof *ways);
    for (size_t i = 0; i <= n; i++)
        ways[i * (most + 1)] = i == 0 ? 1.0 : 0.0;
    /* With j values of the second set below it, a value of the first adds j to U: the Gaussian binomial
     * coefficient. */
    for (size_t j = 0; j <= m; j++)
        for (size_t i = 1; i <= n; i++)
            for (size_t k = j; k <= most; k++)
                ways[i * (most + 1) + k] += ways[(i - 1) * (most + 1) + k - j];
    double below = 0.0, all = 0.0;
    for (size_t k = 0; k <= most; k++) {
        all += ways[n * (most + 1) + k];
        below += k <= u ? ways[n * (most + 1) + k] : 0.0;
    }
    free(ways);
    return below / all;
}

/* Two-sided. */
static double p_value(const runs *a, const runs *b)
{
    double n = (double)a->count, m = (double)b->count, ties, u = rank_sum(a, b, &ties);
    double smaller = fmin(u, n * m - u);
    if (ties <= 0.0)
        return fmin(1.0, 2.0 * exact_tail(a->count, b->count, (size_t)smaller));
    double all = n + m, variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if (variance <= 0.0)
        return 1.0;
    return fmin(1.0, erfc((n * m / 2.0 - smaller - 0.5) / sqrt(2.0 * variance)));
}

/* Whether the numbers of repetitions allow a p below LEVEL at all. */
static bool enough(const runs *a, const runs *b)
{
    return a->count > 0 && b->count > 0 && 2.0 * exact_tail(a->count, b->count, 0) < LEVEL;
}

/* ---- The table ----------------------------------------------------------------------------------------- */

static runs runs_of(const json_t *report, const char *run_name)
{
    runs found = {.count = 0};
    size_t index;
    const json_t *benchmark;
    json_array_foreach(json_object_get(report, "benchmarks"), index, benchmark)
    {
        double ns = softfocus_bench_number(benchmark, "ns_per_element");
        if (found.count < MAX_RUNS &&
            strcmp(softfocus_bench_string(benchmark, "run_type"), "iteration") == 0 &&
            strcmp(softfocus_bench_string(benchmark, "run_name"), run_name) == 0 &&
            !json_is_true(json_object_get(benchmark, "error_occurred")) && ns > 0.0) {
            found.ns[found.count] = ns;
            found.share[found.count++] = softfocus_bench_number(benchmark, "roof_share");
        }
    }
    return found;
}

/* A report of aggregates alone has the median, and nothing to test. */
static double time_of(const json_t *report, const char *run_name, const runs *repetitions, double *share)
{
    if (repetitions->count > 0) {
        *share = median(repetitions->share, repetitions->count);
        return median(repetitions->ns, repetitions->count);
    }
    size_t index;
    const json_t *benchmark;
    json_array_foreach(json_object_get(report, "benchmarks"), index, benchmark)
    {
        if (softfocus_bench_is_row(benchmark) &&
            strcmp(softfocus_bench_string(benchmark, "run_name"), run_name) == 0) {
            *share = softfocus_bench_number(benchmark, "roof_share");
            return softfocus_bench_number(benchmark, "ns_per_element");
        }
    }
    return 0.0;
}

static bool is_common(const json_t *first, const json_t *second, const char *run_name)
{
    runs a = runs_of(first, run_name), b = runs_of(second, run_name);
    double share;
    return time_of(first, run_name, &a, &share) > 0.0 && time_of(second, run_name, &b, &share) > 0.0;
}

static void add_share(table *t, double share)
{
    if (share > 0.0)
        softfocus_table_cell(t, "%.0f %%", 100.0 * share);
    else
        softfocus_table_cell(t, "-");
}

/* Whether the second report has it too. */
static bool add_row(table *t, const json_t *first, const json_t *second, const char *run_name)
{
    runs a = runs_of(first, run_name), b = runs_of(second, run_name);
    double share_a = 0.0, share_b = 0.0;
    double ns_a = time_of(first, run_name, &a, &share_a), ns_b = time_of(second, run_name, &b, &share_b);
    if (ns_a <= 0.0 || ns_b <= 0.0)
        return false;
    name_parts parts = softfocus_bench_split_name(run_name);
    softfocus_table_cell(t, "%s", parts.kernel);
    softfocus_table_cell(t, "%s", parts.shape);
    softfocus_table_cell(t, "%s", parts.by);
    softfocus_table_cell(t, "%.4g", ns_a);
    softfocus_table_cell(t, "%.4g", ns_b);
    softfocus_table_cell(t, "%.3f", ns_b / ns_a);
    if (enough(&a, &b)) {
        double p = p_value(&a, &b);
        softfocus_table_cell(t, "%s",
                             p >= LEVEL    ? "no difference"
                             : ns_b < ns_a ? "B is faster"
                                           : "A is faster");
        softfocus_table_cell(t, "%.4f", p);
    } else {
        softfocus_table_cell(t, "too few runs");
        softfocus_table_cell(t, "%zu, %zu", a.count, b.count);
    }
    add_share(t, share_a);
    add_share(t, share_b);
    return true;
}

static table *new_table(void)
{
    table *t = softfocus_table_new("lllrrrlrrr");
    static const char *const heads[] = {"kernel", "shape", "by", "ns A",   "ns B",
                                        "B/A",    "",      "p",  "roof A", "roof B"};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        softfocus_table_cell(t, "%s", heads[i]);
    return t;
}

/* How many benchmarks both have; without a table they are counted alone. */
static size_t add_rows(table *t, const json_t *first, const json_t *second)
{
    size_t index, rows = 0;
    const json_t *benchmark;
    const char *previous = "";
    json_array_foreach(json_object_get(first, "benchmarks"), index, benchmark)
    {
        const char *run_name = softfocus_bench_string(benchmark, "run_name");
        if (strcmp(run_name, previous) != 0)
            rows += t != NULL ? add_row(t, first, second, run_name) : is_common(first, second, run_name);
        previous = run_name;
    }
    return rows;
}

static int compare(const json_t *first, const json_t *second)
{
    if (add_rows(NULL, first, second) == 0)
        return softfocus_complain(NULL, "the two reports have no benchmark in common");
    print_differences(json_object_get(first, "context"), json_object_get(second, "context"));
    puts("ns per element: medians; B/A below 1: B is faster; p: the rank test of Mann and Whitney; roof: the "
         "share of its "
         "own machine's roof\n");
    table *t = new_table();
    (void)add_rows(t, first, second);
    softfocus_table_print(t, stdout);
    return 0;
}

int softfocus_bench_compare(const char *first_path, const char *second_path)
{
    json_t *first = softfocus_bench_load(first_path);
    json_t *second = first != NULL ? softfocus_bench_load(second_path) : NULL;
    int status = second != NULL ? compare(first, second) : STATUS_FAILED;
    json_decref(first);
    json_decref(second);
    return status;
}
