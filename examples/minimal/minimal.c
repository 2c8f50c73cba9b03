/* The smallest use of softfocus: focal loss and its gradient for 4 rows of 3 classes. */
#include <stdio.h>
#include <softfocus/softfocus.h>

int main(void)
{
    const float logits[4][3] = {
        {2.0f, 0.5f, -1.0f}, {0.1f, 0.2f, 0.3f}, {-1.0f, 4.0f, 0.0f}, {2.5f, -2.0f, 1.0f}};
    const int64_t labels[4] = {0, 2, 1, 1};
    float loss, grad[4][3];

    softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, 4, 3, 1);
    softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, 4, 3, 1);
    softfocus_targets t = softfocus_index_targets(labels, SOFTFOCUS_I64);
    softfocus_focal_options options = softfocus_focal_defaults(); /* the mean over the rows, alpha 0.25 */
    options.gamma = 2.0;

    softfocus_status status = softfocus_softmax_focal_loss(NULL, &x, &t, &options, &loss, &g);
    if (status != SOFTFOCUS_OK) {
        fprintf(stderr, "%s\n", softfocus_status_string(status));
        return 1;
    }
    printf("loss %.6f\n", (double)loss);
    for (size_t row = 0; row < 4; row++)
        printf("grad %9.6f %9.6f %9.6f\n", (double)grad[row][0], (double)grad[row][1], (double)grad[row][2]);
    return 0;
}
