/* Scores of a trained classifier of the example `imbalanced` on rows that it has not seen. main.c and
 * objectives.c call it. */
#include <math.h>
#include <stdlib.h>

#include "imbalanced.h"

struct ranked {
    float score;
    bool positive;
};

static int by_falling_score(const void *a, const void *b)
{
    float x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;
    return (x < y) - (x > y);
}

/* Average precision: the sum over thresholds of precision * the recall that the threshold adds. Rows of equal
   score are taken in at once, so that their order does not matter. */
static double average_precision(struct ranked *rows, size_t count, size_t positives)
{
    qsort(rows, count, sizeof *rows, by_falling_score);
    double area = 0;
    size_t hits = 0, hits_before = 0;
    for (size_t i = 0; i < count; i++) {
        hits += rows[i].positive;
        if (i + 1 < count && rows[i + 1].score == rows[i].score)
            continue;
        area += (double)hits / (double)(i + 1) * (double)(hits - hits_before) / (double)positives;
        hits_before = hits;
    }
    return area;
}

static size_t argmax(const float *x, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static void score_ranking(const float *log_probs, const struct rows *rows, size_t classes,
                          struct scores *scores)
{
    struct ranked *ranked = softfocus_example_allocate(rows->count, sizeof *ranked);
    for (size_t c = 0; c < classes; c++) {
        for (size_t row = 0; row < rows->count; row++)
            ranked[row] = (struct ranked){log_probs[row * classes + c], (size_t)rows->labels[row] == c};
        scores->measures[PR_AUC].of_class[c] = average_precision(ranked, rows->count, rows->class_count[c]);
    }
    free(ranked);
}

static void score_predictions(const float *log_probs, const struct rows *rows, size_t classes,
                              struct scores *scores)
{
    size_t predicted[MAX_CLASSES] = {0}, right[MAX_CLASSES] = {0}, all_right = 0;
    double probability = 0;
    for (size_t row = 0; row < rows->count; row++) {
        const float *row_log_probs = log_probs + row * classes;
        size_t best = argmax(row_log_probs, classes);
        predicted[best]++;
        probability += exp((double)row_log_probs[classes - 1]);
        if (best == (size_t)rows->labels[row]) {
            right[best]++;
            all_right++;
        }
    }
    for (size_t c = 0; c < classes; c++) {
        scores->measures[RECALL].of_class[c] = (double)right[c] / (double)rows->class_count[c];
        scores->measures[PRECISION].of_class[c] =
            predicted[c] ? (double)right[c] / (double)predicted[c] : 0.0;
    }
    scores->accuracy = (double)all_right / (double)rows->count;
    scores->mean_last_probability = probability / (double)rows->count;
}

/* Means over the classes, and over the rare ones among them. */
static void score_means(const struct data_set *data, struct scores *scores)
{
    const double rare_share = 0.05;
    size_t rare_classes = 0;
    for (size_t c = 0; c < data->classes; c++) {
        bool rare = (double)data->train.class_count[c] < rare_share * (double)data->train.count;
        rare_classes += rare;
        for (int m = 0; m < MEASURES; m++) {
            scores->measures[m].macro += scores->measures[m].of_class[c];
            scores->measures[m].rare += rare ? scores->measures[m].of_class[c] : 0.0;
        }
    }
    for (int m = 0; m < MEASURES; m++) {
        scores->measures[m].macro /= (double)data->classes;
        scores->measures[m].rare /= (double)rare_classes; /* each data set has some */
    }
}

struct scores softfocus_example_score(const struct model *model, const struct data_set *data)
{
    struct scores scores = {0};
    const struct rows *rows = &data->test;
    size_t classes = model->classes;
    double *hidden = softfocus_example_allocate(rows->count * model->hidden, sizeof(double));
    float *log_probs = softfocus_example_allocate(rows->count * classes, sizeof(float));
    softfocus_example_forward(model, rows->features, rows->count, hidden, log_probs);
    softfocus_example_log_probs(log_probs, rows->count, classes, log_probs); /* in place */

    score_predictions(log_probs, rows, classes, &scores);
    score_ranking(log_probs, rows, classes, &scores);
    score_means(data, &scores);
    free(log_probs);
    free(hidden);
    return scores;
}
