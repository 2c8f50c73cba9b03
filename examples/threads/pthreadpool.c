/* Focal loss and its gradient on a pthreadpool. Link with -lpthreadpool. */
#include <softfocus/adaptors/pthreadpool.h>

#include "batch.h"

int main(void)
{
    softfocus_example_batch batch = softfocus_example_make_batch();
    pthreadpool_t pool = pthreadpool_create(0); /* as many threads as the machine has */
    softfocus_context context = softfocus_pthreadpool_context(pool);

    float loss;
    softfocus_status status =
        softfocus_softmax_focal_loss(&context, &batch.logits, &batch.targets, NULL, &loss, &batch.grad);
    pthreadpool_destroy(pool);
    return softfocus_example_report(&batch, status, loss, context.threads);
}
