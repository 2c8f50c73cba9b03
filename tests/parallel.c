/* Ways to run tasks: see parallel.h. */
#define _POSIX_C_SOURCE 200809L

#include "parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "float_environment.h"

static void record(void *pool, size_t count)
{
    softfocus_task_record *tasks = pool;
    tasks->calls++;
    tasks->tasks += count;
    tasks->control = softfocus_float_control();
}

void softfocus_parallel_reverse(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                void *argument)
{
    record(pool, count);
    while (count > 0)
        task(argument, --count);
}

typedef struct shared_job {
    atomic_size_t next;
    size_t count;
    void (*task)(void *argument, size_t index);
    void *argument;
} shared_job;

static void *work(void *argument)
{
    shared_job *job = argument;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;)
        job->task(job->argument, i);
    return NULL;
}

void softfocus_parallel_threads(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                void *argument)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    shared_job job = {.count = count, .task = task, .argument = argument};
    atomic_init(&job.next, 0);
    record(pool, count);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &job) != 0) {
            perror("pthread_create");
            exit(EXIT_FAILURE);
        }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}
