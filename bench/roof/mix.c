/* Mixes and streams on one ISA: see mix.h. Compiled once per ISA, with the kernels' own flags. */
#include "mix.h"

#include "kernels/instance.h"
#include "words.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- Values that the compiler knows nothing about --------------------------------------------------------------------
 *
 * An empty asm that may change a value makes it unknown; one that reads a value keeps it. Neither is an instruction. */
#if VF_LANES == 16
#define IN_VECTOR "v"
#define IN_MASK "k"
#elif defined(__aarch64__)
#define IN_VECTOR "w"
#define IN_MASK IN_VECTOR
#else
#define IN_VECTOR "x"
#define IN_MASK IN_VECTOR
#endif

#if VF_LANES == 1
#define IN_INTEGERS "r"
#undef IN_MASK
#define IN_MASK "r"
#define FRESH_DOUBLES(d) __asm__ volatile("" : "+" IN_VECTOR(d))
#define KEEP_DOUBLES(d) __asm__ volatile("" : : IN_VECTOR(d))
#else
#define IN_INTEGERS IN_VECTOR
#define FRESH_DOUBLES(d) __asm__ volatile("" : "+" IN_VECTOR((d).lo), "+" IN_VECTOR((d).hi))
#define KEEP_DOUBLES(d) __asm__ volatile("" : : IN_VECTOR((d).lo), IN_VECTOR((d).hi))
#endif

#define FRESH_a __asm__ volatile("" : "+" IN_VECTOR(a))
#define FRESH_i __asm__ volatile("" : "+" IN_INTEGERS(i))
#define FRESH_m __asm__ volatile("" : "+" IN_MASK(m))
#define FRESH_n __asm__ volatile("" : "+" IN_MASK(n))
#define FRESH_x FRESH_DOUBLES(x)
#define FRESH_p __asm__ volatile("" : "+r"(p))
#define FRESH_q __asm__ volatile("" : "+r"(q))
#define FRESH_integers __asm__ volatile("" : "+r"(integers))
#define FRESH_doubles __asm__ volatile("" : "+r"(doubles))
#define FRESH_lanes __asm__ volatile("" : "+r"(lanes))

#define KEPT(type, constraint, call)                                                                                   \
    do {                                                                                                               \
        type result = call;                                                                                            \
        __asm__ volatile("" : : constraint(result));                                                                   \
    } while (0)
#define DO_vf(call) KEPT(vf, IN_VECTOR, call)
#define DO_vi(call) KEPT(vi, IN_INTEGERS, call)
#define DO_vm(call) KEPT(vm, IN_MASK, call)
#define DO_float(call) KEPT(float, IN_VECTOR, call)
#define DO_double(call) KEPT(double, IN_VECTOR, call)
#define DO_int(call) KEPT(int, "r", call)
#define DO_size(call) KEPT(size_t, "r", call)
#define DO_vd(call)                                                                                                    \
    do {                                                                                                               \
        vd result = call;                                                                                              \
        KEEP_DOUBLES(result);                                                                                          \
    } while (0)
#define DO_none(call)                                                                                                  \
    do {                                                                                                               \
        call;                                                                                                          \
        __asm__ volatile("" : : : "memory");                                                                           \
    } while (0)
#define DO_columns(call)                                                                                               \
    do {                                                                                                               \
        vf columns[4];                                                                                                 \
        call;                                                                                                          \
        __asm__ volatile("" : : IN_VECTOR(columns[0]), IN_VECTOR(columns[1]));                                         \
        __asm__ volatile("" : : IN_VECTOR(columns[2]), IN_VECTOR(columns[3]));                                         \
    } while (0)

#define DO_pair(call)                                                                                                  \
    do {                                                                                                               \
        vf pair[2];                                                                                                    \
        call;                                                                                                          \
        __asm__ volatile("" : : IN_VECTOR(pair[0]), IN_VECTOR(pair[1]));                                               \
    } while (0)

#define COARSE_1(once) once
#define COARSE_4(once) once once once once
#define COARSE_16(once) COARSE_4(once) COARSE_4(once) COARSE_4(once) COARSE_4(once)
#define COARSE_32(once) COARSE_16(once) COARSE_16(once)
#define FINE_1(once) once
#define FINE_4(once) once
#define FINE_16(once) COARSE_4(once)
#define FINE_32(once) COARSE_4(once) COARSE_4(once)

/* An ISA without a table, or without masks, has no such words, and its kernels do not use them. */
#if !VF_TABLE_BITS
#undef vi_lookup
#define vi_lookup(table, i) ((void)(table), (i))
typedef vf vf_table;
#define vf_load_table(entries) ((void)(entries), vf_set1(1.0f))
#endif
#if !VF_HAS_MASKS
#define vf_not_less(a, b) vf_less(b, a)
#define vi_add_where(m, a, b) vi_add(a, b)
#define vf_mul_add_where(m, a, b, c) vf_mul_add(a, b, c)
#endif

/* ---- Mixes ----------------------------------------------------------------------------------------------------------- */

/* What the words work on; the values matter to none. */
static const _Alignas(64) uint32_t entries[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static _Alignas(64) float from[4 * VF_LANES + 64], onto[4 * VF_LANES + 64];
static _Alignas(64) double wide[VF_LANES];
static _Alignas(64) int32_t whole[VF_LANES];

/* As many rows as the words over rows take, each the same. */
#define rows_of(a) ((vf[VF_LANES]){[0 ... VF_LANES - 1] = (a)})
#define wide_rows_of(x) ((vd[VF_LANES]){[0 ... VF_LANES - 1] = (x)})

/* A step: one function per word and grain. */
#define STEP(grain, repeat, result, name, fresh, arguments)                                                             \
    static void grain##_##name(void)                                                                                    \
    {                                                                                                                  \
        vf a = vf_set1(1.5f), b = vf_set1(0.75f), c = vf_set1(1.25f), four[4] = {a, a, b, b};                          \
        vi i = vi_set1(3), j = vi_set1(5);                                                                             \
        vm m = vf_less(b, a), n = m;                                                                                   \
        vd x = vd_set1(1.5), y = vd_set1(2.0), z = vd_set1(1.25);                                                      \
        vf_table table = vf_load_table(entries);                                                                       \
        const float *p = from;                                                                                         \
        float *q = onto;                                                                                               \
        int32_t *integers = whole;                                                                                     \
        double *doubles = wide;                                                                                        \
        size_t lanes = VF_LANES > 1 ? VF_LANES - 1 : 1, columns_count = 4;                                             \
        (void)a, (void)b, (void)c, (void)four, (void)i, (void)j, (void)m, (void)n, (void)x, (void)y, (void)z;          \
        (void)table, (void)p, (void)q, (void)integers, (void)doubles, (void)lanes, (void)columns_count;                \
        grain##_##repeat(FRESH_##fresh; DO_##result(name arguments);)                                                  \
    }
#define WORD(kind, repeat, result, name, fresh, arguments)                                                             \
    STEP(COARSE, repeat, result, name, fresh, arguments)                                                               \
    STEP(FINE, repeat, result, name, fresh, arguments)
#include "words.def"
#undef WORD

/* Each step is called from a place of its own, which always calls the same while a mix is timed, so that every jump is
   foreseen: with one place for all (an interpreter's loop) that took more time than the words. */
static void run(const uint8_t steps[SOFTFOCUS_MIX_STEPS], enum softfocus_grain grain, size_t rounds)
{
    static void (*const functions[][SOFTFOCUS_GRAINS])(void) = {
#define WORD(kind, repeat, result, name, fresh, arguments) {COARSE_##name, FINE_##name},
#include "words.def"
#undef WORD
    };
    void (*calls[SOFTFOCUS_MIX_STEPS])(void);
    for (size_t step = 0; step < SOFTFOCUS_MIX_STEPS; step++)
        calls[step] = functions[steps[step]][grain];
    _Static_assert(SOFTFOCUS_MIX_STEPS == 256, "as many calls");
    for (; rounds > 0; rounds--) {
#define CALL_4(n) calls[n](), calls[(n) + 1](), calls[(n) + 2](), calls[(n) + 3]();
#define CALL_16(n) CALL_4(n) CALL_4((n) + 4) CALL_4((n) + 8) CALL_4((n) + 12)
#define CALL_64(n) CALL_16(n) CALL_16((n) + 16) CALL_16((n) + 32) CALL_16((n) + 48)
        CALL_64(0) CALL_64(64) CALL_64(128) CALL_64(192)
    }
#ifdef __AVX__
    _mm256_zeroupper(); /* steps leave that out */
#endif
}

/* ---- Streams --------------------------------------------------------------------------------------------------------- */

/* `what` and `two` are constants. */
SOFTFOCUS_INLINE void stream_form(enum softfocus_stream what, int two, const float *first, const float *second,
                                  float *target, size_t count)
{
    for (size_t k = 0; k < count; k += 8 * VF_LANES)
        for (size_t v = 0; v < 8; v++) {
            vf sum = vf_load(first + k + v * VF_LANES);
            if (two)
                sum = vf_add(sum, vf_load(second + k + v * VF_LANES));
            if (what == SOFTFOCUS_STREAM_READ)
                __asm__ volatile("" : : IN_VECTOR(sum));
            else if (what == SOFTFOCUS_STREAM_COPY)
                vf_store(target + k + v * VF_LANES, sum);
            else
                vf_stream(target + k + v * VF_LANES, sum);
        }
    if (what == SOFTFOCUS_STREAM_COPY_AROUND)
        vf_stream_end();
    __asm__ volatile("" : : "r"(target) : "memory");
}

static void stream(enum softfocus_stream what, const float *first, const float *second, float *target, size_t count)
{
    _Static_assert(SOFTFOCUS_STREAM_BLOCK % (8 * VF_LANES) == 0, "whole blocks");
    switch (what) {
#define FORMS(what)                                                                                                    \
    case what:                                                                                                         \
        if (second)                                                                                                    \
            stream_form(what, 1, first, second, target, count);                                                        \
        else                                                                                                           \
            stream_form(what, 0, first, NULL, target, count);                                                          \
        break;
        FORMS(SOFTFOCUS_STREAM_READ)
        FORMS(SOFTFOCUS_STREAM_COPY)
        FORMS(SOFTFOCUS_STREAM_COPY_AROUND)
#undef FORMS
    default:
        break;
    }
}

#define NAME_(isa) #isa
#define NAME(isa) NAME_(isa)
#define MIX_OF_(isa) softfocus_mix_##isa
#define MIX_OF(isa) MIX_OF_(isa)

extern const softfocus_mix MIX_OF(SOFTFOCUS_ISA);
const softfocus_mix MIX_OF(SOFTFOCUS_ISA) = {
    .isa = NAME(SOFTFOCUS_ISA),
    .lanes = VF_LANES,
    .has_non_temporal = VF_STREAMS,
    .run = run,
    .stream = stream,
};
