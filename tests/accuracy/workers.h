/* Work spread over processes, which share memory and nothing else: neither the cases nor a crash of one need be safe
 * for threads. */
#ifndef SOFTFOCUS_TESTS_WORKERS_H
#define SOFTFOCUS_TESTS_WORKERS_H

#include <stdatomic.h>
#include <stddef.h>

/* Zeros that child processes share. Ends the process when there is no memory. */
void *softfocus_workers_share(size_t size);
void softfocus_workers_unshare(void *shared, size_t size);

/* Calls item(argument, worker, i) for each i < count, each in one of `workers` processes, i rising within each; worker
   says which. Returns 1 if all of them ended well; else says what happened on stderr and returns 0. */
int softfocus_workers_run(size_t workers, size_t count, void (*item)(void *argument, size_t worker, size_t i),
                          void *argument);

#endif
