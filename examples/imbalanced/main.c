/* The example `imbalanced`: trains softmax regression and a small net on two data sets with rare classes,
 * with cross-entropy and focal loss, each with and without class weights, and reports what each is worth on
 * the rare classes.
 *
 *     imbalanced [--quick] [--data DIR] [--out DIR] [--seeds N] [--epochs N]
 *     imbalanced --check-objectives [--data DIR] */
#define _GNU_SOURCE /* argp */

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "imbalanced.h"

/* SOURCE_FOLDER, where this file lies, comes from the build. */
static const char default_data[] = SOURCE_FOLDER "/data", plot_script[] = SOURCE_FOLDER "/plot.gp";

static const struct {
    const char *name;
    size_t hidden;
    double rate; /* the linear model's weights must go far from 0: shuttle's features have wide tails */
} models[] = {{"linear", 0, 0.3}, {"mlp", 8, 0.02}};

static const double linear_decay = 1e-6; /* as the fits that data/README.md reports */

static const struct {
    const char *name;
    double gamma;
    bool weighted; /* by rows / (classes * rows of the class): every class counts the same in all */
} losses[] = {
    {"cross-entropy", 0, false},
    {"weighted cross-entropy", 0, true},
    {"focal", 2, false},
    {"weighted focal", 2, true},
};

enum { MODELS = sizeof models / sizeof models[0], LOSSES = sizeof losses / sizeof losses[0] };

struct arguments {
    const char *data, *out;
    size_t seeds, epochs;
    bool check_objectives;
};

enum { KEY_DATA = 'd', KEY_OUT = 'o', KEY_SEEDS = 's', KEY_EPOCHS = 'e', KEY_QUICK = 'q', KEY_CHECK = 'c' };

static const struct argp_option options[] = {
    {"data", KEY_DATA, "DIR", 0, "Read the data sets from DIR (default: those beside the source)", 0},
    {"out", KEY_OUT, "DIR", 0, "Write tables and picture to DIR (default: imbalanced-results)", 0},
    {"seeds", KEY_SEEDS, "N", 0, "Train with N seeds each (default: 5)", 0},
    {"epochs", KEY_EPOCHS, "N", 0, "Train for N epochs (default: 60)", 0},
    {"quick", KEY_QUICK, NULL, 0, "A short run: 2 seeds, 20 epochs", 0},
    {"check-objectives", KEY_CHECK, NULL, 0,
     "Instead fit the linear model to convergence and compare with the published objectives", 0},
    {0},
};

void softfocus_example_fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("imbalanced: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(EXIT_FAILURE);
}

void *softfocus_example_allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        softfocus_example_fail("out of memory");
    return memory;
}

static size_t parse_count(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > 1000000)
        argp_error(state, "'%s' is no number from 1 to 1000000", text);
    return (size_t)value;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_DATA:
        arguments->data = value;
        return 0;
    case KEY_OUT:
        arguments->out = value;
        return 0;
    case KEY_SEEDS:
        arguments->seeds = parse_count(value, state);
        return 0;
    case KEY_EPOCHS:
        arguments->epochs = parse_count(value, state);
        return 0;
    case KEY_QUICK:
        arguments->seeds = 2;
        arguments->epochs = 20;
        return 0;
    case KEY_CHECK:
        arguments->check_objectives = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void balance(const struct rows *rows, size_t classes, float *class_weight)
{
    for (size_t c = 0; c < classes; c++)
        class_weight[c] = (float)((double)rows->count / ((double)classes * (double)rows->class_count[c]));
}

static struct run train_once(const struct data_set *data, size_t model_index, size_t loss_index, size_t seed,
                             size_t epochs)
{
    float class_weight[MAX_CLASSES];
    balance(&data->train, data->classes, class_weight);
    struct loss loss = {losses[loss_index].gamma, losses[loss_index].weighted ? class_weight : NULL,
                        models[model_index].hidden ? data->net_decay : linear_decay};
    struct model model =
        softfocus_example_model_create(data->features, models[model_index].hidden, data->classes, seed);
    struct run run = {.model = models[model_index].name, .loss = losses[loss_index].name, .seed = seed};
    run.cost = softfocus_example_train(&model, &loss, &data->train,
                                       (struct training){epochs, models[model_index].rate, seed});
    run.objective = softfocus_example_objective(&model, &loss, &data->train, NULL);
    run.scores = softfocus_example_score(&model, data);
    softfocus_example_model_free(&model);
    return run;
}

static void compare_losses(const struct data_set *data, const struct arguments *arguments)
{
    size_t total = MODELS * LOSSES * arguments->seeds, done = 0;
    struct run *runs = softfocus_example_allocate(total, sizeof *runs);
    for (size_t m = 0; m < MODELS; m++) {
        for (size_t l = 0; l < LOSSES; l++) {
            for (size_t seed = 1; seed <= arguments->seeds; seed++, done++)
                runs[done] = train_once(data, m, l, seed, arguments->epochs);
            fprintf(stderr, "%s: %zu of %zu trainings done (%s, %s)\n", data->name, done, total,
                    models[m].name, losses[l].name);
        }
    }
    softfocus_example_report(data, runs, total, arguments->seeds, arguments->out);
    free(runs);
}

static int check_objectives(const char *folder)
{
    size_t deviations = softfocus_example_check_objectives(folder);
    printf("%zu deviations\n", deviations);
    return deviations ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A full disk shows up only here. */
static int finish(int status)
{
    if (ferror(stdout) | fclose(stdout))
        softfocus_example_fail("standard output: %s", strerror(errno));
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {
        .data = default_data, .out = "imbalanced-results", .seeds = 5, .epochs = 60};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains classifiers on data sets with rare classes and compares the losses."};
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    if (arguments.check_objectives)
        return finish(check_objectives(arguments.data));

    if (mkdir(arguments.out, 0777) != 0 && errno != EEXIST)
        softfocus_example_fail("%s: %s", arguments.out, strerror(errno));
    for (size_t i = 0; i < softfocus_example_data_count(); i++) {
        struct data_set data = softfocus_example_data_load(i, arguments.data);
        compare_losses(&data, &arguments);
        softfocus_example_data_free(&data);
    }
    softfocus_example_plot(plot_script, arguments.out);
    printf("Tables: %s/*.tsv\n", arguments.out);
    return finish(EXIT_SUCCESS);
}
