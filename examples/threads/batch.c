/* See batch.h. */
#include "batch.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 1024, CLASSES = 1000, ELEMENTS = ROWS * CLASSES };

softfocus_example_batch softfocus_example_make_batch(void)
{
    static float logits[ELEMENTS], grad[ELEMENTS];
    static int32_t labels[ROWS];
    uint32_t state = 1; /* a linear congruential generator, whose high bits are good enough here */
    for (size_t i = 0; i < ELEMENTS; i++) {
        state = state * 1664525u + 1013904223u;
        logits[i] = (float)(state >> 8) * 0x1p-20f - 8.0f; /* in [-8, 8) */
    }
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = (int32_t)(i * 7 % CLASSES);

    softfocus_example_batch batch;
    batch.logits = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    batch.grad = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, ROWS, CLASSES, 1);
    batch.targets = softfocus_index_targets(labels, SOFTFOCUS_I32);
    return batch;
}

int softfocus_example_report(const softfocus_example_batch *batch, softfocus_status status, float loss, size_t threads)
{
    static float grad_alone[ELEMENTS];
    float loss_alone;
    if (status != SOFTFOCUS_OK) {
        fprintf(stderr, "%s\n", softfocus_status_string(status));
        return 1;
    }
    softfocus_tensor g = batch->grad;
    g.data = grad_alone;
    status = softfocus_softmax_focal_loss(NULL, &batch->logits, &batch->targets, NULL, &loss_alone, &g);
    int same = status == SOFTFOCUS_OK && memcmp(&loss, &loss_alone, sizeof loss) == 0 &&
               memcmp(batch->grad.data, grad_alone, sizeof grad_alone) == 0;
    printf("loss %.6f on %zu threads: %s\n", (double)loss, threads,
           same ? "the same bits as on one" : "NOT the bits that one thread gives");
    return !same;
}
