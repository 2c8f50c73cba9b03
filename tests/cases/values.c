/* The values that instances hold: logits of each kind, targets of each kind, class weights. */
#include "instance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Logits -------------------------------------------------------------------------------------------- */

static void fill_normal(float *z, size_t classes, double mean, double scale, softfocus_random *random)
{
    for (size_t c = 0; c < classes; c++)
        z[c] = (float)(mean + scale * softfocus_random_normal(random));
}

static void fill_uniform(float *z, size_t classes, double scale, softfocus_random *random)
{
    for (size_t c = 0; c < classes; c++)
        z[c] = (float)softfocus_random_between(random, -2.0 * scale, 2.0 * scale);
}

/* One loss of 2^100, one of half a float's last place of it, and some that are less than half a double's, 2^47. Of those a
   sum has none if each is added to 2^100 by itself, as it is where they share a lane, and rounds to 2^100; any two of them
   that come together first break the tie. They are every 16th position from spec->tie on, where a chunk must begin, as far
   as that is sure to go. */
static void fill_tie(const softfocus_case_spec *spec, float *z, size_t position, softfocus_random *random)
{
    size_t total = softfocus_case_elements(spec), from = position - spec->tie;
    size_t place = spec->inner > 1 && spec->tie == 0 ? from % spec->inner : from; /* from an image's first one */
    fill_uniform(z, spec->classes, spec->scale, random);
    if (position >= spec->tie && place % 16 == 0 && from * spec->classes < (total < 1000000 ? 12000 : 100000))
        z[0] = from == 0 ? -0x1p100f : from == 16 ? -0x1p76f : -0x1.fffffep46f;
}

/* +2e4 in some classes and -2e4 in the rest. A maximum folded from the wrong registers cancels where the
   logits are near one another; here it overflows. */
static void fill_disjoint(float *z, size_t classes, softfocus_random *random)
{
    size_t way = softfocus_random_below(random, 4), which = softfocus_random_below(random, 16);
    size_t one = softfocus_random_below(random, classes);
    for (size_t c = 0; c < classes; c++) {
        int high = way == 0   ? c % 16 == which           /* one lane */
                   : way == 1 ? (c & 8) == (which & 8)    /* half of the lanes of a register */
                   : way == 2 ? (c / 16) % 4 == which % 4 /* one of four registers */
                              : c == one;                 /* one element alone */
        z[c] = (float)((high ? 2e4 : -2e4) + softfocus_random_normal(random));
    }
}

static void fill_gaps(float *z, size_t classes, softfocus_random *random)
{
    double top = 3.0 * softfocus_random_normal(random);
    fill_normal(z, classes, top - softfocus_random_between(random, 10.0, 110.0), 1.0, random);
    z[softfocus_random_below(random, classes)] = (float)top;
}

/* Far from 0, all together: where a float still has digits after the point, and where it has none. */
static void fill_large(float *z, size_t classes, softfocus_random *random)
{
    static const double means[] = {1e8, -1e8, 4e4, -4e4, 1e6, -1e6};
    fill_normal(z, classes, means[softfocus_random_below(random, sizeof means / sizeof *means)], 16.0, random);
}

static void fill_huge(float *z, size_t classes, softfocus_random *random)
{
    static const float values[] = {3e38f, -3e38f, 1e38f, -1e30f, 0.0f};
    for (size_t c = 0; c < classes; c++)
        z[c] = values[softfocus_random_below(random, sizeof values / sizeof *values)];
}

static void fill_special(float *z, size_t classes, double scale, softfocus_random *random)
{
    fill_normal(z, classes, 0.0, scale, random);
    size_t at = softfocus_random_below(random, classes), other = softfocus_random_below(random, classes);
    switch (softfocus_random_below(random, 12)) { /* half of the positions stay ordinary */
    case 0:
        z[at] = NAN;
        break;
    case 1:
        z[at] = INFINITY;
        break;
    case 2:
        z[at] = -INFINITY;
        break;
    case 3: /* most of them */
        for (size_t c = 0; c < classes; c++)
            if (c != at && softfocus_random_below(random, 4) != 0)
                z[c] = -INFINITY;
        break;
    case 4: /* all of them */
        for (size_t c = 0; c < classes; c++)
            z[c] = -INFINITY;
        break;
    case 5:
        z[at] = -INFINITY;
        z[other] = NAN;
        break;
    default:
        break;
    }
}

static void fill_masked(float *z, size_t classes, double scale, softfocus_random *random)
{
    static const float masks[] = {-INFINITY, -1e9f, -1e4f};
    float mask = masks[softfocus_random_below(random, sizeof masks / sizeof *masks)];
    size_t kept = softfocus_random_below(random, classes);
    fill_normal(z, classes, 0.0, scale, random);
    for (size_t c = 0; c < classes; c++)
        if (c != kept && softfocus_random_below(random, 8) != 0)
            z[c] = mask;
}

/* A maximum search that loses its way where it meets a NaN may leave out the NaN in place of the maximum; or it takes what
   comes after the NaN for the maximum, and what came before is so far above that exp makes anything of it. */
static void fill_one_nan(float *z, size_t classes, size_t position, softfocus_random *random)
{
    fill_normal(z, classes, 0.0, 1.0, random);
    z[position / classes % classes] = (float)pow(10.0, softfocus_random_between(random, 1.0, 9.0));
    z[position % classes] = NAN;
}

float softfocus_case_any_nan(softfocus_random *random)
{
    uint32_t sign = (uint32_t)softfocus_random_below(random, 2) << 31;
    uint32_t bits = sign | 0x7f800001u | (uint32_t)softfocus_random_below(random, 1u << 23);
    float nan;
    memcpy(&nan, &bits, sizeof nan);
    return nan;
}

/* Which NaN a result is may depend on what was added first. */
static void fill_many_nan(float *z, size_t classes, double scale, softfocus_random *random)
{
    size_t one_in = softfocus_random_below(random, 2) ? classes + 1 : 4;
    fill_normal(z, classes, 0.0, scale, random);
    for (size_t c = 0; c < classes; c++)
        if (softfocus_random_below(random, one_in) == 0)
            z[c] = softfocus_case_any_nan(random);
}

static void fill_position(const softfocus_case_spec *spec, size_t position, float *z,
                          softfocus_random *random)
{
    switch (spec->logits) {
    case SOFTFOCUS_LOGITS_EQUAL:
        fill_normal(z, spec->classes, spec->scale * softfocus_random_normal(random), 0.0, random);
        break;
    case SOFTFOCUS_LOGITS_GAPS:
        fill_gaps(z, spec->classes, random);
        break;
    case SOFTFOCUS_LOGITS_DISJOINT:
        fill_disjoint(z, spec->classes, random);
        break;
    case SOFTFOCUS_LOGITS_LARGE:
        fill_large(z, spec->classes, random);
        break;
    case SOFTFOCUS_LOGITS_HUGE:
        fill_huge(z, spec->classes, random);
        break;
    case SOFTFOCUS_LOGITS_SPECIAL:
        fill_special(z, spec->classes, spec->scale, random);
        break;
    case SOFTFOCUS_LOGITS_MASKED:
        fill_masked(z, spec->classes, spec->scale, random);
        break;
    case SOFTFOCUS_LOGITS_ONE_NAN:
        fill_one_nan(z, spec->classes, position, random);
        break;
    case SOFTFOCUS_LOGITS_MANY_NAN:
        fill_many_nan(z, spec->classes, spec->scale, random);
        break;
    case SOFTFOCUS_LOGITS_TIE:
        fill_tie(spec, z, position, random);
        break;
    case SOFTFOCUS_LOGITS_UNIFORM:
        fill_uniform(z, spec->classes, spec->scale, random);
        break;
    case SOFTFOCUS_LOGITS_NORMAL:
    case SOFTFOCUS_LOGITS_COUNT:
    default:
        fill_normal(z, spec->classes, 0.0, spec->scale, random);
        break;
    }
}

void softfocus_case_fill_logits(softfocus_case *instance, size_t array, softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    float *z = softfocus_allocate(spec->classes, sizeof *z);
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            fill_position(spec, o * spec->inner + i, z, random);
            for (size_t c = 0; c < spec->classes; c++)
                *softfocus_case_element(&instance->arrays[array], o, c, i) = z[c];
        }
    free(z);
}

/* ---- Targets ------------------------------------------------------------------------------------------- */

/* The class of the largest logit, or of the smallest; NaN is neither. */
static size_t extreme_class(const softfocus_case *instance, size_t logits, size_t o, size_t i, int largest)
{
    size_t best = 0;
    float value = NAN;
    for (size_t c = 0; c < instance->spec.classes; c++) {
        float z = *softfocus_case_element(&instance->arrays[logits], o, c, i);
        if (isnan(value) || (largest ? z > value : z < value)) {
            value = z;
            best = c;
        }
    }
    return best;
}

static int64_t target_of(const softfocus_case *instance, size_t logits, size_t o, size_t i,
                         int64_t ignore_index, softfocus_random *random)
{
    size_t any = softfocus_random_below(random, instance->spec.classes);
    switch (instance->spec.targets) {
    case SOFTFOCUS_TARGETS_EASY:
        return (int64_t)extreme_class(instance, logits, o, i, 1);
    case SOFTFOCUS_TARGETS_HARD:
        return (int64_t)extreme_class(instance, logits, o, i, 0);
    case SOFTFOCUS_TARGETS_IGNORED:
        return softfocus_random_below(random, 3) == 0 ? ignore_index : (int64_t)any;
    case SOFTFOCUS_TARGETS_ALL_IGNORED:
        return ignore_index;
    case SOFTFOCUS_TARGETS_RANDOM:
    case SOFTFOCUS_TARGETS_SOFT:
    case SOFTFOCUS_TARGETS_BETWEEN:
    case SOFTFOCUS_TARGETS_COUNT:
    default:
        return (int64_t)any;
    }
}

void softfocus_case_fill_index(const softfocus_case *instance, size_t logits, void *index,
                               int64_t ignore_index, softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t i = 0; i < spec->inner; i++) {
            int64_t target = target_of(instance, logits, o, i, ignore_index, random);
            if (spec->index_type == SOFTFOCUS_I32)
                ((int32_t *)index)[o * spec->inner + i] = (int32_t)target;
            else
                ((int64_t *)index)[o * spec->inner + i] = target;
        }
}

static float dense_target(const softfocus_case_spec *spec, float logit, softfocus_random *random)
{
    double any = softfocus_random_unit(random);
    switch (spec->targets) {
    case SOFTFOCUS_TARGETS_EASY:
        return logit > 0.0f ? 1.0f : 0.0f;
    case SOFTFOCUS_TARGETS_HARD:
        return logit > 0.0f ? 0.0f : 1.0f;
    case SOFTFOCUS_TARGETS_SOFT: /* a tenth 0, a tenth 1; a few NaN where logits are special too */
        if (spec->logits == SOFTFOCUS_LOGITS_SPECIAL && softfocus_random_below(random, 50) == 0)
            return NAN;
        return (float)fmin(1.0, fmax(0.0, 1.25 * any - 0.125));
    case SOFTFOCUS_TARGETS_BETWEEN: /* a quarter next to 0, some of it as near as can be, a quarter next to 1 */
        switch (softfocus_random_below(random, 4)) {
        case 0:
            return any < 0.25 ? 0x1p-149f : (float)exp2(-140.0 * any - 1.0);
        case 1:
            return (float)fmin(1.0 - 0x1p-24, 1.0 - exp2(-24.0 * any - 1.0));
        default:
            return (float)fmin(1.0 - 0x1p-24, any + 0x1p-60);
        }
    case SOFTFOCUS_TARGETS_RANDOM:
    case SOFTFOCUS_TARGETS_IGNORED:
    case SOFTFOCUS_TARGETS_ALL_IGNORED:
    case SOFTFOCUS_TARGETS_COUNT:
    default:
        return any < 0.5 ? 0.0f : 1.0f;
    }
}

void softfocus_case_fill_dense(softfocus_case *instance, size_t logits, size_t array,
                               softfocus_random *random)
{
    const softfocus_case_spec *spec = &instance->spec;
    for (size_t o = 0; o < spec->outer; o++)
        for (size_t c = 0; c < spec->classes; c++)
            for (size_t i = 0; i < spec->inner; i++)
                *softfocus_case_element(&instance->arrays[array], o, c, i) =
                    dense_target(spec, *softfocus_case_element(&instance->arrays[logits], o, c, i), random);
}

/* ---- Options ------------------------------------------------------------------------------------------- */

/* An eighth of the weights is 0: such positions count for nothing, in the mean too. */
void softfocus_case_add_class_weight(softfocus_case *instance, softfocus_random *random)
{
    size_t classes = instance->spec.classes;
    size_t array = softfocus_case_add_values(instance, 1, classes, 1);
    float *weights = instance->arrays[array].buffer.data;
    for (size_t c = 0; c < classes; c++) {
        double weight = softfocus_random_between(random, 0.1, 3.0);
        weights[c] = softfocus_random_below(random, 8) == 0 ? 0.0f : (float)weight;
    }
    instance->options.class_weight = weights;
}

softfocus_focal_options softfocus_case_options(const softfocus_case_spec *spec)
{
    softfocus_focal_options options = softfocus_focal_defaults();
    options.reduction = spec->reduction;
    options.gamma = spec->gamma;
    options.alpha = spec->alpha;
    options.normalizer = spec->normalizer;
    return options;
}
