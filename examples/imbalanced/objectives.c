/* Holds the linear model's converged objective, and what the model then does on the test rows, against the
 * values of data/README.md: another program's, which shares no code with softfocus. main.c calls it for
 * --check-objectives, and the test example-objectives runs that. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "imbalanced.h"

static const char data_name[] = "flchain_death1y";

/* The README's table 'What to expect of focal loss here'. */
static const struct fit {
    double gamma;
    float class_weight[2];
    double objective, pr_auc, recall, precision, mean_probability;
} fits[] = {
    {0, {1.0f, 1.0f}, 0.12274, 0.202, 0.020, 1.000, 0.034},
    {0, {0.25f, 0.75f}, 0.06680, 0.207, 0.098, 0.278, 0.086},
    {2, {1.0f, 1.0f}, 0.03482, 0.204, 0.020, 1.000, 0.192},
    {2, {0.25f, 0.75f}, 0.01807, 0.206, 0.098, 0.357, 0.261},
    {2, {1.0f, 6036.0f / 216.0f}, 0.25842, 0.207, 0.686, 0.086, 0.439}, /* N0 / N1 */
};

static const double decay = 1e-6; /* of those fits */

/* The gradient at a fit's end, largest entry. Its objective is then within 1e-9 of the minimum's. */
static const double gradient_tolerance = 1e-6;

/* Half a unit of the table's last place, and a little for where its optimiser stopped. */
static const double objective_tolerance = 6e-6, score_tolerance = 6e-4;

struct fitting {
    struct model *model;
    const struct loss *loss;
    const struct rows *rows;
};

static double objective_at(void *context, const double *x, double *grad)
{
    const struct fitting *fitting = context;
    memcpy(fitting->model->parameters, x, fitting->model->parameter_count * sizeof *x);
    return softfocus_example_objective(fitting->model, fitting->loss, fitting->rows, grad);
}

static struct minimum fit_model(const struct fit *fit, const struct data_set *data, struct model *model)
{
    struct loss loss = {fit->gamma, fit->class_weight, decay};
    struct fitting fitting = {model, &loss, &data->train};
    double x[MAX_CLASSES * (MAX_FEATURES + 1)] = {0};
    struct minimum minimum =
        softfocus_example_minimise(objective_at, &fitting, model->parameter_count, x, gradient_tolerance);
    memcpy(model->parameters, x, model->parameter_count * sizeof *x);
    return minimum;
}

/* Prints one value beside the expected one; 1 if it deviates. */
static size_t compare(const char *what, double value, double expected, double tolerance, int digits)
{
    bool deviates = !(fabs(value - expected) <= tolerance);
    printf("  %-18s %.*f  expected %.*f within %.1e%s\n", what, digits + 2, value, digits, expected,
           tolerance, deviates ? "  DEVIATES" : "");
    return deviates;
}

static size_t check_fit(const struct fit *fit, const struct data_set *data)
{
    struct model model = softfocus_example_model_create(data->features, 0, data->classes, 0);
    struct minimum minimum = fit_model(fit, data, &model);
    struct scores scores = softfocus_example_score(&model, data);
    softfocus_example_model_free(&model);

    printf("gamma %g, class weights %g and %g: %zu evaluations, gradient %.1e%s\n", fit->gamma,
           (double)fit->class_weight[0], (double)fit->class_weight[1], minimum.evaluations, minimum.grad_norm,
           minimum.converged ? "" : "  NOT CONVERGED");
    size_t deviations = !minimum.converged;
    deviations += compare("train objective", minimum.value, fit->objective, objective_tolerance, 5);
    deviations +=
        compare("test PR-AUC", scores.measures[PR_AUC].of_class[1], fit->pr_auc, score_tolerance, 3);
    deviations +=
        compare("test recall", scores.measures[RECALL].of_class[1], fit->recall, score_tolerance, 3);
    deviations +=
        compare("test precision", scores.measures[PRECISION].of_class[1], fit->precision, score_tolerance, 3);
    deviations +=
        compare("mean probability", scores.mean_last_probability, fit->mean_probability, score_tolerance, 3);
    return deviations;
}

size_t softfocus_example_check_objectives(const char *folder)
{
    size_t deviations = 0, checked = 0;
    for (size_t i = 0; i < softfocus_example_data_count(); i++) {
        struct data_set data = softfocus_example_data_load(i, folder);
        if (strcmp(data.name, data_name) == 0) {
            printf("%s: the linear model fitted to convergence (%s)\n", data.name, softfocus_example_isa());
            for (size_t k = 0; k < sizeof fits / sizeof fits[0]; k++, checked++)
                deviations += check_fit(&fits[k], &data);
        }
        softfocus_example_data_free(&data);
    }
    if (!checked)
        softfocus_example_fail("no data set is called %s", data_name);
    return deviations;
}
