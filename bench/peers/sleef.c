/* What one writes by hand: log-softmax as maximum, sum of exp and subtraction, with the exp of SLEEF (1 ulp)
 * on the widest vectors of the CPU that it is compiled on (-march=native; run.sh alone builds it, where
 * it runs). Rows only, split over OpenMP's threads. Takes the care that is usual: it subtracts the maximum,
 * and no more. */
#include "peer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* <sleef.h> declares the functions of the ISAs that the compiler may use; the dispatching names are slower.
 */
#include <sleef.h>

#if defined(__AVX512F__)
#define LANES     16
#define EXP(x)    ((lanes)Sleef_expf16_u10avx512f((__m512)(x)))
#define MAX(x, y) ((lanes)_mm512_max_ps((__m512)(x), (__m512)(y)))
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES     8
#define EXP(x)    ((lanes)Sleef_expf8_u10avx2((__m256)(x)))
#define MAX(x, y) ((lanes)_mm256_max_ps((__m256)(x), (__m256)(y)))
#elif defined(__SSE2__)
#define LANES     4
#define EXP(x)    ((lanes)Sleef_expf4_u10sse2((__m128)(x)))
#define MAX(x, y) ((lanes)_mm_max_ps((__m128)(x), (__m128)(y)))
#elif defined(__aarch64__)
#define LANES     4
#define EXP(x)    ((lanes)Sleef_expf4_u10advsimd((float32x4_t)(x)))
#define MAX(x, y) ((lanes)vmaxq_f32((float32x4_t)(x), (float32x4_t)(y)))
#else
#error "no vectors of SLEEF for this CPU"
#endif

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

struct sleef {
    size_t rows, classes;
    float *data[2];
};

static lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The last, partial vector of a row: missing lanes hold -inf, whose exp is 0. */
static lanes load_part(const float *p, size_t n)
{
    float part[LANES];
    for (size_t i = 0; i < LANES; i++)
        part[i] = i < n ? p[i] : -INFINITY;
    return load(part);
}

static float row_max(const float *z, size_t classes)
{
    size_t i = 0;
    lanes max = load_part(z, classes < LANES ? classes : LANES);
    for (; i + LANES <= classes; i += LANES)
        max = MAX(load(z + i), max);
    float m = max[0];
    for (size_t lane = 1; lane < LANES; lane++)
        m = max[lane] > m ? max[lane] : m;
    for (; i < classes; i++)
        m = z[i] > m ? z[i] : m;
    return m;
}

static float row_sum_exp(const float *z, size_t classes, float m)
{
    size_t i = 0;
    lanes sum = {0.0F};
    for (; i + LANES <= classes; i += LANES)
        sum += EXP(load(z + i) - m);
    if (i < classes)
        sum += EXP(load_part(z + i, classes - i) - m);
    float total = 0.0F;
    for (size_t lane = 0; lane < LANES; lane++)
        total += sum[lane];
    return total;
}

static void row(const float *z, size_t classes, float *out)
{
    float m = row_max(z, classes);
    float log_sum = logf(row_sum_exp(z, classes, m));
    for (size_t i = 0; i < classes; i++)
        out[i] = z[i] - m - log_sum;
}

static void destroy(void *made)
{
    struct sleef *self = made;
    free(self->data[0]);
    free(self->data[1]);
    free(self);
}

static void *make(size_t outer, size_t classes, size_t inner)
{
    struct sleef *self = inner == 1 ? calloc(1, sizeof *self) : NULL;
    if (self == NULL)
        return NULL;
    self->rows = outer;
    self->classes = classes;
    for (int i = 0; i < 2; i++)
        self->data[i] = softfocus_bench_logits(outer * classes);
    if (self->data[0] == NULL || self->data[1] == NULL) {
        destroy(self);
        self = NULL;
    }
    return self;
}

static int run(void *made)
{
    const struct sleef *self = made;
#pragma omp parallel for num_threads(SOFTFOCUS_BENCH_THREADS)
    for (size_t r = 0; r < self->rows; r++)
        row(self->data[0] + r * self->classes, self->classes, self->data[1] + r * self->classes);
    return 0;
}

static float *buffer(void *made, size_t i)
{
    struct sleef *self = made;
    return i < 2 ? self->data[i] : NULL;
}

const softfocus_bench_peer softfocus_bench_peer_sleef = {
    .name = "sleef", .kernel = "log_softmax", .make = make, .run = run, .destroy = destroy, .buffer = buffer};
