/* The softmax of ggml's CPU backend, which llama.cpp calls; its log-softmax is inside of a loss only. run.sh
 * builds it from source. Rows only, dealt out to the threads whole: a single row takes one thread. */
#include "peer.h"

#include <ggml-cpu.h>
#include <ggml.h>
#include <stdlib.h>

struct ggml {
    struct ggml_context *context; /* the tensors and the graph, not their data */
    struct ggml_cgraph *graph;
    struct ggml_cplan plan;
    struct ggml_threadpool *pool; /* without one each call would make its own */
    float *data[2];
    float *work;
};

static void destroy(void *made)
{
    struct ggml *self = made;
    ggml_threadpool_free(self->pool);
    ggml_free(self->context);
    free(self->data[0]);
    free(self->data[1]);
    free(self->work);
    free(self);
}

static int make_graph(struct ggml *self, size_t rows, size_t classes)
{
    const struct ggml_init_params memory = {.mem_size = 2 * ggml_tensor_overhead() + ggml_graph_overhead(),
                                            .no_alloc = true};
    self->context = ggml_init(memory);
    if (self->context == NULL)
        return 0;
    struct ggml_tensor *in = ggml_new_tensor_2d(self->context, GGML_TYPE_F32, (int64_t)classes, (int64_t)rows);
    struct ggml_tensor *out = ggml_soft_max(self->context, in);
    in->data = self->data[0];
    out->data = self->data[1];
    self->graph = ggml_new_graph(self->context);
    ggml_build_forward_expand(self->graph, out);
    return 1;
}

static int make_plan(struct ggml *self)
{
    struct ggml_threadpool_params threads = ggml_threadpool_params_default(SOFTFOCUS_BENCH_THREADS);
    self->pool = ggml_threadpool_new(&threads);
    if (self->pool == NULL)
        return 0;
    self->plan = ggml_graph_plan(self->graph, SOFTFOCUS_BENCH_THREADS, self->pool);
    self->work = softfocus_bench_logits(self->plan.work_size / sizeof(float) + 1);
    self->plan.work_data = (uint8_t *)self->work;
    return self->work != NULL;
}

static int fill(struct ggml *self, size_t rows, size_t classes)
{
    self->data[0] = softfocus_bench_logits(rows * classes);
    self->data[1] = softfocus_bench_logits(rows * classes);
    return self->data[0] != NULL && self->data[1] != NULL && make_graph(self, rows, classes) && make_plan(self);
}

static void *make(size_t outer, size_t classes, size_t inner)
{
    struct ggml *self = inner == 1 ? calloc(1, sizeof *self) : NULL;
    if (self != NULL && !fill(self, outer, classes)) {
        destroy(self);
        self = NULL;
    }
    return self;
}

static int run(void *made)
{
    struct ggml *self = made;
    return (int)ggml_graph_compute(self->graph, &self->plan);
}

static float *buffer(void *made, size_t i)
{
    struct ggml *self = made;
    return i < 2 ? self->data[i] : NULL;
}

const softfocus_bench_peer softfocus_bench_peer_ggml = {.name = "ggml",
                                                        .kernel = "log_softmax",
                                                        .make = make,
                                                        .run = run,
                                                        .destroy = destroy,
                                                        .buffer = buffer,
                                                        .gives_softmax = 1};
