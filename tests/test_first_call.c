/* softfocus-test-first-call: the first call of a process, made by many threads at once, and what
 * SOFTFOCUS_ISA in the environment makes of the default ISA. A program of its own, since a process has one
 * first call; run once per value of SOFTFOCUS_ISA. Exit status 0: as documented. */
#define _POSIX_C_SOURCE 200809L

#include "softfocus/softfocus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 32, CLASSES = 37 };

typedef struct result {
    const softfocus_isa *isa;
    softfocus_status status;
    float log_probs[CLASSES];
} result;

static result results[THREADS];
static atomic_int waiting = THREADS;

/* Each thread spins until all are there, so that the calls meet. Odd ones begin with a kernel, even ones
   with the ISA. */
static void *first_call(void *argument)
{
    result *mine = argument;
    float logits[CLASSES];
    for (size_t c = 0; c < CLASSES; c++)
        logits[c] = 0.125f * (float)(c * c % 29);
    softfocus_tensor z = softfocus_tensor_contiguous(logits, SOFTFOCUS_F32, 1, CLASSES, 1);
    softfocus_tensor out = softfocus_tensor_contiguous(mine->log_probs, SOFTFOCUS_F32, 1, CLASSES, 1);
    atomic_fetch_sub(&waiting, 1);
    while (atomic_load(&waiting) > 0)
        ;
    if ((mine - results) % 2 == 0)
        mine->isa = softfocus_isa_default();
    mine->status = softfocus_log_softmax(NULL, &z, &out);
    mine->isa = softfocus_isa_default();
    return NULL;
}

/* The best that is supported, unless the environment names a supported one. */
static const softfocus_isa *expected_default(void)
{
    const softfocus_isa *named = softfocus_isa_find(getenv("SOFTFOCUS_ISA"));
    if (softfocus_isa_supported(named))
        return named;
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        if (softfocus_isa_supported(softfocus_isa_at(i)))
            return softfocus_isa_at(i);
    return NULL;
}

static int check(void)
{
    const softfocus_isa *expected = expected_default();
    for (size_t t = 0; t < THREADS; t++) {
        if (results[t].status != SOFTFOCUS_OK || results[t].isa == NULL || results[t].isa != expected) {
            fprintf(stderr, "thread %zu: status %d, default %s; expected 0 and %s\n", t,
                    (int)results[t].status,
                    results[t].isa == NULL ? "NULL" : softfocus_isa_name(results[t].isa),
                    softfocus_isa_name(expected));
            return EXIT_FAILURE;
        }
        if (memcmp(results[t].log_probs, results[0].log_probs, sizeof results[t].log_probs) != 0) {
            fprintf(stderr, "thread %zu has another result than thread 0\n", t);
            return EXIT_FAILURE;
        }
    }
    /* Too late to change it. */
    setenv("SOFTFOCUS_ISA", "scalar", 1);
    if (softfocus_isa_default() != expected) {
        fprintf(stderr, "the default has changed after the first call\n");
        return EXIT_FAILURE;
    }
    printf("%d threads agree on %s\n", THREADS, softfocus_isa_name(expected));
    return EXIT_SUCCESS;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (size_t t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, first_call, &results[t]) != 0) {
            perror("pthread_create");
            return EXIT_FAILURE;
        }
    for (size_t t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    return check();
}
