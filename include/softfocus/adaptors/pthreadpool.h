/* softfocus on a pthreadpool (github.com/Maratyszcza/pthreadpool), the thread pool of XNNPACK and its users.
 *
 *     pthreadpool_t pool = pthreadpool_create(0);
 *     softfocus_context context = softfocus_pthreadpool_context(pool);
 *     softfocus_status status = softfocus_softmax_focal_loss(&context, &x, &t, NULL, &loss, &g);
 *     pthreadpool_destroy(pool);
 *
 * Header only, C11 and C++17: whoever includes it links with pthreadpool (-lpthreadpool); libsoftfocus does not.
 *   - Lifetime: the pool stays the caller's, and must outlive the context's last call.
 *   - Thread safety: a context may be used by any number of threads at once; a pool does one thing at a time, so their
 *     calls wait for each other.
 *   - Nesting: never call with this context from inside a task of the same pool, which would wait for itself for ever
 *     (as any use of a pthreadpool does). Inside a task use another pool's context, or none.
 *   - Exceptions: none is thrown, and none passes: the tasks are the library's and throw nothing. */
#ifndef SOFTFOCUS_ADAPTORS_PTHREADPOOL_H
#define SOFTFOCUS_ADAPTORS_PTHREADPOOL_H

#include <pthreadpool.h>
#include <stddef.h>

#include "softfocus/softfocus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* context.parallel_for; `pool` is a pthreadpool_t. No flags: how long idle workers spin is the pool's default, and the
   tasks set their own floating-point environment. */
static inline void softfocus_pthreadpool_parallel_for(void *pool, size_t count,
                                                      void (*task)(void *argument, size_t index), void *argument)
{
    pthreadpool_parallelize_1d(SOFTFOCUS_CAST(pthreadpool_t, pool), task, argument, count, 0);
}

/* softfocus_context_defaults() with calls on all threads of the pool, of which the calling thread is one. NULL, which is
   what pthreadpool_create answers when it fails, is a pool of the calling thread alone, as everywhere in pthreadpool. */
static inline softfocus_context softfocus_pthreadpool_context(pthreadpool_t pool)
{
    softfocus_context context = softfocus_context_defaults();
    context.parallel_for = softfocus_pthreadpool_parallel_for;
    context.pool = pool;
    context.threads = pthreadpool_get_threads_count(pool);
    return context;
}

#ifdef __cplusplus
}
#endif

#endif
