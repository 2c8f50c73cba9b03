/* Which ISAs there are, which of them this CPU supports, and which one is the default.
 *
 * Everything here is constant but one atomic word, `choice`. The first call that needs it works it out and publishes it
 * by compare-exchange; threads that come at once find the same, or take the winner's. It holds the supported ISAs beside
 * the default, since a caller's own ISA is checked at each call and CPUID traps in a virtual machine (microseconds). */
#include "dispatch/dispatch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ISA(...) of a row that was built, nothing for another: meson passes -DSOFTFOCUS_BUILT_avx2=1 and the like, and
   IF_BUILT(SOFTFOCUS_BUILT_avx2) is KEEP or DROP. */
#define KEEP(...) __VA_ARGS__
#define DROP(...)
#define SECOND(first, second, ...) second
#define COMMA_1 ,
#define SELECT(comma) SECOND(comma KEEP, DROP, )
#define PASTE(built) SELECT(COMMA_##built)
#define IF_BUILT(built) PASTE(built)

#define ISA(name, features)                                                                                            \
    IF_BUILT(SOFTFOCUS_BUILT_##name)(extern const struct softfocus_kernels softfocus_kernels_##name##_f32;)
#include "dispatch/isa.def"
#undef ISA

static const struct softfocus_isa isas[] = {
#define ISA(name, features) IF_BUILT(SOFTFOCUS_BUILT_##name)({#name, (features), &softfocus_kernels_##name##_f32}, )
#include "dispatch/isa.def"
#undef ISA
};

enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

/* 0: not known yet. Else bit i: isas[i] is supported; the bits from DEFAULT_SHIFT: 1 + the default's index. */
enum { DEFAULT_SHIFT = 16 };
_Static_assert((int)ISA_COUNT <= (int)DEFAULT_SHIFT, "one bit per ISA below the default's index");
static _Atomic uint32_t choice;

static size_t index_of(const char *name)
{
    size_t i = 0;
    while (i < ISA_COUNT && strcmp(isas[i].name, name) != 0)
        i++;
    return i;
}

static uint32_t choose(void)
{
    uint32_t have = softfocus_cpu_features(), supported = 0;
    for (size_t i = 0; i < ISA_COUNT; i++)
        if ((isas[i].features & ~have) == 0)
            supported |= UINT32_C(1) << i;
    size_t best = 0;
    while (!(supported >> best & 1))
        best++; /* ends at scalar, which needs nothing */
    const char *wish = getenv("SOFTFOCUS_ISA");
    size_t wished = wish ? index_of(wish) : ISA_COUNT;
    if (wished < ISA_COUNT && supported >> wished & 1)
        best = wished;
    return supported | (uint32_t)(best + 1) << DEFAULT_SHIFT;
}

static uint32_t chosen(void)
{
    uint32_t known = atomic_load_explicit(&choice, memory_order_relaxed);
    if (known)
        return known;
    uint32_t mine = choose();
    return atomic_compare_exchange_strong_explicit(&choice, &known, mine, memory_order_relaxed, memory_order_relaxed)
               ? mine
               : known;
}

size_t softfocus_isa_count(void) { return ISA_COUNT; }

const softfocus_isa *softfocus_isa_at(size_t i) { return i < ISA_COUNT ? &isas[i] : NULL; }

const softfocus_isa *softfocus_isa_find(const char *name) { return name ? softfocus_isa_at(index_of(name)) : NULL; }

const char *softfocus_isa_name(const softfocus_isa *isa) { return isa ? isa->name : NULL; }

int softfocus_isa_supported(const softfocus_isa *isa)
{
    for (size_t i = 0; i < ISA_COUNT; i++) /* a pointer that is none of ours is not supported */
        if (isa == &isas[i])
            return (int)(chosen() >> i & 1);
    return 0;
}

const softfocus_isa *softfocus_isa_default(void) { return &isas[(chosen() >> DEFAULT_SHIFT) - 1]; }
