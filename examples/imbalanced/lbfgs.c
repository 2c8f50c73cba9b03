/* L-BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5): the minimum of a smooth
 * function of a few dozen variables, the same on every run. objectives.c calls it. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "imbalanced.h"

enum {
    MEMORY = 10,            /* pairs kept; 3 to 20 is usual */
    MAX_EVALUATIONS = 2000, /* the fits of objectives.c take a few dozen */
    MAX_TRIALS = 40         /* of one line search: halvings of a step until nothing is left of it in float */
};

/* Values that differ by less are the same: logits rounded to float change a mean of losses of order 0.1 to 1
   by about 1e-9. Without it the search stops on noise next to the minimum. */
static const double noise = 1e-9;

struct memory {
    size_t count, next;       /* pairs held; where the next one goes */
    double *steps, *changes;  /* [MEMORY, n]: of x and of the gradient */
    double curvature[MEMORY]; /* step . change, > 0 */
};

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *y, double scale, const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += scale * x[i];
}

static double largest(const double *x, size_t count)
{
    double bound = 0;
    for (size_t i = 0; i < count; i++)
        bound = fmax(bound, fabs(x[i]));
    return bound;
}

/* direction = -(approximate inverse Hessian) * grad, by the two loops over the pairs. */
static void find_direction(const struct memory *memory, const double *grad, size_t count, double *direction)
{
    double share[MEMORY];
    for (size_t i = 0; i < count; i++)
        direction[i] = -grad[i];
    for (size_t age = 1; age <= memory->count; age++) {
        size_t k = (memory->next + MEMORY - age) % MEMORY;
        share[k] = dot(memory->steps + k * count, direction, count) / memory->curvature[k];
        add_scaled(direction, -share[k], memory->changes + k * count, count);
    }
    if (memory->count) {
        size_t k = (memory->next + MEMORY - 1) % MEMORY;
        const double *change = memory->changes + k * count;
        double scale = memory->curvature[k] / dot(change, change, count);
        for (size_t i = 0; i < count; i++)
            direction[i] *= scale;
    }
    for (size_t age = memory->count; age >= 1; age--) {
        size_t k = (memory->next + MEMORY - age) % MEMORY;
        double correction = dot(memory->changes + k * count, direction, count) / memory->curvature[k];
        add_scaled(direction, share[k] - correction, memory->steps + k * count, count);
    }
}

static void remember(struct memory *memory, const double *step, const double *change, size_t count)
{
    double curvature = dot(step, change, count);
    if (curvature <= 0) /* the noise of the last steps; the approximation must stay positive definite */
        return;
    memcpy(memory->steps + memory->next * count, step, count * sizeof *step);
    memcpy(memory->changes + memory->next * count, change, count * sizeof *change);
    memory->curvature[memory->next] = curvature;
    memory->next = (memory->next + 1) % MEMORY;
    if (memory->count < MEMORY)
        memory->count++;
}

struct point {
    double *x, *grad;
    double value;
};

/* Moves `to` along the direction from `from` until the value falls enough and the slope flattens (the weak
   Wolfe conditions), halving or doubling the step; false if no step does. */
static bool search_line(objective_function *function, void *context, size_t count, const struct point *from,
                        const double *direction, double step, struct point *to, size_t *evaluations)
{
    const double enough = 1e-4, flat = 0.9;
    double slope = dot(from->grad, direction, count), low = 0, high = INFINITY;
    for (int trial = 0; trial < MAX_TRIALS; trial++) {
        memcpy(to->x, from->x, count * sizeof *to->x);
        add_scaled(to->x, step, direction, count);
        to->value = function(context, to->x, to->grad);
        ++*evaluations;
        if (!(to->value <= from->value + enough * step * slope + noise))
            high = step;
        else if (dot(to->grad, direction, count) < flat * slope)
            low = step;
        else
            return true;
        step = high < INFINITY ? 0.5 * (low + high) : 2.0 * step;
    }
    return false;
}

struct minimum softfocus_example_minimise(objective_function *function, void *context, size_t count,
                                          double *x, double tolerance)
{
    struct point points[2], *here = &points[0], *next = &points[1];
    for (int i = 0; i < 2; i++) {
        points[i].x = softfocus_example_allocate(count, sizeof(double));
        points[i].grad = softfocus_example_allocate(count, sizeof(double));
    }
    struct memory memory = {
        .steps = softfocus_example_allocate(MEMORY * count, sizeof(double)),
        .changes = softfocus_example_allocate(MEMORY * count, sizeof(double)),
    };
    double *direction = softfocus_example_allocate(count, sizeof(double));

    memcpy(here->x, x, count * sizeof *x);
    here->value = function(context, here->x, here->grad);
    size_t evaluations = 1;
    while (largest(here->grad, count) > tolerance && evaluations < MAX_EVALUATIONS) {
        find_direction(&memory, here->grad, count, direction);
        double step = memory.count ? 1.0 : 1.0 / fmax(1.0, largest(direction, count));
        if (!search_line(function, context, count, here, direction, step, next, &evaluations))
            break;
        /* `here` becomes the step and the change of the gradient, then the place of the next point. */
        for (size_t i = 0; i < count; i++) {
            here->x[i] = next->x[i] - here->x[i];
            here->grad[i] = next->grad[i] - here->grad[i];
        }
        remember(&memory, here->x, here->grad, count);
        struct point *freed = here;
        here = next;
        next = freed;
    }
    memcpy(x, here->x, count * sizeof *x);
    double norm = largest(here->grad, count);
    struct minimum minimum = {here->value, norm, evaluations, norm <= tolerance};

    free(direction);
    free(memory.changes);
    free(memory.steps);
    for (int i = 0; i < 2; i++) {
        free(points[i].grad);
        free(points[i].x);
    }
    return minimum;
}
