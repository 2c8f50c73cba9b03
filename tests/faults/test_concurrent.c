/* softfocus-test-concurrent: for ThreadSanitizer, which needs no luck to see a race. Many threads make the first call of the
 * process at once, each then calls on every ISA, all read the same logits, and all get the same bits.
 * tests/test_first_call.c makes the calls meet in time as well, by spinning, which starves writers under ThreadSanitizer.
 * Exit status 0: they did. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "softfocus/softfocus.h"

enum { THREADS = 8, ROUNDS = 4, ISAS_MAX = 8, OUTER = 6, CLASSES = 53, ELEMENTS = OUTER * CLASSES };

typedef struct caller {
    size_t number;
    const softfocus_isa *isa; /* the default, as this thread saw it */
    int failed;
    float loss[ISAS_MAX][OUTER], grad[ISAS_MAX][ELEMENTS], log_probs[ISAS_MAX][ELEMENTS];
} caller;

static pthread_barrier_t start;
static float logits[ELEMENTS]; /* read by all */
static int32_t index_of_class[OUTER];
static caller callers[THREADS];

static softfocus_tensor tensor_on(float *data)
{
    return softfocus_tensor_contiguous(data, SOFTFOCUS_F32, OUTER, CLASSES, 1);
}

/* Row 0: the default, and the first call of all; then one row per ISA, from another one on in each thread. */
static void call_on(caller *mine, size_t row)
{
    softfocus_context context = softfocus_context_defaults();
    softfocus_targets targets = softfocus_index_targets(index_of_class, SOFTFOCUS_I32);
    softfocus_focal_options options = softfocus_focal_defaults();
    softfocus_tensor z = tensor_on(logits), grad = tensor_on(mine->grad[row]), log_probs = tensor_on(mine->log_probs[row]);
    options.reduction = SOFTFOCUS_NONE;
    context.isa = row == 0 ? NULL : softfocus_isa_at(row - 1);
    if (row > 0 && !softfocus_isa_supported(context.isa))
        return;
    mine->failed |= softfocus_log_softmax(&context, &z, &log_probs) != SOFTFOCUS_OK;
    mine->failed |= softfocus_softmax_focal_loss(&context, &z, &targets, &options, mine->loss[row], &grad) != SOFTFOCUS_OK;
}

static void *make_calls(void *argument)
{
    caller *mine = argument;
    pthread_barrier_wait(&start);
    if (mine->number % 2 == 0)
        mine->isa = softfocus_isa_default();
    call_on(mine, 0);
    size_t rows = softfocus_isa_count();
    for (size_t r = 0; r < rows * ROUNDS; r++)
        call_on(mine, 1 + (r + mine->number) % rows);
    mine->isa = softfocus_isa_default();
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (size_t e = 0; e < ELEMENTS; e++)
        logits[e] = 0.25f * (float)(e * e % 61);
    for (size_t o = 0; o < OUTER; o++)
        index_of_class[o] = (int32_t)(7 * o % CLASSES);
    int bad = softfocus_isa_count() >= ISAS_MAX || pthread_barrier_init(&start, NULL, THREADS) != 0;
    for (size_t t = 0; !bad && t < THREADS; t++) {
        callers[t].number = t;
        bad = pthread_create(&threads[t], NULL, make_calls, &callers[t]) != 0;
    }
    if (bad) {
        fprintf(stderr, "no threads, or too many ISAs\n");
        return EXIT_FAILURE;
    }
    for (size_t t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (size_t t = 0; t < THREADS; t++)
        bad |= callers[t].failed || callers[t].isa != callers[0].isa ||
               memcmp(callers[t].loss, callers[0].loss, sizeof callers[t].loss) != 0 ||
               memcmp(callers[t].grad, callers[0].grad, sizeof callers[t].grad) != 0 ||
               memcmp(callers[t].log_probs, callers[0].log_probs, sizeof callers[t].log_probs) != 0;
    printf("%d threads: %s\n", (int)THREADS, bad ? "a call failed, or threads differ" : "the same bits");
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
