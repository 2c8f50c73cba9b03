/* The softmax of XNNPACK (Debian's libxnnpack-dev), which has no log-softmax: what mobile inference engines
 * call. Rows only. */
#include "peer.h"

#include <pthreadpool.h>
#include <stdlib.h>
#include <xnnpack.h>

struct xnnpack {
    xnn_operator_t op;
    pthreadpool_t pool; /* NULL: the calling thread */
    float *data[2];
};

static void destroy(void *made)
{
    struct xnnpack *self = made;
    if (self->op != NULL)
        xnn_delete_operator(self->op);
    if (self->pool != NULL)
        pthreadpool_destroy(self->pool);
    free(self->data[0]);
    free(self->data[1]);
    free(self);
}

static int fill(struct xnnpack *self, size_t rows, size_t classes)
{
    /* It may read XNN_EXTRA_BYTES past the end. */
    size_t count = rows * classes + XNN_EXTRA_BYTES / sizeof(float);
    self->data[0] = softfocus_bench_logits(count);
    self->data[1] = softfocus_bench_logits(count);
    if (SOFTFOCUS_BENCH_THREADS > 1)
        self->pool = pthreadpool_create(SOFTFOCUS_BENCH_THREADS);
    return self->data[0] != NULL && self->data[1] != NULL &&
           (SOFTFOCUS_BENCH_THREADS == 1 || self->pool != NULL) &&
           xnn_initialize(NULL) == xnn_status_success &&
           xnn_create_softmax_nc_f32(classes, classes, classes, 0, &self->op) == xnn_status_success &&
           xnn_setup_softmax_nc_f32(self->op, rows, self->data[0], self->data[1], self->pool) ==
               xnn_status_success;
}

static void *make(size_t outer, size_t classes, size_t inner)
{
    struct xnnpack *self = inner == 1 ? calloc(1, sizeof *self) : NULL;
    if (self != NULL && !fill(self, outer, classes)) {
        destroy(self);
        self = NULL;
    }
    return self;
}

static int run(void *made)
{
    struct xnnpack *self = made;
    return (int)xnn_run_operator(self->op, self->pool);
}

static float *buffer(void *made, size_t i)
{
    struct xnnpack *self = made;
    return i < 2 ? self->data[i] : NULL;
}

const softfocus_bench_peer softfocus_bench_peer_xnnpack = {.name = "xnnpack",
                                                           .kernel = "log_softmax",
                                                           .make = make,
                                                           .run = run,
                                                           .destroy = destroy,
                                                           .buffer = buffer,
                                                           .gives_softmax = 1};
