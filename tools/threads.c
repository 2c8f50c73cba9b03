/* A parallel_for over POSIX threads. See threads.h. */
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

typedef struct work {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t count;
    atomic_size_t next;
} work;

size_t softfocus_threads_available(void)
{
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
}

static void *run_tasks(void *argument)
{
    work *shared = argument;
    size_t index;
    while ((index = atomic_fetch_add(&shared->next, 1)) < shared->count)
        shared->task(shared->argument, index);
    return NULL;
}

void softfocus_threads_parallel_for(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                    void *argument)
{
    work shared = {.task = task, .argument = argument, .count = count};
    atomic_init(&shared.next, 0);

    size_t threads = (uintptr_t)pool < count ? (uintptr_t)pool : count;
    pthread_t started[SOFTFOCUS_MAX_THREADS];
    size_t started_count = 0;
    while (started_count + 1 < threads && started_count < SOFTFOCUS_MAX_THREADS &&
           pthread_create(&started[started_count], NULL, run_tasks, &shared) == 0)
        started_count++;
    run_tasks(&shared);
    for (size_t i = 0; i < started_count; i++)
        pthread_join(started[i], NULL);
}
