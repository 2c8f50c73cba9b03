/* softfocus: log-softmax and focal loss on the CPU, in scalar, SSE, AVX2, AVX-512 and NEON.
 *
 * The whole public API. It is C11 and C++17. In short:
 *
 *     softfocus_tensor x = softfocus_tensor_contiguous_const(logits, SOFTFOCUS_F32, rows, classes, 1);
 *     softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, rows, classes, 1);
 *     softfocus_targets t = softfocus_index_targets(labels, SOFTFOCUS_I64);
 *     float loss;
 *     softfocus_status status = softfocus_softmax_focal_loss(NULL, &x, &t, NULL, &loss, &g);
 *
 * Rules that hold for every function here:
 *   - It may be called from any thread at any time, the first call included. Two calls may run at once if neither writes
 *     what the other reads or writes.
 *   - It allocates nothing, takes no lock, prints nothing and never aborts. Bad input gives a status other than
 *     SOFTFOCUS_OK, and then no output has been touched.
 *   - Results have the same bits for any number of threads, any alignment, and any way of splitting a batch of
 *     positions over several calls, and losses the same ones with a gradient and without. Two exceptions: a reduced sum
 *     depends on the positions that it covers, and its last bit on the strides; and where a position holds several NaN, or
 *     NaN and infinities, which NaN softmax_focal_loss gives may change.
 *   - It uses less than 64 KiB of stack. There may be 2^32 - 1 classes at most (more: UNSUPPORTED).
 *   - The caller's rounding mode and flush-to-zero settings do not change results. They are as before on return, and while
 *     parallel_for is called. */
#ifndef SOFTFOCUS_H
#define SOFTFOCUS_H

#include <stddef.h>
#include <stdint.h>

#include "softfocus/version.h"

/* C++ callers compile this with -Wold-style-cast and -Wzero-as-null-pointer-constant, C callers with -Wcast-qual. */
#ifdef __cplusplus
extern "C" {
#define SOFTFOCUS_NULL nullptr
#define SOFTFOCUS_CAST(type, value) static_cast<type>(value)
#else
#define SOFTFOCUS_NULL NULL
#define SOFTFOCUS_CAST(type, value) ((type)(value))
#endif

#if defined(__GNUC__)
#define SOFTFOCUS_API __attribute__((visibility("default")))
#else
#define SOFTFOCUS_API
#endif

/* ---- Status ------------------------------------------------------------------------------------------------------ */

/* What a call answers. The numbers never change. */
typedef enum softfocus_status {
    SOFTFOCUS_OK = 0,
    SOFTFOCUS_ERROR_NULL_POINTER = 1, /* a required pointer is NULL */
    SOFTFOCUS_ERROR_STRUCT_SIZE = 2,  /* a struct's size field is not one that this version knows */
    SOFTFOCUS_ERROR_SHAPE = 3,        /* shapes differ, overflow, or there are no classes */
    SOFTFOCUS_ERROR_STRIDE = 4,       /* a tensor's strides make it overlap itself or leave the address space */
    SOFTFOCUS_ERROR_OVERLAP = 5,      /* an output overlaps an input or another output other than exactly in place */
    SOFTFOCUS_ERROR_DTYPE = 6,        /* a dtype is unknown, or dtypes differ where they must agree */
    SOFTFOCUS_ERROR_INDEX_TYPE = 7,   /* unknown index type */
    SOFTFOCUS_ERROR_REDUCTION = 8,    /* unknown reduction */
    SOFTFOCUS_ERROR_OPTION = 9,       /* gamma, alpha, normalizer or label_smoothing out of range */
    SOFTFOCUS_ERROR_TARGET = 10,      /* a class index is out of range */
    SOFTFOCUS_ERROR_CLASS_WEIGHT = 11, /* a class weight that is used is negative, infinite or NaN */
    SOFTFOCUS_ERROR_ISA = 12,         /* this CPU or its OS lacks the ISA asked for, or it is none of this build's */
    SOFTFOCUS_ERROR_UNSUPPORTED = 13  /* a valid request that this version does not implement */
} softfocus_status;

/* A sentence for a status; for any other number, a sentence saying that it is no status. Never NULL. */
SOFTFOCUS_API const char *softfocus_status_string(softfocus_status status);

/* What was wrong, filled when a call fails and the context points to one of these. `size` is set by the caller to
   sizeof(softfocus_error) (softfocus_error_defaults does it) and kept; on success the rest is untouched. */
typedef struct softfocus_error {
    size_t size;
    const char *argument; /* the argument or field, such as "targets" or "options.gamma"; a constant string */
    size_t position;      /* TARGET: the lowest bad position (outer * inner_size + inner); CLASS_WEIGHT: that, or the
                             class where targets are dense; else 0 */
    int64_t value;        /* TARGET: the index found there; CLASS_WEIGHT: the class; else 0 */
} softfocus_error;

static inline softfocus_error softfocus_error_defaults(void)
{
    softfocus_error error;
    error.size = sizeof error;
    error.argument = SOFTFOCUS_NULL;
    error.position = 0;
    error.value = 0;
    return error;
}

/* ---- ISAs -------------------------------------------------------------------------------------------------------- */

/* An instruction set that this build has kernels for. Constants, best first. */
typedef struct softfocus_isa softfocus_isa;

/* How many there are. */
SOFTFOCUS_API size_t softfocus_isa_count(void);
/* The i-th, best first; NULL past the end. */
SOFTFOCUS_API const softfocus_isa *softfocus_isa_at(size_t i);
/* "scalar", "sse", "avx2", "avx512" or "neon"; NULL for a name that is not in this build, or for NULL. */
SOFTFOCUS_API const softfocus_isa *softfocus_isa_find(const char *name);
/* Its name; NULL for NULL. */
SOFTFOCUS_API const char *softfocus_isa_name(const softfocus_isa *isa);
/* 1 if this CPU and its OS support it, else 0 (0 for NULL). */
SOFTFOCUS_API int softfocus_isa_supported(const softfocus_isa *isa);
/* What a call without an ISA of its own uses: the best supported one, or the one that the environment variable
   SOFTFOCUS_ISA names, if that one is supported. The variable is read once, by the first call of a kernel, of this function
   or of softfocus_isa_supported. A name that is unknown or not supported changes nothing. */
SOFTFOCUS_API const softfocus_isa *softfocus_isa_default(void);

/* ---- Context: who runs a call ------------------------------------------------------------------------------------ */

/* NULL in place of a context: the default ISA, on the calling thread.
   parallel_for calls task(argument, i) exactly once for each i < count, in any order, on any threads, and returns when
   all are done; it must not leave by an exception or longjmp. count may exceed `threads`. A call of the library may use it
   several times, one after the other: two or three times for each row that threads share. The library creates no thread of
   its own.
   In this struct, in softfocus_targets and in softfocus_focal_options, `size` is the size of the struct that the caller was
   compiled with; *_defaults, softfocus_index_targets and softfocus_dense_targets set it. Below that of version 1, or above
   the library's own: STRUCT_SIZE. Fields that a later version appends have their defaults for callers without them. */
typedef struct softfocus_context {
    size_t size;
    const softfocus_isa *isa; /* NULL: the default */
    /* NULL: all on the calling thread, whatever `threads` is */
    void (*parallel_for)(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument);
    void *pool;               /* handed to parallel_for */
    size_t threads;           /* tasks worth having at once; 0 or 1: all on the calling thread */
    softfocus_error *error;   /* NULL, or filled when a call fails */
} softfocus_context;

static inline softfocus_context softfocus_context_defaults(void)
{
    softfocus_context context;
    context.size = sizeof context;
    context.isa = SOFTFOCUS_NULL;
    context.parallel_for = SOFTFOCUS_NULL;
    context.pool = SOFTFOCUS_NULL;
    context.threads = 0;
    context.error = SOFTFOCUS_NULL;
    return context;
}

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

/* Of a tensor's elements. This version computes on F32; the others answer UNSUPPORTED. */
typedef enum softfocus_dtype { SOFTFOCUS_F32 = 0, SOFTFOCUS_F64 = 1, SOFTFOCUS_BF16 = 2, SOFTFOCUS_F16 = 3 } softfocus_dtype;

/* A tensor seen as [outer, classes, inner], strides in elements. A matrix of rows has inner = 1; NCHW is
   [N, C, H * W]. A *position* is one pair (outer, inner), numbered outer * inner_size + inner.
   Element (o, c, i) lies at data + o * outer_stride + c * class_stride + i * inner_stride. Strides may be negative; a
   tensor must not overlap itself: sorted by magnitude, each stride exceeds the extent of what lies below it (an axis of
   length 1 may have any stride). Data need no alignment beyond the element's own. outer or inner of 0 is an empty
   tensor (data may then be NULL); classes of 0 is an error. Two tensors overlap if they share an element; where their
   strides differ, or one of them is a table such as loss or class_weight, if the ranges of their addresses do, even where
   one lies in the other's gaps. This struct never grows. */
typedef struct softfocus_tensor {
    void *data; /* inputs are never written */
    softfocus_dtype dtype;
    size_t outer, classes, inner;
    ptrdiff_t outer_stride, class_stride, inner_stride;
} softfocus_tensor;

/* A tensor in C order: strides classes * inner, inner, 1. */
static inline softfocus_tensor softfocus_tensor_contiguous(void *data, softfocus_dtype dtype, size_t outer,
                                                           size_t classes, size_t inner)
{
    softfocus_tensor tensor;
    tensor.data = data;
    tensor.dtype = dtype;
    tensor.outer = outer;
    tensor.classes = classes;
    tensor.inner = inner;
    /* May wrap around: a shape that overflows is refused by the function that it is handed to. */
    tensor.outer_stride = SOFTFOCUS_CAST(ptrdiff_t, classes * inner);
    tensor.class_stride = SOFTFOCUS_CAST(ptrdiff_t, inner);
    tensor.inner_stride = 1;
    return tensor;
}

/* The same for an input that the caller holds const. */
static inline softfocus_tensor softfocus_tensor_contiguous_const(const void *data, softfocus_dtype dtype, size_t outer,
                                                                 size_t classes, size_t inner)
{
#ifdef __cplusplus
    void *address = const_cast<void *>(data);
#else
    void *address = (void *)(uintptr_t)data; /* not a plain cast, which -Wcast-qual would report */
#endif
    return softfocus_tensor_contiguous(address, dtype, outer, classes, inner);
}

/* ---- Log-softmax ------------------------------------------------------------------------------------------------- */

/* log_probs_c = logits_c - log(sum_k exp(logits_k)), over the classes of each position.
 *
 * logits, log_probs: same shape and dtype (F32 here; others answer UNSUPPORTED), any strides.
 * In place: log_probs may be logits (same data and strides); any other overlap is an error.
 * Special values: -inf gives -inf; a position that holds NaN or +inf, or -inf alone, becomes NaN whole.
 * Accuracy: at most 3 ulp for any input, entries near 0 (probability near 1) and subnormal results included.
 * Threads: positions are split over context->parallel_for. Threads also share single rows of contiguous classes where there
 *     are few rows: n of them are shared if n is 1, or at most a quarter of `threads`, and if they have at least
 *     65536 (n + 1) classes, and at most 1048576.
 * Errors: NULL_POINTER, STRUCT_SIZE, SHAPE, STRIDE, OVERLAP, DTYPE, ISA, UNSUPPORTED.
 * As torch.nn.functional.log_softmax. */
SOFTFOCUS_API softfocus_status softfocus_log_softmax(const softfocus_context *context, const softfocus_tensor *logits,
                                                     const softfocus_tensor *log_probs);

/* grad_logits_c = grad_log_probs_c - exp(log_probs_c) * sum_k grad_log_probs_k: the gradient of log-softmax, from its
 * output.
 *
 * log_probs, grad_log_probs, grad_logits: same shape and dtype (F32 here), any strides. log_probs holds what
 * softfocus_log_softmax wrote: values <= 0.
 * In place: grad_logits may be log_probs or grad_log_probs; any other overlap is an error.
 * Special values: log_probs of -inf is a probability of 0; above 0 it counts as 0, a probability of 1. NaN in log_probs
 *     gives NaN at its own element. NaN in grad_log_probs, or infinities of both signs, give one NaN at all of its position.
 * Accuracy: |error| <= 4 * 2^-24 * (|g_c| + p_c * sum_k |g_k|), or 2^-149 where that is more; the difference cancels by
 *     nature. It holds for |g| below 2^124 (sums of larger ones may overflow), and for p of 2^-184 and more or a sum of g up
 *     to 2^35: smaller p count as 0.
 * Threads and errors as softfocus_log_softmax. As torch's _log_softmax_backward_data. */
SOFTFOCUS_API softfocus_status softfocus_log_softmax_backward(const softfocus_context *context,
                                                              const softfocus_tensor *log_probs,
                                                              const softfocus_tensor *grad_log_probs,
                                                              const softfocus_tensor *grad_logits);

/* ---- Targets and options of the losses --------------------------------------------------------------------------- */

/* Of class indices: int32_t or int64_t. */
typedef enum softfocus_index_type { SOFTFOCUS_I32 = 0, SOFTFOCUS_I64 = 1 } softfocus_index_type;

/* What is true: a class index per position ([outer, inner], contiguous, aligned to the index type), or a tensor of the
   logits' shape with values in [0, 1]. index != NULL chooses the first, a dense tensor with data or classes the second; both
   is OPTION. */
typedef struct softfocus_targets {
    size_t size;
    const void *index;
    softfocus_index_type index_type;
    softfocus_tensor dense;
} softfocus_targets;

/* A class index per position. */
static inline softfocus_targets softfocus_index_targets(const void *index, softfocus_index_type type)
{
    softfocus_targets targets;
    targets.size = sizeof targets;
    targets.index = index;
    targets.index_type = type;
    targets.dense = softfocus_tensor_contiguous(SOFTFOCUS_NULL, SOFTFOCUS_F32, 0, 0, 0);
    return targets;
}

/* A value per element. */
static inline softfocus_targets softfocus_dense_targets(softfocus_tensor dense)
{
    softfocus_targets targets = softfocus_index_targets(SOFTFOCUS_NULL, SOFTFOCUS_I32);
    targets.dense = dense;
    return targets;
}

/* What becomes of the losses of the positions (sigmoid: of the elements): NONE, each is an output; MEAN and SUM, one value
   is, see the functions. */
typedef enum softfocus_reduction { SOFTFOCUS_NONE = 0, SOFTFOCUS_MEAN = 1, SOFTFOCUS_SUM = 2 } softfocus_reduction;

typedef struct softfocus_focal_options {
    size_t size;
    softfocus_reduction reduction;
    double gamma;              /* >= 0, finite; 0 is (weighted) cross-entropy */
    double alpha;              /* <= 1; softmax: a factor of every position; sigmoid: alpha for positives, 1 - alpha for
                                  negatives. Negative: off (a factor of 1). 0 is a weight of 0 */
    const float *class_weight; /* [classes] or NULL; softmax: by the target's class, sigmoid: by column. Weights that are
                                  used must be finite and >= 0; what is stated below of accuracy and of special values
                                  holds for 0 and for 2^-60 to 2^30 */
    const float *class_gamma;  /* [classes] or NULL: instead of gamma (UNSUPPORTED in this version) */
    int64_t ignore_index;      /* index targets: positions with this target give loss 0 and gradient 0 */
    int64_t background_index;  /* sigmoid + index: all classes negative (UNSUPPORTED unless -1 in this version) */
    double label_smoothing;    /* in [0, 1] (UNSUPPORTED unless 0 in this version) */
    double normalizer;         /* > 0: MEAN divides by this instead; 0: off. What is stated below of accuracy and of special
                                  values holds from 2^-60 on, as long as no weight divided by it exceeds 2^35 */
} softfocus_focal_options;

/* mean, gamma 2, alpha 0.25, no tables, ignore_index -100, background_index -1, no smoothing, normalizer 0. */
static inline softfocus_focal_options softfocus_focal_defaults(void)
{
    softfocus_focal_options options;
    options.size = sizeof options;
    options.reduction = SOFTFOCUS_MEAN;
    options.gamma = 2.0;
    options.alpha = 0.25;
    options.class_weight = SOFTFOCUS_NULL;
    options.class_gamma = SOFTFOCUS_NULL;
    options.ignore_index = -100;
    options.background_index = -1;
    options.label_smoothing = 0.0;
    options.normalizer = 0.0;
    return options;
}

/* ---- Softmax focal loss ------------------------------------------------------------------------------------------ */

/* With p = softmax(logits)[t] of one position and its target t:
 *     loss = w_t * (1 - p)^gamma * -log p,   w_t = alpha (negative: 1) * class_weight[t] (NULL: 1)
 * and, where grad is given, its gradient in the same pass.
 *
 * logits: [outer, classes, inner], F32, any strides.
 * targets: class indices, I32 or I64, in [0, classes) or ignore_index. (Dense targets: UNSUPPORTED in this version; both
 *     kinds at once: OPTION.)
 * options: NULL for softfocus_focal_defaults().
 * loss: contiguous F32; NONE: [outer, inner] values; MEAN or SUM: one value. MEAN divides by the sum of class_weight[t]
 *     over the positions that are not ignored (without class_weight: by their number), or by options->normalizer where it
 *     is > 0. Nothing left to average: loss NaN (by a normalizer: 0), gradients 0 (NaN where a logit makes its position
 *     NaN).
 * grad: NULL, or [outer, classes, inner], F32, any strides: d(reduced loss) / d(logits) (NONE: as if the gradient from
 *     above were 1).
 * In place: grad may be logits; any other overlap of loss or grad with anything is an error.
 * Special values: a NaN or +inf logit makes its own position NaN and no other; -inf has probability 0 and gradient 0, and
 *     as the target gives loss +inf and gradient -w there; a position of -inf alone is NaN; one class gives 0; an ignored
 *     position gives loss 0 and gradient 0 whatever its logits hold.
 * Accuracy: loss and gradient within 4 + 2 * gamma ulp (NONE and SUM; MEAN adds one), targets with p near 1 included.
 * Threads: as softfocus_log_softmax; sums are formed in an order that the shape and the strides alone decide.
 * Errors: NULL_POINTER, STRUCT_SIZE, SHAPE, STRIDE, OVERLAP, DTYPE, INDEX_TYPE, REDUCTION, OPTION, TARGET, CLASS_WEIGHT,
 *     ISA, UNSUPPORTED.
 * Formula: Lin et al., Focal Loss for Dense Object Detection, 2017; weighting and mean as torch's cross_entropy. */
SOFTFOCUS_API softfocus_status softfocus_softmax_focal_loss(const softfocus_context *context,
                                                            const softfocus_tensor *logits,
                                                            const softfocus_targets *targets,
                                                            const softfocus_focal_options *options, void *loss,
                                                            const softfocus_tensor *grad);

/* ---- Sigmoid focal loss ------------------------------------------------------------------------------------------ */

/* Each class by itself, with target y in [0, 1]; for y of 0 or 1, s = 2y - 1 and q = sigmoid(-s * logit):
 *     loss = a * q^gamma * softplus(-s * logit),   a = alpha for y = 1, 1 - alpha for y = 0 (alpha < 0: 1),
 *                                                  times class_weight[class] (NULL: 1).
 * Between 0 and 1 torchvision's formula: ce = binary cross-entropy, p_t = p y + (1 - p)(1 - y),
 * loss = (alpha y + (1 - alpha)(1 - y)) (1 - p_t)^gamma ce.
 *
 * logits: [outer, classes, inner], F32, any strides.
 * targets: dense, F32, of the logits' shape, any strides. Values are not checked (that would read the tensor twice): NaN
 *     gives NaN at its element, and values outside [0, 1] give what the formula gives. (Index targets: UNSUPPORTED in
 *     this version.)
 * options: NULL for softfocus_focal_defaults(). ignore_index does not apply to dense targets.
 * loss: contiguous F32; NONE: [outer, classes, inner] values; MEAN or SUM: one value. MEAN divides by the number of
 *     elements, or by options->normalizer where it is > 0; no elements: NaN (by a normalizer: 0).
 * grad, in place: as for softfocus_softmax_focal_loss.
 * Special values: NaN stays at its own element; +inf and -inf give the limits.
 * Accuracy, y of 0 or 1: loss within 5 ulp and gradient within 6.5 ulp for any gamma up to 2^30 (NONE and SUM; MEAN adds
 *     one). In a sum of subnormal losses each may err by 5 * 2^-149, and one past F32's range makes the sum infinite.
 *     Accuracy, y between 0 and 1: within 1 ulp of the sum of the magnitudes of the terms.
 * Threads: elements are split over context->parallel_for; sums as above.
 * Errors: as softfocus_softmax_focal_loss, TARGET excepted.
 * Formula: torchvision.ops.sigmoid_focal_loss. */
SOFTFOCUS_API softfocus_status softfocus_sigmoid_focal_loss(const softfocus_context *context,
                                                            const softfocus_tensor *logits,
                                                            const softfocus_targets *targets,
                                                            const softfocus_focal_options *options, void *loss,
                                                            const softfocus_tensor *grad);

#ifdef __cplusplus
}
#endif

#endif
