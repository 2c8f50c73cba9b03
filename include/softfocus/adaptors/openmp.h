/* softfocus on OpenMP's threads: a context whose calls run as a `parallel for`.
 *
 *     softfocus_context context = softfocus_openmp_context(0);
 *     softfocus_status status = softfocus_softmax_focal_loss(&context, &x, &t, NULL, &loss, &g);
 *
 * Header only, C11 and C++17: whoever includes it compiles and links with OpenMP (-fopenmp); libsoftfocus does not.
 *   - Thread safety: a context may be used by any number of threads at once; each that calls from outside a parallel
 *     region leads a team of its own, as OpenMP has it.
 *   - Nesting: inside a parallel region a call gets as many threads as OpenMP gives a nested one, which is one unless
 *     omp_set_max_active_levels or OMP_MAX_ACTIVE_LEVELS says otherwise. Results are the same.
 *   - Fewer threads than asked for (OMP_THREAD_LIMIT, OMP_DYNAMIC) are no error either. Nor are more than there are tasks
 *     in a call, which are 256 at most: of threads past omp_get_max_threads() it has one for each task and no more.
 *   - Exceptions: none is thrown, and none passes: the tasks are the library's and throw nothing. */
#ifndef SOFTFOCUS_ADAPTORS_OPENMP_H
#define SOFTFOCUS_ADAPTORS_OPENMP_H

#ifndef _OPENMP
#error "softfocus/adaptors/openmp.h needs OpenMP: compile and link with -fopenmp"
#endif

#include <limits.h>
#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include "softfocus/softfocus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The size of the team for that many tasks, of a context for `threads`. As large for 2 tasks as for many, since libgomp ends
   threads when a team shrinks and makes them anew when it grows; but past what any parallel region gets here no larger than
   there are tasks, since threads without one cost memory, for want of which libgomp ends the process. OpenMP would hold
   OMP_THREAD_LIMIT by itself, but LLVM's complains on stderr. */
static inline int softfocus_openmp_team(size_t threads, size_t count)
{
    const size_t usual = SOFTFOCUS_CAST(size_t, omp_get_max_threads());
    const size_t limit = SOFTFOCUS_CAST(size_t, omp_get_thread_limit());
    const size_t most = count > usual ? count : usual;
    if (threads > most)
        threads = most;
    return SOFTFOCUS_CAST(int, threads > limit ? limit : threads);
}

/* context.parallel_for. `pool` is no address: it is the number of threads asked for, so that a context owns nothing.
   The schedule is static: tasks are pieces of equal size, and a piece of a tensor that one call after the other works on
   meets the same thread, whose cache holds it. */
static inline void softfocus_openmp_parallel_for(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                                 void *argument)
{
#ifdef __cplusplus
    const int team = softfocus_openmp_team(reinterpret_cast<uintptr_t>(pool), count);
#else
    const int team = softfocus_openmp_team((uintptr_t)pool, count);
#endif
#pragma omp parallel for num_threads(team) schedule(static)
    for (size_t i = 0; i < count; i++)
        task(argument, i);
}

/* softfocus_context_defaults() with calls on up to `threads` threads, the caller's own among them. 0: as many as a
   parallel region would get here and now (omp_get_max_threads). Nothing to free. */
static inline softfocus_context softfocus_openmp_context(size_t threads)
{
    softfocus_context context = softfocus_context_defaults();
    if (threads == 0)
        threads = SOFTFOCUS_CAST(size_t, omp_get_max_threads());
    if (threads > INT_MAX) /* OpenMP counts threads in int */
        threads = INT_MAX;
    context.parallel_for = softfocus_openmp_parallel_for;
    const uintptr_t wanted = threads;
#ifdef __cplusplus
    context.pool = reinterpret_cast<void *>(wanted);
#else
    context.pool = (void *)wanted;
#endif
    context.threads = threads;
    return context;
}

#ifdef __cplusplus
}
#endif

#endif
