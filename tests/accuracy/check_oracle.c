/* softfocus-check-oracle: the oracle of the tests against MPFR, on the rows that are hard: wide gaps, ties, p next to 1,
 * results that are subnormal in float32, 100000 classes, gammas of every kind.
 *
 * Here the formulas are those of a textbook, 1 - p and log(p) included, with none of the oracle's care against
 * cancellation; instead they are done in so many bits that 200 are left of a result after all that cancels. */
#include <inttypes.h>
#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffers.h"
#include "oracle.h"
#include "random.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    /* 1 - p of a gap of 300 is 2^-433. */
    WIDEST_GAP = 300,
    BITS = 640
};

/* Relative to the result, or to the terms whose difference it is. oracle.h says 2^-48; a result of pow, whose base is off
   by 2^-51, is off by gamma times that. */
static double tolerance(double gamma)
{
    return 0x1p-48 * fmax(1.0, gamma / 4.0);
}

/* Below this a result rounds to 0 in float32, and an error of it is nothing to see: 2^-24 of the least ulp. */
static const double least = 0x1p-173;

/* ---- Comparisons ------------------------------------------------------------------------------------------------- */

/* What has been compared, under one name. */
typedef struct tally {
    const char *name;
    uint64_t compared, wrong;
    double worst; /* relative */
} tally;

static tally tallies[16];
static uint64_t wrong;
static char row_name[96];

static tally *tally_of(const char *name)
{
    tally *found = tallies;
    while (found->name != NULL && strcmp(found->name, name) != 0)
        found++;
    if (found == tallies + COUNT(tallies) - 1) {
        fprintf(stderr, "too many tallies\n");
        exit(EXIT_FAILURE);
    }
    found->name = name;
    return found;
}

/* |got - exact| <= allowed * magnitude */
static void compare(const char *name, double got, const mpfr_t exact, const mpfr_t magnitude, double allowed)
{
    tally *found = tally_of(name);
    mpfr_t difference;
    mpfr_init2(difference, BITS);
    mpfr_sub_d(difference, exact, got, MPFR_RNDN);
    double error = fabs(mpfr_get_d(difference, MPFR_RNDN));
    mpfr_clear(difference);
    double of = fmax(fabs(mpfr_get_d(magnitude, MPFR_RNDN)), least / allowed);
    found->compared++;
    if (error / of > found->worst)
        found->worst = error / of;
    if (error <= allowed * of)
        return;
    wrong++;
    if (found->wrong++ < 5)
        mpfr_printf("WRONG: %s of %s: %.17g, exactly %.25Rg: off by %.3g\n", name, row_name, got, exact, error / of);
}

/* ---- One row ----------------------------------------------------------------------------------------------------- */

typedef struct row {
    size_t classes;
    double *logits, *results, *magnitudes, *above;
    mpfr_t max, sum, log_sum; /* of exp(z - max) */
    mpfr_t *exps;
} row;

static void make_row(row *made, size_t classes)
{
    made->classes = classes;
    made->logits = softfocus_allocate(classes, sizeof(double));
    made->results = softfocus_allocate(classes, sizeof(double));
    made->magnitudes = softfocus_allocate(classes, sizeof(double));
    made->above = softfocus_allocate(classes, sizeof(double));
    made->exps = softfocus_allocate(classes, sizeof *made->exps);
    for (size_t c = 0; c < classes; c++)
        mpfr_init2(made->exps[c], BITS);
    mpfr_inits2(BITS, made->max, made->sum, made->log_sum, (mpfr_ptr)NULL);
}

static void free_row(row *made)
{
    for (size_t c = 0; c < made->classes; c++)
        mpfr_clear(made->exps[c]);
    mpfr_clears(made->max, made->sum, made->log_sum, (mpfr_ptr)NULL);
    free(made->logits);
    free(made->results);
    free(made->magnitudes);
    free(made->above);
    free(made->exps);
}

static size_t extreme(const row *made, int largest)
{
    size_t best = 0;
    for (size_t c = 1; c < made->classes; c++)
        if (largest ? made->logits[c] > made->logits[best] : made->logits[c] < made->logits[best])
            best = c;
    return best;
}

/* exp(z - max) and its sum: subtracting the maximum, exactly, keeps MPFR's exponents in their range. */
static void exponentials(row *made)
{
    mpfr_set_d(made->max, made->logits[extreme(made, 1)], MPFR_RNDN);
    mpfr_set_zero(made->sum, 1);
    for (size_t c = 0; c < made->classes; c++) {
        mpfr_d_sub(made->exps[c], made->logits[c], made->max, MPFR_RNDN);
        mpfr_exp(made->exps[c], made->exps[c], MPFR_RNDN);
        mpfr_add(made->sum, made->sum, made->exps[c], MPFR_RNDN);
    }
    mpfr_log(made->log_sum, made->sum, MPFR_RNDN);
}

/* log p = (z - max) - log(sum) */
static void log_prob(const row *made, size_t c, mpfr_t value)
{
    mpfr_d_sub(value, made->logits[c], made->max, MPFR_RNDN);
    mpfr_sub(value, value, made->log_sum, MPFR_RNDN);
}

static void check_log_softmax(row *made)
{
    mpfr_t exact;
    mpfr_init2(exact, BITS);
    softfocus_oracle_log_softmax(made->logits, made->classes, made->results);
    for (size_t c = 0; c < made->classes; c++) {
        if (isinf(made->logits[c])) /* -inf, which is nothing to subtract from */
            continue;
        log_prob(made, c, exact);
        compare("log_softmax", made->results[c], exact, exact, tolerance(0.0));
    }
    mpfr_clear(exact);
}

/* The gradient: dL/dp p ([j = t] - p_j), with L = -(1 - p)^gamma log p, so that
   dL/dp p = gamma (1 - p)^(gamma - 1) p log p - (1 - p)^gamma. Nothing where 1 - p is 0: its limit. */
static void check_softmax_gradient(row *made, size_t target, double gamma, const mpfr_t p, const mpfr_t not_p,
                                   const mpfr_t log_p)
{
    mpfr_t slope, power, exact;
    mpfr_inits2(BITS, slope, power, exact, (mpfr_ptr)NULL);
    if (mpfr_zero_p(not_p)) {
        mpfr_set_zero(slope, 1);
    } else {
        mpfr_set_d(power, gamma, MPFR_RNDN);
        mpfr_pow(power, not_p, power, MPFR_RNDN);
        mpfr_div(slope, power, not_p, MPFR_RNDN);
        mpfr_mul_d(slope, slope, gamma, MPFR_RNDN);
        mpfr_mul(slope, slope, p, MPFR_RNDN);
        mpfr_mul(slope, slope, log_p, MPFR_RNDN);
        mpfr_sub(slope, slope, power, MPFR_RNDN);
    }
    for (size_t c = 0; c < made->classes; c++) {
        mpfr_div(exact, made->exps[c], made->sum, MPFR_RNDN);
        mpfr_ui_sub(exact, c == target, exact, MPFR_RNDN);
        mpfr_mul(exact, exact, slope, MPFR_RNDN);
        compare("softmax_focal_loss, gradient", made->results[c], exact, exact, tolerance(gamma));
    }
    mpfr_clears(slope, power, exact, (mpfr_ptr)NULL);
}

static void check_softmax_focal_loss(row *made, size_t target, double gamma)
{
    mpfr_t p, not_p, log_p, exact;
    mpfr_inits2(BITS, p, not_p, log_p, exact, (mpfr_ptr)NULL);
    double loss = softfocus_oracle_softmax_focal_loss(made->logits, made->classes, target, gamma, 1.0, 1.0, made->results);
    mpfr_div(p, made->exps[target], made->sum, MPFR_RNDN);
    mpfr_ui_sub(not_p, 1, p, MPFR_RNDN);
    log_prob(made, target, log_p);
    mpfr_set_d(exact, gamma, MPFR_RNDN);
    mpfr_pow(exact, not_p, exact, MPFR_RNDN);
    mpfr_mul(exact, exact, log_p, MPFR_RNDN);
    mpfr_neg(exact, exact, MPFR_RNDN);
    compare("softmax_focal_loss, loss", loss, exact, exact, tolerance(gamma));
    check_softmax_gradient(made, target, gamma, p, not_p, log_p);
    mpfr_clears(p, not_p, log_p, exact, (mpfr_ptr)NULL);
}

/* The row's own log_probs, rounded to float32, as the input; relative to |g_j| + p_j sum |g|. */
static void check_backward(row *made, softfocus_random *random)
{
    mpfr_t sum, magnitude, exact, of;
    mpfr_inits2(BITS, sum, magnitude, exact, of, (mpfr_ptr)NULL);
    double *log_probs = softfocus_allocate(made->classes, sizeof *log_probs);
    softfocus_oracle_log_softmax(made->logits, made->classes, log_probs);
    mpfr_set_zero(sum, 1);
    mpfr_set_zero(magnitude, 1);
    for (size_t c = 0; c < made->classes; c++) {
        log_probs[c] = (double)(float)log_probs[c];
        made->above[c] = (double)(float)softfocus_random_normal(random);
        mpfr_add_d(sum, sum, made->above[c], MPFR_RNDN);
        mpfr_add_d(magnitude, magnitude, fabs(made->above[c]), MPFR_RNDN);
    }
    softfocus_oracle_log_softmax_backward(log_probs, made->above, made->classes, made->results, made->magnitudes);
    for (size_t c = 0; c < made->classes; c++) {
        mpfr_set_d(exact, log_probs[c], MPFR_RNDN);
        mpfr_exp(exact, exact, MPFR_RNDN);
        mpfr_mul(of, exact, magnitude, MPFR_RNDN);
        mpfr_add_d(of, of, fabs(made->above[c]), MPFR_RNDN);
        mpfr_mul(exact, exact, sum, MPFR_RNDN);
        mpfr_d_sub(exact, made->above[c], exact, MPFR_RNDN);
        compare("log_softmax_backward", made->results[c], exact, of, tolerance(0.0));
        compare("log_softmax_backward, magnitudes", made->magnitudes[c], of, of, tolerance(0.0));
    }
    free(log_probs);
    mpfr_clears(sum, magnitude, exact, of, (mpfr_ptr)NULL);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static double as_float(double value)
{
    return (double)(float)value;
}

static void fill_normal(row *made, double mean, double scale, softfocus_random *random)
{
    for (size_t c = 0; c < made->classes; c++)
        made->logits[c] = as_float(mean + scale * softfocus_random_normal(random));
}

static void fill_ordinary(row *made, softfocus_random *random)
{
    fill_normal(made, 0.0, 1.0, random);
}

static void fill_wide(row *made, softfocus_random *random)
{
    fill_normal(made, 0.0, 30.0, random);
}

/* One class leads: by little, by as much as makes the others' p subnormal, by far more. */
static void fill_gap(row *made, softfocus_random *random)
{
    static const double gaps[][2] = {{1.0, 40.0}, {80.0, 110.0}, {110.0, WIDEST_GAP - 10.0}};
    const double *gap = gaps[softfocus_random_below(random, COUNT(gaps))];
    fill_normal(made, 0.0, 1.0, random);
    made->logits[softfocus_random_below(random, made->classes)] = as_float(softfocus_random_between(random, gap[0], gap[1]));
}

static void fill_ties(row *made, softfocus_random *random)
{
    fill_normal(made, as_float(1e3 * softfocus_random_normal(random)), 0.0, random);
}

/* A float or two apart, at 1e8 a float is 8. */
static void fill_near_ties(row *made, softfocus_random *random)
{
    double at = softfocus_random_below(random, 2) ? 1e8 : 1.0, ulp = softfocus_ulp(at);
    for (size_t c = 0; c < made->classes; c++)
        made->logits[c] = at + ulp * (double)softfocus_random_below(random, 3);
}

/* Digits so far apart that no double holds a difference. */
static void fill_tiny(row *made, softfocus_random *random)
{
    for (size_t c = 0; c < made->classes; c++)
        made->logits[c] = as_float(softfocus_random_below(random, 2) ? 1e-30 * softfocus_random_normal(random)
                                                                     : softfocus_random_between(random, -90.0, 90.0));
}

static void fill_disjoint(row *made, softfocus_random *random)
{
    for (size_t c = 0; c < made->classes; c++)
        made->logits[c] = as_float((softfocus_random_below(random, 2) ? 2e4 : -2e4) + softfocus_random_normal(random));
}

static void fill_huge(row *made, softfocus_random *random)
{
    static const double values[] = {3e38, -3e38, 1e38, -1e30, 0.0};
    for (size_t c = 0; c < made->classes; c++)
        made->logits[c] = as_float(values[softfocus_random_below(random, COUNT(values))]);
}

/* Classes that are ruled out. The first is not, and is the target of choice. */
static void fill_masked(row *made, softfocus_random *random)
{
    fill_normal(made, 0.0, 5.0, random);
    for (size_t c = 1; c < made->classes; c++)
        if (softfocus_random_below(random, 2))
            made->logits[c] = -(double)INFINITY;
}

typedef struct kind {
    const char *name;
    void (*fill)(row *made, softfocus_random *random);
} kind;

static const kind kinds[] = {
    {"ordinary", fill_ordinary}, {"wide", fill_wide}, {"gap", fill_gap},           {"ties", fill_ties},
    {"near ties", fill_near_ties}, {"tiny", fill_tiny}, {"disjoint", fill_disjoint}, {"huge", fill_huge},
    {"masked", fill_masked},
};

static const double gammas[] = {0.0, 1e-3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 20.0};

static void check_row(const kind *kind_, size_t classes, size_t gamma_step, softfocus_random *random)
{
    row made;
    make_row(&made, classes);
    kind_->fill(&made, random);
    exponentials(&made);
    snprintf(row_name, sizeof row_name, "%s, %zu classes", kind_->name, classes);
    check_log_softmax(&made);
    check_backward(&made, random);
    const size_t targets[] = {extreme(&made, 1), extreme(&made, 0), softfocus_random_below(random, classes)};
    for (size_t g = 0; g < COUNT(gammas); g += gamma_step)
        for (size_t t = 0; t < COUNT(targets); t++) {
            if (isinf(made.logits[targets[t]])) /* an infinite loss: among the limits of test_oracle.c */
                continue;
            snprintf(row_name, sizeof row_name, "%s, %zu classes, target %zu, gamma %g", kind_->name, classes, targets[t],
                     gammas[g]);
            check_softmax_focal_loss(&made, targets[t], gammas[g]);
            if (gamma_step > 1)
                break;
        }
    free_row(&made);
}

/* ---- The sigmoid loss -------------------------------------------------------------------------------------------- */

/* p = 1 / (1 + exp(-z)); ce = -(y log p + (1 - y) log(1 - p)); v = 1 - (p y + (1 - p)(1 - y));
   L = a v^gamma ce;   dL/dz = a v^gamma (p - y) - a gamma v^(gamma - 1) (2 y - 1) p (1 - p) ce. */
static void check_element(double z, double y, double gamma, double alpha)
{
    mpfr_t p, not_p, ce, v, power, loss, first, second, magnitude;
    mpfr_inits2(BITS, p, not_p, ce, v, power, loss, first, second, magnitude, (mpfr_ptr)NULL);
    softfocus_oracle_element got = softfocus_oracle_sigmoid_focal_loss(z, y, gamma, alpha);
    double a = alpha < 0.0 ? 1.0 : alpha * y + (1.0 - alpha) * (1.0 - y);
    mpfr_set_d(p, -z, MPFR_RNDN);
    mpfr_exp(p, p, MPFR_RNDN);
    mpfr_add_ui(p, p, 1, MPFR_RNDN);
    mpfr_ui_div(p, 1, p, MPFR_RNDN);
    mpfr_ui_sub(not_p, 1, p, MPFR_RNDN);
    mpfr_log(first, p, MPFR_RNDN);
    mpfr_mul_d(first, first, y, MPFR_RNDN);
    mpfr_log(second, not_p, MPFR_RNDN);
    mpfr_mul_d(second, second, 1.0 - y, MPFR_RNDN);
    mpfr_add(ce, first, second, MPFR_RNDN);
    mpfr_neg(ce, ce, MPFR_RNDN);
    mpfr_mul_d(first, p, y, MPFR_RNDN);
    mpfr_mul_d(second, not_p, 1.0 - y, MPFR_RNDN);
    mpfr_add(v, first, second, MPFR_RNDN);
    mpfr_ui_sub(v, 1, v, MPFR_RNDN);
    mpfr_set_d(power, gamma, MPFR_RNDN);
    mpfr_pow(power, v, power, MPFR_RNDN);
    mpfr_mul_d(power, power, a, MPFR_RNDN);
    mpfr_mul(loss, power, ce, MPFR_RNDN);
    compare("sigmoid_focal_loss, loss", got.loss, loss, loss, tolerance(gamma));
    mpfr_div(second, power, v, MPFR_RNDN);
    mpfr_mul_d(second, second, gamma * (2.0 * y - 1.0), MPFR_RNDN);
    mpfr_mul(second, second, p, MPFR_RNDN);
    mpfr_mul(second, second, not_p, MPFR_RNDN);
    mpfr_mul(second, second, ce, MPFR_RNDN);
    mpfr_sub_d(first, p, y, MPFR_RNDN);
    mpfr_mul(first, first, power, MPFR_RNDN);
    mpfr_sub(first, first, second, MPFR_RNDN);
    /* For y of 0 or 1 both terms have one sign, and the magnitude is the gradient's own. */
    if (y == 0.0 || y == 1.0)
        mpfr_set(magnitude, first, MPFR_RNDN);
    else
        mpfr_set_d(magnitude, got.grad_magnitude, MPFR_RNDN);
    compare("sigmoid_focal_loss, gradient", got.grad, first, magnitude, tolerance(gamma));
    mpfr_clears(p, not_p, ce, v, power, loss, first, second, magnitude, (mpfr_ptr)NULL);
}

static void check_sigmoid(softfocus_random *random)
{
    enum { DRAWS = 300 };
    static const double alphas[] = {-1.0, 0.0, 0.25, 1.0};
    for (size_t i = 0; i < DRAWS; i++) {
        double wide = softfocus_random_between(random, -WIDEST_GAP, WIDEST_GAP);
        double tiny = exp2(softfocus_random_between(random, -140.0, 6.0));
        double z = as_float(i % 3 == 0 ? wide : i % 3 == 1 ? tiny : -tiny);
        double any = as_float(softfocus_random_unit(random)), y = i % 4 == 0 ? 0.0 : i % 4 == 1 ? 1.0 : any;
        for (size_t g = 0; g < COUNT(gammas); g++) {
            double alpha = alphas[softfocus_random_below(random, COUNT(alphas))];
            snprintf(row_name, sizeof row_name, "logit %a, target %a, gamma %g, alpha %g", z, y, gammas[g], alpha);
            check_element(z, y, gammas[g], alpha);
        }
    }
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static const size_t classes[] = {1, 2, 3, 10, 100, 1000};
    enum { ROUNDS = 4, MOST_CLASSES = 100000, FEWER_GAMMAS = 5 /* 0 and 2 */ };
    softfocus_random random = {1};
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        random.state = strtoull(argv[2], NULL, 0);
    } else if (argc != 1) {
        fprintf(stderr, "usage: softfocus-check-oracle [--seed N]\n");
        return EXIT_FAILURE;
    }
    printf("seed %" PRIu64 "\n", random.state);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t c = 0; c < COUNT(classes); c++)
            for (size_t round = 0; round < (classes[c] < 1000 ? ROUNDS : 1); round++)
                check_row(&kinds[k], classes[c], 1, &random);
        if (kinds[k].fill == fill_ordinary || kinds[k].fill == fill_gap || kinds[k].fill == fill_ties)
            check_row(&kinds[k], MOST_CLASSES, FEWER_GAMMAS, &random);
    }
    check_sigmoid(&random);
    for (const tally *found = tallies; found->name != NULL; found++)
        printf("%s: %" PRIu64 " compared, worst 2^%.1f, %" PRIu64 " wrong\n", found->name, found->compared,
               log2(found->worst), found->wrong);
    mpfr_free_cache();
    return wrong == 0 && tallies[0].name != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
