/* What the example `imbalanced` shows: tables on standard output, the same figures as tab-separated files,
 * and a picture. main.c calls it. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "imbalanced.h"

extern char **environ;

static const struct {
    const char *title, *key;
} measure_names[MEASURES] = {
    [RECALL] = {"recall", "recall"},
    [PRECISION] = {"precision", "precision"},
    [PR_AUC] = {"PR-AUC", "pr_auc"},
};

/* Mean and standard deviation of numbers that come one by one (Welford). */
struct spread {
    size_t count;
    double mean, squares;
};

static void spread_add(struct spread *spread, double value)
{
    double difference = value - spread->mean;
    spread->mean += difference / (double)++spread->count;
    spread->squares += difference * (value - spread->mean);
}

static double deviation(const struct spread *spread)
{
    return spread->count > 1 ? sqrt(spread->squares / (double)(spread->count - 1)) : 0.0;
}

/* What the runs of one model and loss with different seeds come to. */
struct summary {
    const char *model, *loss;
    struct {
        struct spread of_class[MAX_CLASSES], macro, rare;
    } measures[MEASURES];
    struct spread objective, accuracy;
    struct cost cost; /* of the fastest run */
};

static struct summary summarise(const struct run *runs, size_t seeds, size_t classes)
{
    struct summary summary = {.model = runs->model, .loss = runs->loss, .cost = runs->cost};
    for (const struct run *run = runs; run < runs + seeds; run++) {
        for (int m = 0; m < MEASURES; m++) {
            for (size_t c = 0; c < classes; c++)
                spread_add(&summary.measures[m].of_class[c], run->scores.measures[m].of_class[c]);
            spread_add(&summary.measures[m].macro, run->scores.measures[m].macro);
            spread_add(&summary.measures[m].rare, run->scores.measures[m].rare);
        }
        spread_add(&summary.objective, run->objective);
        spread_add(&summary.accuracy, run->scores.accuracy);
        if (run->cost.epoch_ms < summary.cost.epoch_ms)
            summary.cost = run->cost;
    }
    return summary;
}

static void print_measure(enum measure m, const struct summary *summaries, size_t count, size_t classes)
{
    printf("\n%-32s", measure_names[m].title);
    for (size_t c = 0; c < classes; c++)
        printf("%7zu", c);
    printf("   macro (deviation)   rare (deviation)\n");
    for (const struct summary *s = summaries; s < summaries + count; s++) {
        printf("%-8s%-24s", s->model, s->loss);
        for (size_t c = 0; c < classes; c++)
            printf("%7.3f", s->measures[m].of_class[c].mean);
        printf("   %.3f (%.3f)       %.3f (%.3f)\n", s->measures[m].macro.mean,
               deviation(&s->measures[m].macro), s->measures[m].rare.mean, deviation(&s->measures[m].rare));
    }
}

static void print_costs(const struct summary *summaries, size_t count)
{
    printf("\n%-32s  accuracy  training objective (deviation)  ms an epoch (fastest)  of it in softfocus\n",
           "cost");
    for (const struct summary *s = summaries; s < summaries + count; s++)
        printf("%-8s%-24s  %8.4f  %18.5f (%.5f)  %22.2f  %16.1f %%\n", s->model, s->loss, s->accuracy.mean,
               s->objective.mean, deviation(&s->objective), s->cost.epoch_ms, 100.0 * s->cost.loss_share);
}

static void print_head(const struct data_set *data, size_t seeds)
{
    printf("\n%s: %zu training rows, %zu test rows; means over %zu seeds (%s)\n", data->name,
           data->train.count, data->test.count, seeds, softfocus_example_isa());
    printf("%-32s", "training rows by class");
    for (size_t c = 0; c < data->classes; c++)
        printf("%7zu", data->train.class_count[c]);
    printf("\n%-32s", "test rows by class");
    for (size_t c = 0; c < data->classes; c++)
        printf("%7zu", data->test.class_count[c]);
    printf("\n");
}

static void make_path(char *path, size_t size, const char *folder, const char *name, const char *suffix)
{
    if (snprintf(path, size, "%s/%s%s", folder, name, suffix) >= (int)size)
        softfocus_example_fail("%s: the path is too long", folder);
}

static FILE *open_table(const char *folder, const char *name, const char *suffix)
{
    char path[4096];
    make_path(path, sizeof path, folder, name, suffix);
    FILE *stream = fopen(path, "w");
    if (!stream)
        softfocus_example_fail("%s: %s", path, strerror(errno));
    return stream;
}

static void close_table(FILE *stream, const char *folder)
{
    bool bad = ferror(stream) != 0;
    if (fclose(stream) != 0 || bad)
        softfocus_example_fail("%s: cannot write: %s", folder, strerror(errno));
}

/* One line per run. */
static void write_runs(const struct data_set *data, const struct run *runs, size_t count, const char *folder)
{
    FILE *stream = open_table(folder, data->name, ".tsv");
    fprintf(stream, "model\tloss\tseed\tobjective\taccuracy\tepoch_ms\tloss_share");
    for (int m = 0; m < MEASURES; m++) {
        fprintf(stream, "\tmacro_%s\trare_%s", measure_names[m].key, measure_names[m].key);
        for (size_t c = 0; c < data->classes; c++)
            fprintf(stream, "\t%s_%zu", measure_names[m].key, c);
    }
    for (const struct run *run = runs; run < runs + count; run++) {
        fprintf(stream, "\n%s\t%s\t%zu\t%.7g\t%.6f\t%.4f\t%.4f", run->model, run->loss, run->seed,
                run->objective, run->scores.accuracy, run->cost.epoch_ms, run->cost.loss_share);
        for (int m = 0; m < MEASURES; m++) {
            fprintf(stream, "\t%.6f\t%.6f", run->scores.measures[m].macro, run->scores.measures[m].rare);
            for (size_t c = 0; c < data->classes; c++)
                fprintf(stream, "\t%.6f", run->scores.measures[m].of_class[c]);
        }
    }
    fprintf(stream, "\n");
    close_table(stream, folder);
}

/* One line per model and loss: what plot.gp draws. */
static void write_summary(const struct data_set *data, const struct summary *summaries, size_t count,
                          const char *folder)
{
    FILE *stream = open_table(folder, data->name, "-summary.tsv");
    fprintf(stream, "model\tloss");
    for (int m = 0; m < MEASURES; m++)
        fprintf(stream, "\trare_%s\tdeviation", measure_names[m].key);
    fprintf(stream, "\n");
    for (const struct summary *s = summaries; s < summaries + count; s++) {
        fprintf(stream, "%s\t%s", s->model, s->loss);
        for (int m = 0; m < MEASURES; m++)
            fprintf(stream, "\t%.6f\t%.6f", s->measures[m].rare.mean, deviation(&s->measures[m].rare));
        fprintf(stream, "\n");
    }
    close_table(stream, folder);
}

void softfocus_example_report(const struct data_set *data, const struct run *runs, size_t run_count,
                              size_t seeds, const char *folder)
{
    size_t count = run_count / seeds;
    struct summary *summaries = softfocus_example_allocate(count, sizeof *summaries);
    for (size_t i = 0; i < count; i++)
        summaries[i] = summarise(runs + i * seeds, seeds, data->classes);
    print_head(data, seeds);
    for (int m = 0; m < MEASURES; m++)
        print_measure((enum measure)m, summaries, count, data->classes);
    print_costs(summaries, count);
    write_runs(data, runs, run_count, folder);
    write_summary(data, summaries, count, folder);
    free(summaries);
}

void softfocus_example_plot(const char *script, const char *folder)
{
    char *arguments[] = {(char[]){"gnuplot"}, (char[]){"-c"}, (char *)(uintptr_t)script,
                         (char *)(uintptr_t)folder, NULL};
    pid_t child;
    int failure = posix_spawnp(&child, arguments[0], NULL, NULL, arguments, environ), status = 0;
    if (failure == ENOENT) {
        printf("\nNo picture: gnuplot is not installed.\n");
        return;
    }
    if (failure != 0)
        softfocus_example_fail("gnuplot: %s", strerror(failure));
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        softfocus_example_fail("gnuplot failed on %s", script);
    printf("\nPicture: %s/imbalanced.svg\n", folder);
}
