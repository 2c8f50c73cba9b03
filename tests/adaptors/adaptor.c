/* The tests of adaptor.h, for 1 to 8 threads each: every task is run exactly once, as many at once as there are threads,
 * and a call gives the same bits as on the calling thread. */
#define _POSIX_C_SOURCE 200809L

#include "adaptor.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "cases/random.h"

enum {
    THREADS_MAX = 8,
    TASKS_MAX = 1000, /* far more than threads, and no multiple of 3, 6 or 7 of them */
    ROWS = 1023, CLASSES = 1000, /* enough for every thread to be handed a piece, and pieces of unequal size */
    ELEMENTS = ROWS * CLASSES,
    PATIENCE = 60 /* seconds until tasks that wait for each other give up: a loaded machine, not a stuck one */
};

/* ---- The tasks themselves ---------------------------------------------------------------------------------------- */

typedef struct tasks {
    softfocus_context inner; /* what `watched` runs them on */
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t count, calls;
    atomic_uint done[TASKS_MAX];
    atomic_size_t begun;
    atomic_int apart; /* a task gave up waiting for the others */
} tasks;

static void run_counted(void *argument, size_t index)
{
    tasks *all = argument;
    if (index < TASKS_MAX)
        atomic_fetch_add(&all->done[index], 1);
    if (all->task)
        all->task(all->argument, index);
}

static void check_each_once(tasks *all, size_t count)
{
    assert_true(count <= TASKS_MAX);
    for (size_t i = 0; i < TASKS_MAX; i++)
        assert_int_equal(atomic_exchange(&all->done[i], 0), i < count);
}

static void each_task_once(const softfocus_context *context)
{
    static tasks all;
    static const size_t counts[] = {0, 1, 2, 3, 5, 7, 8, 9, 64, TASKS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        context->parallel_for(context->pool, counts[i], run_counted, &all);
        check_each_once(&all, counts[i]);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Waits until all tasks have begun: that never comes where they run one after another. */
static void meet(void *argument, size_t index)
{
    (void)index;
    tasks *all = argument;
    atomic_fetch_add(&all->begun, 1);
    for (double end = seconds() + PATIENCE; atomic_load(&all->begun) < all->count;) {
        if (atomic_load(&all->apart) || seconds() > end) {
            atomic_store(&all->apart, 1);
            return;
        }
        sched_yield();
    }
}

static void tasks_at_once(const softfocus_context *context)
{
    static tasks all;
    memset(&all, 0, sizeof all);
    all.count = context->threads;
    context->parallel_for(context->pool, all.count, meet, &all);
    assert_int_equal(atomic_load(&all.begun), all.count);
    assert_false(atomic_load(&all.apart));
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

static float logits[ELEMENTS], dense[ELEMENTS];
static int64_t labels[ROWS];
typedef struct results {
    float out[ELEMENTS], loss;
} results;

static void fill_inputs(void)
{
    softfocus_random random = {20};
    for (size_t i = 0; i < ELEMENTS; i++) {
        logits[i] = (float)softfocus_random_between(&random, -12.0, 12.0);
        dense[i] = softfocus_random_below(&random, 50) == 0 ? 1.0f : 0.0f;
    }
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = (int64_t)softfocus_random_below(&random, CLASSES);
}

static softfocus_status call_log_softmax(const softfocus_context *context, results *got)
{
    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_tensor y = softfocus_tensor_contiguous(got->out, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    return softfocus_log_softmax(context, &x, &y);
}

static softfocus_status call_softmax_focal(const softfocus_context *context, results *got)
{
    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(got->out, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_targets t = softfocus_index_targets(labels, SOFTFOCUS_I64);
    return softfocus_softmax_focal_loss(context, &x, &t, NULL, &got->loss, &g);
}

static softfocus_status call_sigmoid_focal(const softfocus_context *context, results *got)
{
    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(got->out, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    softfocus_targets t =
        softfocus_dense_targets(softfocus_tensor_contiguous_const(dense, SOFTFOCUS_F32, ROWS, CLASSES, 1));
    return softfocus_sigmoid_focal_loss(context, &x, &t, NULL, &got->loss, &g);
}

/* A parallel_for around the adaptor's own, which counts. */
static void watched(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    tasks *all = pool;
    all->calls++;
    all->count = count;
    all->task = task;
    all->argument = argument;
    all->inner.parallel_for(all->inner.pool, count, run_counted, all);
}

static void same_bits(const softfocus_context *context,
                      softfocus_status (*call)(const softfocus_context *context, results *got))
{
    static results expected, got;
    static tasks all;
    memset(&all, 0, sizeof all);
    memset(&expected, 0xff, sizeof expected); /* NaN */
    memset(&got, 0xff, sizeof got);
    assert_int_equal(call(NULL, &expected), SOFTFOCUS_OK);

    /* As users call it, and once more with the tasks counted. */
    assert_int_equal(call(context, &got), SOFTFOCUS_OK);
    assert_memory_equal(&got, &expected, sizeof got);

    memset(&got, 0xff, sizeof got);
    all.inner = *context;
    softfocus_context counted = *context;
    counted.parallel_for = watched;
    counted.pool = &all;
    assert_int_equal(call(&counted, &got), SOFTFOCUS_OK);
    assert_memory_equal(&got, &expected, sizeof got);
    assert_int_equal(all.calls, context->threads > 1);
    if (context->threads > 1)
        assert_true(all.count >= context->threads);
    check_each_once(&all, all.count);
}

static void log_softmax(const softfocus_context *context) { same_bits(context, call_log_softmax); }
static void softmax_focal_loss(const softfocus_context *context) { same_bits(context, call_softmax_focal); }
static void sigmoid_focal_loss(const softfocus_context *context) { same_bits(context, call_sigmoid_focal); }

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static const struct test {
    const char *name;
    void (*body)(const softfocus_context *context);
} tests[] = {{"each-task-once", each_task_once},
             {"tasks-at-once", tasks_at_once},
             {"log_softmax", log_softmax},
             {"softmax_focal_loss", softmax_focal_loss},
             {"sigmoid_focal_loss", sigmoid_focal_loss}};
enum { TESTS = sizeof tests / sizeof *tests };

typedef struct unit {
    char name[64];
    const softfocus_test_adaptor *adaptor;
    const struct test *test;
    size_t threads;
} unit;

static void run_unit(void **state)
{
    const unit *this = *state;
    softfocus_context context;
    memset(&context, 0xff, sizeof context);
    void *opened = this->adaptor->begin(this->threads, &context);
    assert_int_equal(context.size, sizeof context);
    assert_int_equal(context.threads, this->threads);
    assert_null(context.isa);
    assert_null(context.error);
    this->test->body(&context);
    this->adaptor->end(opened);
}

int softfocus_run_adaptor_tests(const softfocus_test_adaptor *adaptor)
{
    static unit units[TESTS * THREADS_MAX];
    struct CMUnitTest list[TESTS * THREADS_MAX];
    fill_inputs();
    for (size_t i = 0; i < TESTS * THREADS_MAX; i++) {
        unit *this = &units[i];
        this->adaptor = adaptor;
        this->test = &tests[i / THREADS_MAX];
        this->threads = i % THREADS_MAX + 1;
        snprintf(this->name, sizeof this->name, "%s/%s/threads:%zu", adaptor->name, this->test->name, this->threads);
        list[i] = (struct CMUnitTest){this->name, run_unit, NULL, NULL, this};
    }
    /* An exit status wraps at 256; cmocka's count of failures need not fit. */
    return _cmocka_run_group_tests(adaptor->name, list, TESTS * THREADS_MAX, NULL, NULL) != 0;
}

int softfocus_check_adaptor(const char *what, int passed)
{
    printf("%s: %s\n", passed ? "passed" : "FAILED", what);
    return !passed;
}
