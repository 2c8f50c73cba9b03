/* softfocus/adaptors/openmp.h: the tests of adaptor.h. */
#include "softfocus/adaptors/openmp.h"

#include "adaptor.h"

static void *begin(size_t threads, softfocus_context *context)
{
    *context = softfocus_openmp_context(threads);
    return NULL;
}

static void end(void *state) { (void)state; }

/* 0 means what OpenMP would take itself; a number beyond int is cut, not wrapped. */
static int thread_counts(void)
{
    omp_set_num_threads(3);
    return softfocus_openmp_context(0).threads == 3 && softfocus_openmp_context(SIZE_MAX).threads == INT_MAX;
}

static void add_index(void *sum, size_t index)
{
#pragma omp atomic
    *(size_t *)sum += index;
}

/* From inside a region, from two threads at once. */
static int nested(void)
{
    size_t sum = 0;
    int regions = 0;
#pragma omp parallel num_threads(2) reduction(+ : regions)
    {
        softfocus_context context = softfocus_openmp_context(4);
        context.parallel_for(context.pool, 101, add_index, &sum);
        regions++;
    }
    return regions == 2 && sum == 2 * 5050;
}

int main(void)
{
    static const softfocus_test_adaptor adaptor = {"openmp", begin, end};
    omp_set_dynamic(0); /* as many threads as asked for, whatever the machine's load */
    int failed = softfocus_run_adaptor_tests(&adaptor);
    failed |= softfocus_check_adaptor("a count of threads of 0 or beyond int", thread_counts());
    failed |= softfocus_check_adaptor("calls from inside a parallel region", nested());
    return failed;
}
