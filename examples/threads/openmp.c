/* Focal loss and its gradient on OpenMP's threads. Compile and link with -fopenmp. */
#include <softfocus/adaptors/openmp.h>

#include "batch.h"

int main(void)
{
    softfocus_example_batch batch = softfocus_example_make_batch();
    softfocus_context context = softfocus_openmp_context(0); /* as many threads as OMP_NUM_THREADS or the machine says */

    float loss;
    softfocus_status status =
        softfocus_softmax_focal_loss(&context, &batch.logits, &batch.targets, NULL, &loss, &batch.grad);
    return softfocus_example_report(&batch, status, loss, context.threads);
}
