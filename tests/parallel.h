/* Ways to run a call's tasks, for contexts of the tests: each is a parallel_for whose pool is a
   softfocus_task_record. */
#ifndef SOFTFOCUS_TESTS_PARALLEL_H
#define SOFTFOCUS_TESTS_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

/* What the parallel_for was asked to do, added up over the calls. Zero it first. */
typedef struct softfocus_task_record {
    size_t calls, tasks;
    uint64_t control; /* the floating-point control word of the last call */
} softfocus_task_record;

/* On the calling thread, the last first. */
void softfocus_parallel_reverse(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                void *argument);
/* On four threads made for the call, each taking the next index. */
void softfocus_parallel_threads(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                void *argument);

#endif
