/* softfocus on oneTBB's threads.
 *
 *     softfocus_context context = softfocus_tbb_context();        // in the caller's arena, or
 *     tbb::task_arena arena(4);
 *     softfocus_context context = softfocus_tbb_context(arena);   // in one of its own
 *     softfocus_status status = softfocus_softmax_focal_loss(&context, &x, &t, nullptr, &loss, &g);
 *
 * Header only, C++17: whoever includes it links with oneTBB (-ltbb); libsoftfocus does not.
 *   - Lifetime: an arena stays the caller's, and must outlive the context's last call.
 *   - Thread safety: a context may be used by any number of threads at once, as arenas may.
 *   - Nesting: a call may be made from inside any task. While it waits for its own tasks the calling thread takes up no
 *     others (it is isolated), so a caller may hold a lock; and it is not cancelled with a group of tasks around it, so
 *     that what has begun is finished.
 *   - Threads: TBB never has more workers than the machine has cores, less one, unless tbb::global_control asks for more.
 *   - Exceptions: the tasks are the library's and throw nothing. Were TBB itself to fail (no memory for a task), the
 *     process would end by std::terminate: no exception may cross the library's C, and no output may stay half written. */
#ifndef SOFTFOCUS_ADAPTORS_TBB_HPP
#define SOFTFOCUS_ADAPTORS_TBB_HPP

#include <cstddef>

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "softfocus/softfocus.h"

extern "C" {

/* context.parallel_for; `pool` is a tbb::task_arena, or null for the arena that the calling thread is in. One task of TBB
   for each of ours (simple_partitioner): they are few and large, and none should wait behind another. */
static inline void softfocus_tbb_parallel_for(void *pool, std::size_t count,
                                              void (*task)(void *argument, std::size_t index), void *argument) noexcept
{
    const auto each = [task, argument](const tbb::blocked_range<std::size_t> &range) {
        for (std::size_t i = range.begin(); i != range.end(); ++i)
            task(argument, i);
    };
    const auto isolated = [count, &each] {
        tbb::this_task_arena::isolate([count, &each] {
            tbb::task_group_context group(tbb::task_group_context::isolated);
            tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, 1), each, tbb::simple_partitioner(), group);
        });
    };
    if (pool != nullptr)
        static_cast<tbb::task_arena *>(pool)->execute(isolated);
    else
        isolated();
}

} /* extern "C" */

/* softfocus_context_defaults() with calls in the arena that the calling thread is in when it makes them; as many tasks as
   the arena of this moment has threads. Nothing to free.
   static, as what it names is: an inline function of external linkage must name the same functions in every file. */
static inline softfocus_context softfocus_tbb_context()
{
    softfocus_context context = softfocus_context_defaults();
    context.parallel_for = softfocus_tbb_parallel_for;
    context.threads = static_cast<std::size_t>(tbb::this_task_arena::max_concurrency());
    return context;
}

/* The same in an arena of the caller's choice, such as tbb::task_arena(4) for four threads. */
static inline softfocus_context softfocus_tbb_context(tbb::task_arena &arena)
{
    softfocus_context context = softfocus_context_defaults();
    context.parallel_for = softfocus_tbb_parallel_for;
    context.pool = &arena;
    context.threads = static_cast<std::size_t>(arena.max_concurrency());
    return context;
}

#endif
