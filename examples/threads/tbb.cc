/* Focal loss and its gradient on oneTBB's threads. Link with -ltbb. */
#include <softfocus/adaptors/tbb.hpp>

#include "batch.h"

int main()
{
    softfocus_example_batch batch = softfocus_example_make_batch();
    softfocus_context context = softfocus_tbb_context(); /* this thread's arena: as many threads as the machine has */

    float loss;
    softfocus_status status =
        softfocus_softmax_focal_loss(&context, &batch.logits, &batch.targets, nullptr, &loss, &batch.grad);
    return softfocus_example_report(&batch, status, loss, context.threads);
}
