/* What the parts of the example `imbalanced` share: it trains small classifiers on two imbalanced data sets
 * and compares the losses. The order of the pipeline is the order of this file: data.c, model.c, loss.c,
 * train.c or lbfgs.c, scores.c, report.c; main.c and objectives.c drive it. Only loss.c calls softfocus, and
 * it is the part to read first.
 *
 * The products of the forward and the backward pass are plain loops in double; what goes into softfocus and
 * comes out of it is float. A function that cannot go on says why on standard error and ends the program. */
#ifndef IMBALANCED_H
#define IMBALANCED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the larger data set; others may have fewer. */
enum { MAX_FEATURES = 9, MAX_CLASSES = 7 };

/* Says why on standard error and ends the program with status 1. */
_Noreturn void softfocus_example_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* count elements of `size` bytes, zeroed; never NULL. */
void *softfocus_example_allocate(size_t count, size_t size);

/* ---- data.c: the data sets ----------------------------------------------------------------------------- */

struct rows {
    size_t count;
    double *features; /* [count, features], standardised */
    int32_t *labels;  /* [count] */
    size_t class_count[MAX_CLASSES];
};

struct data_set {
    const char *name;
    size_t features, classes;
    double net_decay; /* struct loss's decay for a net with a hidden layer */
    struct rows train, test;
};

size_t softfocus_example_data_count(void);
/* Reads the index-th data set from `folder`, splits it and standardises its features. */
struct data_set softfocus_example_data_load(size_t index, const char *folder);
void softfocus_example_data_free(struct data_set *data);

/* ---- model.c: softmax regression, or one hidden layer -------------------------------------------------- */

struct model {
    size_t features, hidden, classes; /* hidden 0: softmax regression */
    size_t parameter_count;
    double *parameters; /* layer by layer, unit by unit: the weights of its inputs, then its bias */
};

/* Softmax regression starts from zero; a net from random weights that the seed decides. */
struct model softfocus_example_model_create(size_t features, size_t hidden, size_t classes, uint64_t seed);
void softfocus_example_model_free(struct model *model);
/* hidden: [count, model->hidden], kept for the backward pass; logits: [count, classes]. */
void softfocus_example_forward(const struct model *model, const double *features, size_t count,
                               double *hidden, float *logits);
/* Adds the gradient of the parameters to `grad`, from that of the logits. */
void softfocus_example_backward(const struct model *model, const double *features, size_t count,
                                const double *hidden, const float *grad_logits, double *grad);
/* A number in [0, 1) from a generator that is one word of state (SplitMix64). */
double softfocus_example_random(uint64_t *state);

/* ---- loss.c: the calls to softfocus -------------------------------------------------------------------- */

/* What training makes small: the mean over the rows of w_y * (1 - p_y)^gamma * -log p_y, with w_y = 1 where
   class_weight is NULL, + decay * the sum of all squared parameters, biases included. */
struct loss {
    double gamma;
    const float *class_weight;
    double decay;
};

/* The mean over `count` rows, each loss counted with its weight; grad_logits: its gradient. */
float softfocus_example_mean_loss(const struct loss *loss, const float *logits, const int32_t *labels,
                                  size_t count, size_t classes, float *grad_logits);
/* The loss of each row, and the gradient of each row's loss. */
void softfocus_example_row_losses(const struct loss *loss, const float *logits, const int32_t *labels,
                                  size_t count, size_t classes, float *losses, float *grad_logits);
void softfocus_example_log_probs(const float *logits, size_t count, size_t classes, float *log_probs);
/* The ISA that the calls above run on. */
const char *softfocus_example_isa(void);

/* ---- train.c: the objective, and mini-batches with Adam ------------------------------------------------ */

/* The loss over all rows, decay included, and its gradient (may be NULL). */
double softfocus_example_objective(const struct model *model, const struct loss *loss,
                                   const struct rows *rows, double *grad);

struct training {
    size_t epochs;
    double rate; /* of the first step */
    uint64_t seed;
};

/* Of the fastest epoch: what else runs on the machine makes others slower, never faster. */
struct cost {
    double epoch_ms;   /* wall-clock time */
    double loss_share; /* the share of it that was spent in softfocus */
};

struct cost softfocus_example_train(struct model *model, const struct loss *loss, const struct rows *rows,
                                    struct training training);

/* ---- lbfgs.c: a minimum, deterministically ------------------------------------------------------------- */

/* The value at x; writes the gradient there. */
typedef double objective_function(void *context, const double *x, double *grad);

struct minimum {
    double value, grad_norm; /* the largest entry of the gradient */
    size_t evaluations;
    bool converged;
};

/* From x, in place, until no entry of the gradient exceeds `tolerance`. */
struct minimum softfocus_example_minimise(objective_function *function, void *context, size_t count,
                                          double *x, double tolerance);

/* ---- scores.c: what a classifier is worth -------------------------------------------------------------- */

enum measure {
    RECALL,
    PRECISION, /* of a class that is never predicted: 0 */
    PR_AUC,    /* average precision, the class against the rest, ranked by the class's log-probability */
    MEASURES
};

struct scores {
    struct {
        double of_class[MAX_CLASSES];
        double macro, rare; /* the mean over the classes; over those with under 5 % of the training rows */
    } measures[MEASURES];
    double accuracy;
    double mean_last_probability; /* mean over the rows of the last class's probability */
};

/* On the test rows. */
struct scores softfocus_example_score(const struct model *model, const struct data_set *data);

/* ---- report.c: tables, files and the picture ----------------------------------------------------------- */

struct run {
    const char *model, *loss;
    size_t seed;
    double objective; /* over the training rows, at the end */
    struct scores scores;
    struct cost cost;
};

/* Prints the tables of one data set and writes its runs to `folder`/NAME.tsv. `runs` holds `seeds` runs of
   one model and loss after another. */
void softfocus_example_report(const struct data_set *data, const struct run *runs, size_t run_count,
                              size_t seeds, const char *folder);
/* Draws `folder`/imbalanced.svg from the .tsv files with gnuplot, or says that there is no gnuplot. */
void softfocus_example_plot(const char *script, const char *folder);

/* ---- objectives.c: the values that others found -------------------------------------------------------- */

/* Fits the linear model to convergence and compares with data/README.md; the number of deviations. */
size_t softfocus_example_check_objectives(const char *folder);

#endif
