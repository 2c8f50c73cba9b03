/* The training objective of the example `imbalanced`, and training by mini-batches with Adam. main.c trains;
 * objectives.c minimises the objective whole. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imbalanced.h"

enum { BATCH_ROWS = 64 };

double softfocus_example_objective(const struct model *model, const struct loss *loss,
                                   const struct rows *rows, double *grad)
{
    float *logits = softfocus_example_allocate(rows->count * model->classes, sizeof(float));
    float *losses = softfocus_example_allocate(rows->count, sizeof(float));
    double *hidden = softfocus_example_allocate(rows->count * model->hidden, sizeof(double));
    double *sums = softfocus_example_allocate(model->parameter_count, sizeof(double));

    softfocus_example_forward(model, rows->features, rows->count, hidden, logits);
    /* One loss per row, summed here in double: a line search needs more digits than a float mean has. */
    softfocus_example_row_losses(loss, logits, rows->labels, rows->count, model->classes, losses, logits);
    softfocus_example_backward(model, rows->features, rows->count, hidden, logits, sums);

    double count = (double)rows->count, total = 0, squares = 0;
    for (size_t row = 0; row < rows->count; row++)
        total += (double)losses[row];
    for (size_t i = 0; i < model->parameter_count; i++) {
        double parameter = model->parameters[i];
        squares += parameter * parameter;
        if (grad)
            grad[i] = sums[i] / count + 2.0 * loss->decay * parameter;
    }
    free(sums);
    free(hidden);
    free(losses);
    free(logits);
    return total / count + loss->decay * squares;
}

/* Adam (Kingma and Ba, 2015) with its usual constants. */
struct adam {
    size_t count, step;
    double *mean, *square;
};

static void adam_step(struct adam *adam, double rate, const double *grad, double *parameters)
{
    const double keep_mean = 0.9, keep_square = 0.999, epsilon = 1e-8;
    adam->step++;
    double mean_scale = 1.0 / (1.0 - pow(keep_mean, (double)adam->step));
    double square_scale = 1.0 / (1.0 - pow(keep_square, (double)adam->step));
    for (size_t i = 0; i < adam->count; i++) {
        adam->mean[i] += (1.0 - keep_mean) * (grad[i] - adam->mean[i]);
        adam->square[i] += (1.0 - keep_square) * (grad[i] * grad[i] - adam->square[i]);
        parameters[i] -= rate * mean_scale * adam->mean[i] / (sqrt(square_scale * adam->square[i]) + epsilon);
    }
}

/* One mini-batch and what is computed from it. */
struct batch {
    double *features, *hidden, *grad;
    float *logits, *grad_logits;
    int32_t *labels;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void shuffle(size_t *order, size_t count, uint64_t *state)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(softfocus_example_random(state) * (double)i), last = order[i - 1];
        order[i - 1] = order[j];
        order[j] = last;
    }
}

static void gather(const struct rows *rows, const size_t *order, size_t count, size_t features,
                   struct batch *batch)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(batch->features + i * features, rows->features + order[i] * features,
               features * sizeof(double));
        batch->labels[i] = rows->labels[order[i]];
    }
}

/* The gradient of one batch's objective, into batch->grad; the seconds that the loss took. */
static double batch_gradient(const struct model *model, const struct loss *loss, size_t count,
                             struct batch *batch)
{
    softfocus_example_forward(model, batch->features, count, batch->hidden, batch->logits);
    double start = seconds();
    float value = softfocus_example_mean_loss(loss, batch->logits, batch->labels, count, model->classes,
                                              batch->grad_logits);
    double spent = seconds() - start;
    if (!isfinite(value))
        softfocus_example_fail("training diverged: the loss of a batch is %g", (double)value);
    for (size_t i = 0; i < model->parameter_count; i++)
        batch->grad[i] = 2.0 * loss->decay * model->parameters[i];
    softfocus_example_backward(model, batch->features, count, batch->hidden, batch->grad_logits, batch->grad);
    return spent;
}

struct cost softfocus_example_train(struct model *model, const struct loss *loss, const struct rows *rows,
                                    struct training training)
{
    /* The rate falls to 0 along half a cosine, so that the last batches settle. */
    const double pi = 3.14159265358979323846;
    uint64_t state = training.seed;
    size_t *order = softfocus_example_allocate(rows->count, sizeof *order);
    for (size_t i = 0; i < rows->count; i++)
        order[i] = i;
    struct batch batch = {
        .features = softfocus_example_allocate(BATCH_ROWS * model->features, sizeof(double)),
        .hidden = softfocus_example_allocate(BATCH_ROWS * model->hidden, sizeof(double)),
        .grad = softfocus_example_allocate(model->parameter_count, sizeof(double)),
        .logits = softfocus_example_allocate(BATCH_ROWS * model->classes, sizeof(float)),
        .grad_logits = softfocus_example_allocate(BATCH_ROWS * model->classes, sizeof(float)),
        .labels = softfocus_example_allocate(BATCH_ROWS, sizeof(int32_t)),
    };
    struct adam adam = {
        .count = model->parameter_count,
        .mean = softfocus_example_allocate(model->parameter_count, sizeof(double)),
        .square = softfocus_example_allocate(model->parameter_count, sizeof(double)),
    };

    struct cost fastest = {.epoch_ms = INFINITY};
    for (size_t epoch = 0; epoch < training.epochs; epoch++) {
        double start = seconds(), loss_seconds = 0;
        shuffle(order, rows->count, &state);
        for (size_t first = 0; first < rows->count; first += BATCH_ROWS) {
            size_t left = rows->count - first, count = left < BATCH_ROWS ? left : BATCH_ROWS;
            gather(rows, order + first, count, model->features, &batch);
            loss_seconds += batch_gradient(model, loss, count, &batch);
            double progress = ((double)epoch + (double)first / (double)rows->count) / (double)training.epochs;
            adam_step(&adam, training.rate * 0.5 * (1.0 + cos(pi * progress)), batch.grad, model->parameters);
        }
        double spent = seconds() - start;
        if (1e3 * spent < fastest.epoch_ms)
            fastest = (struct cost){.epoch_ms = 1e3 * spent, .loss_share = loss_seconds / spent};
    }

    free(adam.square);
    free(adam.mean);
    free(batch.labels);
    free(batch.grad_logits);
    free(batch.logits);
    free(batch.grad);
    free(batch.hidden);
    free(batch.features);
    free(order);
    return fastest;
}
