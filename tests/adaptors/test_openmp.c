/* softfocus/adaptors/openmp.h: the tests of adaptor.h. */
#include "softfocus/adaptors/openmp.h"

#include <string.h>

#include "adaptor.h"

enum {
    ROWS = 600, CLASSES = 1000, /* several tasks */
    TASKS_MAX = 256             /* of a call: CHUNK_MAX in dispatch/run.c */
};

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

static void keep_team(void *team, size_t index)
{
    if (index == 0)
        *(int *)team = omp_get_num_threads();
}

static int team_of(size_t threads, size_t count)
{
    int team = 0;
    softfocus_context context = softfocus_openmp_context(threads);
    context.parallel_for(context.pool, count, keep_team, &team);
    return team;
}

/* The same team for any number of tasks, but past what a region gets by itself one thread for each task. */
static int teams(void)
{
    omp_set_num_threads(3);
    return team_of(2, 1) == 2 && team_of(2, 9) == 2 && team_of(3, 1) == 3 && team_of(3, 9) == 3 && team_of(7, 1) == 3 &&
           team_of(7, 5) == 5 && team_of(7, 9) == 7;
}

static softfocus_status log_softmax(const softfocus_context *context, const float *logits, float *log_probs)
{
    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_tensor y = softfocus_tensor_contiguous(log_probs, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    return softfocus_log_softmax(context, &x, &y);
}

/* More threads than any machine has are no error: a call begins no more than it has tasks. */
static int beyond_all_threads(void)
{
    static float logits[ROWS * CLASSES], expected[ROWS * CLASSES], got[ROWS * CLASSES];
    softfocus_context context = softfocus_openmp_context(SIZE_MAX);
    for (size_t i = 0; i < ROWS * CLASSES; i++)
        logits[i] = (float)(i % 61);
    omp_set_num_threads(3);
    return log_softmax(NULL, logits, expected) == SOFTFOCUS_OK && log_softmax(&context, logits, got) == SOFTFOCUS_OK &&
           memcmp(got, expected, sizeof got) == 0 && team_of(SIZE_MAX, TASKS_MAX) == TASKS_MAX;
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
    failed |= softfocus_check_adaptor("the size of a team", teams());
    failed |= softfocus_check_adaptor("calls for more threads than there can be", beyond_all_threads());
    failed |= softfocus_check_adaptor("calls from inside a parallel region", nested());
    return failed;
}
