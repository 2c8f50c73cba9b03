/* softfocus/adaptors/pthreadpool.h: the tests of adaptor.h. */
#include "softfocus/adaptors/pthreadpool.h"

#include <stdio.h>
#include <stdlib.h>

#include "adaptor.h"

static void *begin(size_t threads, softfocus_context *context)
{
    pthreadpool_t pool = pthreadpool_create(threads);
    if (pool == NULL) {
        perror("pthreadpool_create");
        exit(EXIT_FAILURE);
    }
    *context = softfocus_pthreadpool_context(pool);
    return pool;
}

static void end(void *pool) { pthreadpool_destroy(pool); }

static void add_index(void *sum, size_t index) { *(size_t *)sum += index; }

/* The pool that could not be made is the calling thread. */
static int no_pool(void)
{
    size_t sum = 0;
    softfocus_context context = softfocus_pthreadpool_context(NULL);
    context.parallel_for(context.pool, 101, add_index, &sum);
    return context.threads == 1 && sum == 5050;
}

int main(void)
{
    static const softfocus_test_adaptor adaptor = {"pthreadpool", begin, end};
    int failed = softfocus_run_adaptor_tests(&adaptor);
    failed |= softfocus_check_adaptor("no pool is the calling thread", no_pool());
    return failed;
}
