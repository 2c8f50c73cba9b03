/* The log-softmax of oneDNN 2 (Debian's libdnnl-dev) and its backward, out of place, as inference engines and
 * training frameworks call them. The number of threads is OpenMP's, read when a primitive is made. */
#include "peer.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>

enum { MOST_TENSORS = 3 };

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    int tensors; /* inputs, then the output */
    float *data[MOST_TENSORS];
    dnnl_exec_arg_t arguments[MOST_TENSORS];
};

static const int forward_roles[] = {DNNL_ARG_SRC, DNNL_ARG_DST};
static const int backward_roles[] = {DNNL_ARG_DST, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC};

static void destroy(void *made)
{
    struct onednn *self = made;
    /* oneDNN takes NULL where nothing was made yet, so that a half-made one can be destroyed. */
    for (int i = 0; i < MOST_TENSORS; i++) {
        dnnl_memory_destroy(self->arguments[i].memory);
        free(self->data[i]);
    }
    dnnl_primitive_destroy(self->primitive);
    dnnl_stream_destroy(self->stream);
    dnnl_engine_destroy(self->engine);
    free(self);
}

static dnnl_primitive_desc_t describe_forward(dnnl_engine_t engine, const dnnl_memory_desc_t *shape,
                                              dnnl_prop_kind_t kind)
{
    dnnl_logsoftmax_desc_t what;
    dnnl_primitive_desc_t how;
    if (dnnl_logsoftmax_forward_desc_init(&what, kind, shape, 1) != dnnl_success ||
        dnnl_primitive_desc_create(&how, &what, NULL, engine, NULL) != dnnl_success)
        return NULL;
    return how;
}

static dnnl_primitive_desc_t describe_backward(dnnl_engine_t engine, const dnnl_memory_desc_t *shape)
{
    dnnl_logsoftmax_desc_t what;
    dnnl_primitive_desc_t how = NULL, forward = describe_forward(engine, shape, dnnl_forward_training);
    if (forward == NULL)
        return NULL;
    if (dnnl_logsoftmax_backward_desc_init(&what, shape, shape, 1) != dnnl_success ||
        dnnl_primitive_desc_create(&how, &what, NULL, engine, forward) != dnnl_success)
        how = NULL;
    dnnl_primitive_desc_destroy(forward);
    return how;
}

static int make_primitive(struct onednn *self, const dnnl_memory_desc_t *shape, int backward)
{
    dnnl_primitive_desc_t how = backward ? describe_backward(self->engine, shape)
                                         : describe_forward(self->engine, shape, dnnl_forward_inference);
    if (how == NULL)
        return 0;
    dnnl_status_t status = dnnl_primitive_create(&self->primitive, how);
    dnnl_primitive_desc_destroy(how);
    return status == dnnl_success;
}

static int make_tensors(struct onednn *self, const dnnl_memory_desc_t *shape, size_t count, int backward)
{
    int tensors = backward ? 3 : 2;
    self->tensors = tensors;
    for (int i = 0; i < tensors; i++) {
        self->data[i] = softfocus_bench_logits(count);
        self->arguments[i].arg = backward ? backward_roles[i] : forward_roles[i];
        if (self->data[i] == NULL || dnnl_memory_create(&self->arguments[i].memory, shape, self->engine,
                                                        self->data[i]) != dnnl_success)
            return 0;
    }
    return 1;
}

static int fill(struct onednn *self, size_t outer, size_t classes, size_t inner, int backward)
{
    /* Rows are two-dimensional for oneDNN too: with a third axis of 1 it would take its slow path for strided
     * classes. */
    const dnnl_dims_t sizes = {(dnnl_dim_t)outer, (dnnl_dim_t)classes, (dnnl_dim_t)inner};
    const dnnl_dims_t strides = {(dnnl_dim_t)(classes * inner), (dnnl_dim_t)inner, 1};
    dnnl_memory_desc_t shape;
    return dnnl_memory_desc_init_by_strides(&shape, inner == 1 ? 2 : 3, sizes, dnnl_f32, strides) ==
               dnnl_success &&
           dnnl_engine_create(&self->engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&self->stream, self->engine, dnnl_stream_default_flags) == dnnl_success &&
           make_primitive(self, &shape, backward) &&
           make_tensors(self, &shape, outer * classes * inner, backward);
}

static void *make(size_t outer, size_t classes, size_t inner, int backward)
{
    omp_set_num_threads(SOFTFOCUS_BENCH_THREADS);
    struct onednn *self = calloc(1, sizeof *self);
    if (self != NULL && !fill(self, outer, classes, inner, backward)) {
        destroy(self);
        self = NULL;
    }
    return self;
}

static void *make_forward(size_t outer, size_t classes, size_t inner)
{
    return make(outer, classes, inner, 0);
}

static void *make_backward(size_t outer, size_t classes, size_t inner)
{
    return make(outer, classes, inner, 1);
}

static int run(void *made)
{
    struct onednn *self = made;
    dnnl_status_t status =
        dnnl_primitive_execute(self->primitive, self->stream, self->tensors, self->arguments);
    return status != dnnl_success ? (int)status : (int)dnnl_stream_wait(self->stream);
}

static float *buffer(void *made, size_t i)
{
    struct onednn *self = made;
    return i < MOST_TENSORS ? self->data[i] : NULL;
}

const softfocus_bench_peer softfocus_bench_peer_onednn = {.name = "onednn",
                                                          .kernel = "log_softmax",
                                                          .make = make_forward,
                                                          .run = run,
                                                          .destroy = destroy,
                                                          .buffer = buffer};

const softfocus_bench_peer softfocus_bench_peer_onednn_backward = {.name = "onednn",
                                                                   .kernel = "log_softmax_backward",
                                                                   .make = make_backward,
                                                                   .run = run,
                                                                   .destroy = destroy,
                                                                   .buffer = buffer};
