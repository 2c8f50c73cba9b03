/* Vector functions against references: see sweep.h.
 *
 * All is run in blocks of arguments: the reference of a block is computed once, and every ISA is held against it. A block
 * whose errors all lie below the worst so far takes a comparison per result; in any other, MPFR decides. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffers.h"
#include "random.h"
#include "reference.h"
#include "workers.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    BLOCK = 4096, /* arguments: those, their references and one ISA's results stay in the second-level cache */
    MOST_PROBES = 8,
    MOST_MEASURES = 2,
    MOST_WORKERS = 64
};

/* ---- What is swept ----------------------------------------------------------------------------------------------- */

typedef struct batch {
    double x[BLOCK];
    float m;
    size_t count;
} batch;

/* A function of the probes, held against a sweep's reference. */
typedef struct measure {
    const char *name;
    size_t probe; /* offset in softfocus_probe */
    double (*bound)(const softfocus_probe *probe);
    int same_bits; /* as the sweep's first measure */
} measure;

typedef struct sweep {
    const char *arguments;
    softfocus_reference reference;
    /* Floats: those with these bits and all between, negated for exp. Else first == last, and `fill` draws the i-th block,
       `blocks` of them when every float is asked for elsewhere. */
    float first, last;
    int negative;
    void (*fill)(softfocus_random *random, batch *block);
    size_t blocks;
    int has_m;
    measure measures[MOST_MEASURES];
} sweep;

static double exp_bound(const softfocus_probe *probe)
{
    return probe->fma && probe->table_bits ? 1.1 : 1.5;
}

/* Of a product with exp_unit, in double: it has the relative error of its first factor, whose last place may have been worth
   up to twice as much (and where r of m is not 0, exp_unit's own 2^-28 or 2^-25.9 of it). */
static double exp_product_bound(const softfocus_probe *probe)
{
    return probe->fma && probe->table_bits ? 1.7 : 2.3;
}

/* 2^-35 of the value, as math.h has it: the ulp of a float is at least 2^-24 of it. */
static double log1p_wide_bound(const softfocus_probe *probe)
{
    (void)probe;
    return 0x1p-11;
}

static double log1p_narrow_bound(const softfocus_probe *probe)
{
    return 0.5 + log1p_wide_bound(probe);
}

/* As math.h has it. */
static double log1p_float_bound(const softfocus_probe *probe)
{
    return probe->fma ? 0.9 : 1.2;
}

static void fill_near(softfocus_random *random, batch *block);
static void fill_far(softfocus_random *random, batch *block);
static void fill_doubles(softfocus_random *random, batch *block);

#define PROBE_OFFSET(name) offsetof(softfocus_probe, name)

/* Nothing is left out for being too small: the tiny arguments of a domain are run like the rest. Below -128, exp_based
   becomes 0 (softfocus_sweep_special_values looks); above 2^24 log1p meets sums, which are doubles. */
static const sweep sweeps[] = {
    {.arguments = "float of [-128, 0]", .reference = SOFTFOCUS_REFERENCE_EXP_SCALED,
     .first = 0.0f, .last = 128.0f, .negative = 1,
     .measures = {{"2^60 exp(x)", PROBE_OFFSET(exp_near), exp_bound, 0}}},
    /* Elsewhere the product with 2^-60 is exact. */
    {.arguments = "float of [-128, -87]", .reference = SOFTFOCUS_REFERENCE_EXP,
     .first = 87.0f, .last = 128.0f, .negative = 1,
     .measures = {{"exp(x), subnormal results", PROBE_OFFSET(exp_stored), exp_bound, 0}}},
    {.arguments = "pairs, abs(m) < 2^15", .reference = SOFTFOCUS_REFERENCE_EXP_SCALED,
     .fill = fill_near, .blocks = 1 << 17, .has_m = 1,
     .measures = {{"2^60 exp(x - m), near form", PROBE_OFFSET(exp_near), exp_product_bound, 0},
                  {"2^60 exp(x - m), far form", PROBE_OFFSET(exp_far), exp_product_bound, 1}}},
    {.arguments = "pairs, abs(m) >= 2^15", .reference = SOFTFOCUS_REFERENCE_EXP_SCALED,
     .fill = fill_far, .blocks = 1 << 15, .has_m = 1,
     .measures = {{"2^60 exp(x - m), far form", PROBE_OFFSET(exp_far), exp_bound, 0}}},
    {.arguments = "float of [0, 2^24]", .reference = SOFTFOCUS_REFERENCE_LOG1P,
     .first = 0.0f, .last = 0x1p24f,
     .measures = {{"log1p(x), double", PROBE_OFFSET(log1p_wide), log1p_wide_bound, 0},
                  {"log1p(x), rounded to float", PROBE_OFFSET(log1p_narrow), log1p_narrow_bound, 0}}},
    {.arguments = "doubles of [2^-126, 2^1000)", .reference = SOFTFOCUS_REFERENCE_LOG1P,
     .fill = fill_doubles, .blocks = 1 << 15,
     .measures = {{"log1p(x), double", PROBE_OFFSET(log1p_wide), log1p_wide_bound, 0},
                  {"log1p(x), rounded to float", PROBE_OFFSET(log1p_narrow), log1p_narrow_bound, 0}}},
    {.arguments = "float of [0, 1]", .reference = SOFTFOCUS_REFERENCE_LOG1P,
     .first = 0.0f, .last = 1.0f,
     .measures = {{"log1p(x), float", PROBE_OFFSET(log1p_float), log1p_float_bound, 0}}},
};

static softfocus_probe_function *function_of(const softfocus_probe *probe, const measure *measured)
{
    softfocus_probe_function *function;
    memcpy(&function, (const unsigned char *)probe + measured->probe, sizeof function);
    return function;
}

static size_t measure_count(const sweep *swept)
{
    size_t count = 0;
    while (count < MOST_MEASURES && swept->measures[count].name != NULL)
        count++;
    return count;
}

/* ---- Floats ------------------------------------------------------------------------------------------------------ */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double argument(const sweep *swept, uint32_t bits)
{
    double x = (double)float_of(bits);
    return swept->negative ? -x : x;
}

/* The floats where something changes: bits of the values themselves, without their sign. */
typedef struct boundaries {
    uint32_t *bits;
    size_t count, room;
} boundaries;

/* The float nearest to `centre` and three on either side, as far as they lie in the domain. */
static void add_around(boundaries *found, const sweep *swept, double centre)
{
    enum { AROUND = 3 };
    int64_t middle = bits_of((float)centre);
    for (int64_t bits = middle - AROUND; bits <= middle + AROUND; bits++) {
        if (bits < (int64_t)bits_of(swept->first) || bits > (int64_t)bits_of(swept->last))
            continue;
        if (found->count == found->room) {
            found->room = 2 * found->room + 1024;
            found->bits = realloc(found->bits, found->room * sizeof *found->bits);
            if (found->bits == NULL) {
                perror("softfocus-accuracy");
                exit(EXIT_FAILURE);
            }
        }
        found->bits[found->count++] = (uint32_t)bits;
    }
}

static boundaries boundaries_of(const sweep *swept)
{
    const double ln2 = 0x1.62e42fefa39efp-1;
    boundaries found = {0};
    add_around(&found, swept, (double)swept->first);
    add_around(&found, swept, (double)swept->last);
    for (int e = -149; e <= 24; e++) {
        add_around(&found, swept, ldexp(1.0, e));
        if (!swept->negative && e >= 0) /* log1p: where k changes */
            add_around(&found, swept, ldexp(1.5, e) - 1.0);
    }
    /* exp: n is a multiple of 1, 1/8 or 1/16 and changes half way between two; ln2 / 32 has all of these. */
    for (double n = 1.0 / 32; swept->negative && n * ln2 < (double)swept->last; n += 1.0 / 32)
        add_around(&found, swept, n * ln2);
    return found;
}

/* ---- Pairs and doubles --------------------------------------------------------------------------------------------- */

/* Log-uniform, of either sign. */
static double random_magnitude(softfocus_random *random, double lowest_exponent, double highest_exponent)
{
    double value = exp2(softfocus_random_between(random, lowest_exponent, highest_exponent));
    return softfocus_random_below(random, 2) ? value : -value;
}

/* A number near a change of n: an odd or even multiple of ln2 / 32, and a few floats beside it. */
static double near_change(softfocus_random *random, double about)
{
    const double step = 0x1.62e42fefa39efp-1 / 32;
    double value = step * round(about / step);
    return value * (1.0 + 0x1p-24 * softfocus_random_between(random, -4.0, 4.0));
}

/* Floats of [m - 128, m]: the first is m, then a quarter each uniform, near a change of n for x, near one for x - m, and
   close to m. */
static void fill_below(softfocus_random *random, batch *block)
{
    double m = (double)block->m;
    block->count = BLOCK;
    block->x[0] = m;
    for (size_t i = 1; i < BLOCK; i++) {
        double depth = softfocus_random_between(random, 0.0, 128.0);
        double x = m - depth;
        if (i % 4 == 1)
            x = near_change(random, x);
        else if (i % 4 == 2)
            x = m - near_change(random, depth);
        else if (i % 4 == 3)
            x = m - exp2(softfocus_random_between(random, -40.0, 7.0));
        x = (double)(float)x;
        block->x[i] = x <= m && x >= m - 128.0 ? x : m;
    }
}

static void fill_near(softfocus_random *random, batch *block)
{
    double m = random_magnitude(random, softfocus_random_below(random, 8) ? -6.0 : -140.0, 15.0);
    if (softfocus_random_below(random, 2))
        m = near_change(random, m);
    block->m = fmaxf(nextafterf(-0x1p15f, 0.0f), fminf(nextafterf(0x1p15f, 0.0f), (float)m));
    fill_below(random, block);
}

/* Past 2^31 nothing but m itself lies within 128 of m. */
static void fill_far(softfocus_random *random, batch *block)
{
    double m = random_magnitude(random, 15.0, softfocus_random_below(random, 8) ? 31.0 : 127.99);
    block->m = (float)copysign(fmax(fabs(m), 0x1p15), m);
    fill_below(random, block);
}

/* Sums are what log1p meets: half of these lie where sums of few or many terms do. */
static void fill_doubles(softfocus_random *random, batch *block)
{
    block->count = BLOCK;
    for (size_t i = 0; i < BLOCK; i++)
        block->x[i] = exp2(i % 2 ? softfocus_random_between(random, -40.0, 40.0)
                                 : softfocus_random_between(random, -125.99, 999.99));
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

typedef struct finding {
    double error, x, got;
    float m;
    uint64_t inputs, differing;
} finding;

typedef struct job {
    const softfocus_sweep_options *options;
    const sweep *swept;
    boundaries bounds;      /* of a sample */
    size_t boundary_blocks; /* the first blocks are theirs */
    /* Shared: [worker][probe][measure] */
    finding (*found)[MOST_PROBES][MOST_MEASURES];
} job;

static softfocus_random random_of(const job *work, size_t i)
{
    softfocus_random random = {work->options->seed ^ ((uint64_t)(work->swept - sweeps) << 56)};
    random.state = softfocus_random_bits(&random) + i * UINT64_C(0xd1342543de82ef95); /* odd: a state per block */
    return random;
}

static int is_of_floats(const sweep *swept)
{
    return swept->fill == NULL;
}

static uint64_t domain_size(const sweep *swept)
{
    return (uint64_t)bits_of(swept->last) - bits_of(swept->first) + 1;
}

static size_t block_count(const job *work)
{
    const softfocus_sweep_options *options = work->options;
    size_t of_sample = (size_t)((options->sample + BLOCK - 1) / BLOCK);
    if (!is_of_floats(work->swept))
        return options->every ? work->swept->blocks : of_sample;
    return options->every ? (size_t)((domain_size(work->swept) + BLOCK - 1) / BLOCK)
                          : work->boundary_blocks + of_sample;
}

/* All floats are run from the last to the first: errors of tiny arguments, each above the one before, come last, where
   they are no candidates any more. */
static void fill_floats(const job *work, size_t i, batch *block)
{
    const sweep *swept = work->swept;
    softfocus_random random = random_of(work, i);
    int of_bounds = !work->options->every && i < work->boundary_blocks;
    uint64_t size = domain_size(swept), left = BLOCK;
    if (work->options->every) {
        i = block_count(work) - 1 - i;
        left = size - (uint64_t)i * BLOCK;
    } else if (of_bounds) {
        left = work->bounds.count - i * BLOCK;
    }
    block->count = left < BLOCK ? (size_t)left : BLOCK;
    block->m = 0.0f;
    for (size_t k = 0; k < block->count; k++) {
        uint32_t bits = work->options->every ? bits_of(swept->first) + (uint32_t)(i * BLOCK + k)
                        : of_bounds          ? work->bounds.bits[i * BLOCK + k]
                                             : bits_of(swept->first) + (uint32_t)softfocus_random_below(&random, size);
        block->x[k] = argument(swept, bits);
    }
}

/* Whole vectors: the last argument once more, as often as it takes. */
static size_t pad(batch *block)
{
    size_t padded = block->count;
    for (; padded % SOFTFOCUS_PROBE_LANES != 0; padded++)
        block->x[padded] = block->x[block->count - 1];
    return padded;
}

/* The worst error of a block that has candidates for the worst of all: by MPFR, where the doubles cannot tell it from the
   block's largest. */
static void look_closely(const sweep *swept, const batch *block, const double *got, const double *expected,
                         const double *inverse_ulps, finding *found)
{
    double largest = 0.0;
    for (size_t i = 0; i < block->count; i++)
        largest = fmax(largest, fabs(got[i] - expected[i]) * inverse_ulps[i]);
    double limit = largest - 2.0 * softfocus_reference_doubt(block->m);
    for (size_t i = 0; i < block->count; i++) {
        if (fabs(got[i] - expected[i]) * inverse_ulps[i] < limit) /* NaN is not */
            continue;
        double error = softfocus_reference_error(swept->reference, block->x[i], block->m, got[i]);
        if (!(error > found->error) && !(error == found->error && fabs(block->x[i]) < fabs(found->x)))
            continue;
        found->error = error;
        found->x = block->x[i];
        found->m = block->m;
        found->got = got[i];
    }
}

static void compare(const sweep *swept, const batch *block, const double *got, const double *expected,
                    const double *inverse_ulps, finding *found)
{
    double limit = found->error - softfocus_reference_doubt(block->m);
    int candidates = 0;
    for (size_t i = 0; i < block->count; i++) /* NaN is a candidate */
        candidates |= !(fabs(got[i] - expected[i]) * inverse_ulps[i] <= limit);
    if (candidates)
        look_closely(swept, block, got, expected, inverse_ulps, found);
    found->inputs += block->count;
}

static void run_block(void *argument_, size_t worker, size_t i)
{
    job *work = argument_;
    const sweep *swept = work->swept;
    static batch arguments;
    static double expected[BLOCK], inverse_ulps[BLOCK], got[MOST_MEASURES][BLOCK];
    if (is_of_floats(swept)) {
        fill_floats(work, i, &arguments);
    } else {
        softfocus_random random = random_of(work, i);
        arguments.m = 0.0f;
        swept->fill(&random, &arguments);
    }
    size_t padded = pad(&arguments);
    softfocus_reference_values(swept->reference, arguments.x, arguments.m, arguments.count, expected, inverse_ulps);
    for (size_t p = 0; p < work->options->probe_count; p++)
        for (size_t k = 0; k < measure_count(swept); k++) {
            finding *found = &work->found[worker][p][k];
            function_of(work->options->probes[p], &swept->measures[k])(arguments.x, arguments.m, padded, got[k]);
            compare(swept, &arguments, got[k], expected, inverse_ulps, found);
            for (size_t e = 0; swept->measures[k].same_bits && e < arguments.count; e++)
                found->differing += memcmp(&got[k][e], &got[0][e], sizeof(double)) != 0;
        }
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

static finding merge(const job *work, size_t p, size_t k)
{
    finding all = {.error = -1.0};
    for (size_t w = 0; w < work->options->workers; w++) {
        const finding *one = &work->found[w][p][k];
        uint64_t inputs = all.inputs + one->inputs, differing = all.differing + one->differing;
        if (one->inputs != 0 &&
            (one->error > all.error || (one->error == all.error && fabs(one->x) < fabs(all.x))))
            all = *one;
        all.inputs = inputs;
        all.differing = differing;
    }
    return all;
}

static softfocus_sweep_result result_of(const job *work, size_t p, size_t k)
{
    const sweep *swept = work->swept;
    finding found = merge(work, p, k);
    softfocus_sweep_result result = {
        .function = swept->measures[k].name,
        .arguments = swept->arguments,
        .probe = work->options->probes[p],
        .inputs = found.inputs,
        .worst = found.error,
        .bound = swept->measures[k].bound(work->options->probes[p]),
        .x = found.x,
        .got = found.got,
        .m = found.m,
        .has_m = swept->has_m,
        .differing = found.differing,
    };
    result.ok = result.inputs != 0 && result.worst <= result.bound && result.differing == 0;
    return result;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int run_sweep(job *work)
{
    const sweep *swept = work->swept;
    double start = seconds();
    if (is_of_floats(swept) && !work->options->every) {
        work->bounds = boundaries_of(swept);
        work->boundary_blocks = (work->bounds.count + BLOCK - 1) / BLOCK;
    }
    for (size_t w = 0; w < work->options->workers; w++)
        for (size_t p = 0; p < MOST_PROBES; p++)
            for (size_t k = 0; k < MOST_MEASURES; k++)
                work->found[w][p][k] = (finding){.error = -1.0};
    int well = softfocus_workers_run(work->options->workers, block_count(work), run_block, work);
    free(work->bounds.bits);
    work->bounds = (boundaries){0};
    fprintf(stderr, "%s, %s: %.1f s\n", swept->measures[0].name, swept->arguments, seconds() - start);
    return well;
}

size_t softfocus_sweep_all(const softfocus_sweep_options *options,
                           softfocus_sweep_result results[SOFTFOCUS_SWEEP_MOST_RESULTS])
{
    size_t count = 0, shared = options->workers * sizeof(finding[MOST_PROBES][MOST_MEASURES]);
    int well = options->probe_count <= MOST_PROBES;
    job work = {.options = options, .found = softfocus_workers_share(shared)};
    for (size_t s = 0; well && s < COUNT(sweeps); s++) {
        work.swept = &sweeps[s];
        work.boundary_blocks = 0;
        well = run_sweep(&work);
        for (size_t k = 0; k < measure_count(work.swept); k++)
            for (size_t p = 0; p < options->probe_count && count < SOFTFOCUS_SWEEP_MOST_RESULTS; p++)
                results[count++] = result_of(&work, p, k);
    }
    softfocus_workers_unshare(work.found, shared);
    return well ? count : 0;
}

/* ---- Special values ---------------------------------------------------------------------------------------------- */

/* The first lane's result is `expected`, or NaN where that is one. */
static size_t expect(const softfocus_probe *probe, const char *what, softfocus_probe_function *function, double x,
                     float m, double expected)
{
    double arguments[SOFTFOCUS_PROBE_LANES], got[SOFTFOCUS_PROBE_LANES];
    for (size_t i = 0; i < SOFTFOCUS_PROBE_LANES; i++)
        arguments[i] = x;
    function(arguments, m, SOFTFOCUS_PROBE_LANES, got);
    if (got[0] == expected || (isnan(got[0]) && isnan(expected)))
        return 0;
    fprintf(stderr, "WRONG: %s: %s at x = %a, m = %a: %a, expected %a\n", probe->isa, what, x, (double)m, got[0],
            expected);
    return 1;
}

size_t softfocus_sweep_special_values(const softfocus_sweep_options *options)
{
    enum { DRAWS = 10000 };
    softfocus_random random = {options->seed};
    size_t wrong = 0;
    for (size_t p = 0; p < options->probe_count; p++) {
        const softfocus_probe *probe = options->probes[p];
        for (size_t i = 0; i < DRAWS; i++) {
            double far = (double)(float)random_magnitude(&random, 15.0, 127.9);
            wrong += expect(probe, "exp of the origin", probe->exp_far, far, (float)far, 0x1p60);
        }
        wrong += expect(probe, "exp of the origin", probe->exp_near, 0.0, 0.0f, 0x1p60);
        /* From some 131 below m on, the result is 0, and not a number that makes products subnormal. */
        static const double deep[] = {-131.5, -150.0, -160.0, -170.0, -200.0, -745.0, -1e9, -3e38, -(double)INFINITY};
        for (size_t i = 0; i < COUNT(deep); i++) {
            wrong += expect(probe, "exp far down", probe->exp_near, deep[i], 0.0f, 0.0);
            wrong += expect(probe, "exp far down", probe->exp_far, deep[i], 0.0f, 0.0);
            wrong += expect(probe, "exp far down", probe->exp_stored, deep[i], 0.0f, 0.0);
        }
        for (size_t i = 0; i < DRAWS; i++) { /* neither over- nor underflow, of which the kernels take care */
            float a = (float)random_magnitude(&random, -40.0, 40.0), b = (float)random_magnitude(&random, -40.0, 40.0);
            double product = (double)a * (double)b;
            wrong += expect(probe, "rest of a product", probe->product_rest, (double)a, b, product - (double)(float)product);
        }
        wrong += expect(probe, "exp of NaN", probe->exp_near, (double)NAN, 0.0f, (double)NAN);
        wrong += expect(probe, "exp of NaN", probe->exp_far, (double)NAN, 3e8f, (double)NAN);
        wrong += expect(probe, "exp less NaN", probe->exp_far, 0.0, NAN, (double)NAN);
        wrong += expect(probe, "log1p of 0", probe->log1p_wide, 0.0, 0.0f, 0.0);
        wrong += expect(probe, "log1p of 0", probe->log1p_float, 0.0, 0.0f, 0.0);
        wrong += expect(probe, "log1p of NaN", probe->log1p_wide, (double)NAN, 0.0f, (double)NAN);
    }
    return wrong;
}
