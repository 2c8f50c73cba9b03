/* dispatch/fp.h as it is, but for a look at the exception flags that the arithmetic between entering and leaving has raised:
 * found in its place by the build of test_subnormal.c. */
#ifndef SOFTFOCUS_TESTS_WATCHED_FP_H
#define SOFTFOCUS_TESTS_WATCHED_FP_H

#include <fenv.h>

#define softfocus_fp_leave softfocus_fp_leave_unseen
#include "../../../../dispatch/fp.h"
#undef softfocus_fp_leave

extern int softfocus_test_subnormals; /* test_subnormal.c */

#if defined(__x86_64__) || defined(__i386__)
/* Subnormal operands have a flag of their own, which fenv.h does not know. */
static inline int softfocus_fp_met_subnormals(void) { return (_mm_getcsr() & 0x12) != 0; }
#else
static inline int softfocus_fp_met_subnormals(void) { return fetestexcept(FE_UNDERFLOW) != 0; }
#endif

static inline void softfocus_fp_leave(softfocus_fp_state caller)
{
    softfocus_test_subnormals |= softfocus_fp_met_subnormals();
    softfocus_fp_leave_unseen(caller);
}

#endif
