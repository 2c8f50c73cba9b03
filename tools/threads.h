/* A parallel_for for softfocus_context: threads that live for one call, which is what a program of one call
   needs. */
#ifndef SOFTFOCUS_TOOLS_THREADS_H
#define SOFTFOCUS_TOOLS_THREADS_H

#include <stddef.h>

/* More than any machine of today needs; their handles lie on the stack. */
enum { SOFTFOCUS_MAX_THREADS = 1024 };

/* CPUs that this process may use; at least 1. */
size_t softfocus_threads_available(void);

/* `pool` is the number of threads, the calling one included, as (void *)(uintptr_t)threads. Where fewer can
   be started the rest do all the work. */
void softfocus_threads_parallel_for(void *pool, size_t count, void (*task)(void *argument, size_t index),
                                    void *argument);

#endif
