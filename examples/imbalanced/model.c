/* The classifiers of the example `imbalanced`: softmax regression, and a net with one hidden layer of tanh.
 * train.c and scores.c call them. Both are layers of units, each a weighted sum of its inputs and a bias; the
 * loops are plain. */
#include <math.h>
#include <stdlib.h>

#include "imbalanced.h"

double softfocus_example_random(uint64_t *state)
{
    uint64_t bits = *state += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    return (double)(bits >> 11) * 0x1p-53;
}

/* The parameters of one layer: for each unit a weight per input, and a bias. */
static size_t layer_size(size_t units, size_t inputs)
{
    return units * (inputs + 1);
}

/* Uniform with variance 1 / inputs, so that the sums start with the variance of the inputs; biases of 0. */
static void random_layer(double *layer, size_t units, size_t inputs, uint64_t *state)
{
    double bound = sqrt(3.0 / (double)inputs);
    for (size_t unit = 0; unit < units; unit++)
        for (size_t i = 0; i < inputs; i++)
            layer[unit * (inputs + 1) + i] = bound * (2.0 * softfocus_example_random(state) - 1.0);
}

struct model softfocus_example_model_create(size_t features, size_t hidden, size_t classes, uint64_t seed)
{
    struct model model = {.features = features, .hidden = hidden, .classes = classes};
    size_t first = layer_size(hidden, features), last = layer_size(classes, hidden ? hidden : features);
    model.parameter_count = first + last;
    model.parameters = softfocus_example_allocate(model.parameter_count, sizeof(double));
    if (hidden) {
        random_layer(model.parameters, hidden, features, &seed);
        random_layer(model.parameters + first, classes, hidden, &seed);
    }
    return model;
}

void softfocus_example_model_free(struct model *model)
{
    free(model->parameters);
}

static double unit_forward(const double *unit, const double *in, size_t inputs)
{
    double sum = unit[inputs];
    for (size_t i = 0; i < inputs; i++)
        sum += unit[i] * in[i];
    return sum;
}

/* Adds `grad`, the gradient of the unit's sum, times what the sum depends on. */
static void unit_backward(double grad, const double *in, size_t inputs, double *grad_unit)
{
    for (size_t i = 0; i < inputs; i++)
        grad_unit[i] += grad * in[i];
    grad_unit[inputs] += grad;
}

void softfocus_example_forward(const struct model *model, const double *features, size_t count,
                               double *hidden, float *logits)
{
    const double *first = model->parameters, *last = first + layer_size(model->hidden, model->features);
    size_t inputs = model->hidden ? model->hidden : model->features;
    for (size_t row = 0; row < count; row++) {
        const double *in = features + row * model->features;
        if (model->hidden) {
            double *out = hidden + row * model->hidden;
            for (size_t unit = 0; unit < model->hidden; unit++)
                out[unit] = tanh(unit_forward(first + unit * (model->features + 1), in, model->features));
            in = out;
        }
        for (size_t c = 0; c < model->classes; c++)
            logits[row * model->classes + c] = (float)unit_forward(last + c * (inputs + 1), in, inputs);
    }
}

/* One row's gradient through the hidden layer: from the logits' to the sums under the tanh. */
static void hidden_backward(const struct model *model, const double *features, const double *hidden,
                            const float *grad_logits, double *grad)
{
    const double *last = model->parameters + layer_size(model->hidden, model->features);
    for (size_t unit = 0; unit < model->hidden; unit++) {
        double sum = 0;
        for (size_t c = 0; c < model->classes; c++)
            sum += (double)grad_logits[c] * last[c * (model->hidden + 1) + unit];
        double slope = 1.0 - hidden[unit] * hidden[unit];
        unit_backward(sum * slope, features, model->features, grad + unit * (model->features + 1));
    }
}

void softfocus_example_backward(const struct model *model, const double *features, size_t count,
                                const double *hidden, const float *grad_logits, double *grad)
{
    double *grad_last = grad + layer_size(model->hidden, model->features);
    const double *in = model->hidden ? hidden : features;
    size_t inputs = model->hidden ? model->hidden : model->features;
    for (size_t row = 0; row < count; row++) {
        const float *grad_row = grad_logits + row * model->classes;
        for (size_t c = 0; c < model->classes; c++)
            unit_backward((double)grad_row[c], in + row * inputs, inputs, grad_last + c * (inputs + 1));
        if (model->hidden)
            hidden_backward(model, features + row * model->features, hidden + row * model->hidden, grad_row,
                            grad);
    }
}
