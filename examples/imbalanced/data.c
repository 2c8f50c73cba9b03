/* Reads the data sets of the example `imbalanced`: comma-separated files whose last column is the class.
 * main.c and objectives.c call it. data/README.md describes the files and the splits. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imbalanced.h"

/* The official Statlog split. */
static bool shuttle_row_is_test(size_t row)
{
    return row >= 43500;
}

/* The rows come sorted by age group and sex, so every fifth one. */
static bool flchain_row_is_test(size_t row)
{
    return row % 5 == 0;
}

/* flchain's decay is as strong as that of the README's net, which is 1 for the sum over the 6252 training
   rows; its units are logistic, 2 logistic(2 x) - 1 = tanh(x), and so take weights twice as large. Without it
   the net learns the training rows by heart. */
static const struct data_file {
    const char *name;
    size_t rows, features, classes;
    unsigned log_columns; /* bit i: column i enters as log(1 + x) */
    double net_decay;
    bool (*row_is_test)(size_t row);
} data_files[] = {
    {"shuttle", 58000, 9, 7, 0, 1e-6, shuttle_row_is_test},
    {"flchain_death1y", 7816, 7, 2, 1u << 3 | 1u << 4 | 1u << 5 /* kappa, lambda, creatinine */, 4.0 / 6252.0,
     flchain_row_is_test},
};

size_t softfocus_example_data_count(void)
{
    return sizeof data_files / sizeof data_files[0];
}

/* Reads one row's features and its label; false if the line is not exactly that. */
static bool parse_row(const struct data_file *file, const char *line, double *features, int32_t *label)
{
    for (size_t column = 0; column <= file->features; column++) {
        char *end;
        double value = strtod(line, &end);
        bool last = column == file->features;
        if (end == line || *end != (last ? '\n' : ',') || !isfinite(value))
            return false;
        line = end + 1;
        if (last) {
            if (value < 0 || value >= (double)file->classes || value != floor(value))
                return false;
            *label = (int32_t)value;
        } else {
            features[column] = file->log_columns >> column & 1 ? log1p(value) : value;
        }
    }
    return *line == '\0';
}

static void append_row(struct rows *rows, size_t features, const double *row, int32_t label)
{
    memcpy(rows->features + rows->count * features, row, features * sizeof *row);
    rows->labels[rows->count] = label;
    rows->class_count[label]++;
    rows->count++;
}

static void read_file(const struct data_file *file, const char *folder, struct data_set *data)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s.csv", folder, file->name) >= (int)sizeof path)
        softfocus_example_fail("%s: the path is too long", folder);
    FILE *stream = fopen(path, "r");
    if (!stream)
        softfocus_example_fail("%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0, row = 0;
    if (getline(&line, &capacity, stream) < 0) /* the header */
        softfocus_example_fail("%s: empty", path);
    for (; getline(&line, &capacity, stream) >= 0; row++) {
        double features[MAX_FEATURES];
        int32_t label = 0;
        if (row == file->rows || !parse_row(file, line, features, &label))
            softfocus_example_fail("%s:%zu: not one of the data's %zu rows", path, row + 2, file->rows);
        append_row(file->row_is_test(row) ? &data->test : &data->train, file->features, features, label);
    }
    if (row != file->rows)
        softfocus_example_fail("%s: %zu rows where there should be %zu", path, row, file->rows);
    free(line);
    fclose(stream);
}

static void shift_and_scale(struct rows *rows, size_t features, size_t column, double mean, double deviation)
{
    for (size_t row = 0; row < rows->count; row++) {
        double *value = &rows->features[row * features + column];
        *value = (*value - mean) / deviation;
    }
}

/* Mean 0 and standard deviation 1 over the training rows; the test rows are scaled by the same. */
static void standardise(struct data_set *data)
{
    const struct rows *train = &data->train;
    for (size_t column = 0; column < data->features; column++) {
        double sum = 0, squares = 0;
        for (size_t row = 0; row < train->count; row++)
            sum += train->features[row * data->features + column];
        double mean = sum / (double)train->count;
        for (size_t row = 0; row < train->count; row++) {
            double difference = train->features[row * data->features + column] - mean;
            squares += difference * difference;
        }
        double deviation = sqrt(squares / (double)(train->count - 1));
        shift_and_scale(&data->train, data->features, column, mean, deviation);
        shift_and_scale(&data->test, data->features, column, mean, deviation);
    }
}

struct data_set softfocus_example_data_load(size_t index, const char *folder)
{
    const struct data_file *file = &data_files[index];
    struct data_set data = {.name = file->name,
                            .features = file->features,
                            .classes = file->classes,
                            .net_decay = file->net_decay};
    struct rows *parts[] = {&data.train, &data.test};
    for (size_t i = 0; i < 2; i++) {
        parts[i]->features = softfocus_example_allocate(file->rows * file->features, sizeof(double));
        parts[i]->labels = softfocus_example_allocate(file->rows, sizeof(int32_t));
    }
    read_file(file, folder, &data);
    standardise(&data);
    return data;
}

void softfocus_example_data_free(struct data_set *data)
{
    free(data->train.features);
    free(data->train.labels);
    free(data->test.features);
    free(data->test.labels);
}
