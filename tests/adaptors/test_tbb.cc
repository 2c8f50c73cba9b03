/* softfocus/adaptors/tbb.hpp: the tests of adaptor.h, and what only TBB has: groups of tasks that are cancelled. */
#include "softfocus/adaptors/tbb.hpp"

#include <atomic>

#include <tbb/global_control.h>

#include "adaptor.h"

bool functions_of_other_file(); // test_tbb_twice.cc

namespace {

void *begin(std::size_t threads, softfocus_context *context)
{
    auto *arena = new tbb::task_arena(static_cast<int>(threads));
    *context = softfocus_tbb_context(*arena);
    return arena;
}

void end(void *state)
{
    delete static_cast<tbb::task_arena *>(state);
}

void add_index(void *sum, std::size_t index)
{
    *static_cast<std::atomic<std::size_t> *>(sum) += index;
}

/* The arena of the moment: inside one of 3 threads, its tasks run there. */
bool arena_of_the_moment()
{
    std::atomic<std::size_t> sum{0};
    softfocus_context context = softfocus_context_defaults();
    tbb::task_arena(3).execute([&] {
        context = softfocus_tbb_context();
        context.parallel_for(context.pool, 101, add_index, &sum);
    });
    return context.threads == 3 && context.pool == nullptr && sum == 5050;
}

/* A context names the functions of the file that made it, though another file includes the header too: whichever of them
   the linker kept, were they no file's own, one file would have the other's. Through a pointer, for what is inlined is not
   the linker's. */
bool functions_of_each_file()
{
    softfocus_context (*volatile make)() = softfocus_tbb_context;
    return make().parallel_for == softfocus_tbb_parallel_for && functions_of_other_file();
}

/* From inside tasks whose group is cancelled meanwhile: everything is done all the same. */
bool cancelled_around()
{
    std::atomic<std::size_t> sum{0}, calls{0};
    tbb::task_group_context group;
    tbb::parallel_for(
        0, 4,
        [&](int) {
            group.cancel_group_execution();
            softfocus_context context = softfocus_tbb_context();
            context.parallel_for(context.pool, 101, add_index, &sum);
            ++calls;
        },
        tbb::simple_partitioner(), group);
    return calls >= 1 && sum == calls * 5050;
}

} // namespace

int main()
{
    /* Eight threads at once, on machines with fewer cores too. */
    tbb::global_control workers(tbb::global_control::max_allowed_parallelism, 8);
    const softfocus_test_adaptor adaptor = {"tbb", begin, end};
    int failed = softfocus_run_adaptor_tests(&adaptor);
    failed |= softfocus_check_adaptor("the arena of the moment", arena_of_the_moment());
    failed |= softfocus_check_adaptor("the header in two files", functions_of_each_file());
    failed |= softfocus_check_adaptor("a group of tasks that is cancelled around a call", cancelled_around());
    return failed;
}
