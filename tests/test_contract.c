/* What the library refuses, and that it then touches nothing: every bad input by itself, on every function
 * that it applies to, must give its exact status, name the argument, and leave all memory as it was. And
 * what looks bad but is fine. One test per input and function:
 * "contract/softmax_focal_loss/gamma_negative". */
#include "cases.h"
#include "tests.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- A valid call of each function, to be broken ------------------------------------------------------- */

enum {
    OUTER = 6,
    CLASSES = 5,
    INNER = 3,
    POSITIONS = OUTER * INNER,
    SIZE = OUTER * CLASSES * INNER,
    ROOM = 4 * SIZE
};

/* All that the library may see, in one piece that can be compared. */
typedef struct visible {
    float input[2][ROOM]; /* logits or log_probs, and grad_log_probs or dense targets */
    float output[ROOM];   /* log_probs, grad_logits or grad */
    float loss[SIZE];
    float class_weight[CLASSES];
    float class_gamma[CLASSES];
    int32_t index32[POSITIONS];
    int64_t index64[POSITIONS];
} visible;

typedef struct api_call {
    visible memory;
    /* The tensors of the call, inputs first, the output last; NULL names end the list. */
    softfocus_tensor tensors[3];
    const char *names[3];
    size_t tensor_count;
    const softfocus_tensor *given[3]; /* what is passed: the tensors, or NULL */
    softfocus_targets targets;
    const softfocus_targets *given_targets;
    softfocus_focal_options options;
    const softfocus_focal_options *given_options;
    void *loss;
    softfocus_context context;
    const softfocus_context *given_context;
    softfocus_error error;
} api_call;

/* Which function: a bit each, so that an input can name several. */
enum { LOG_SOFTMAX = 1, BACKWARD = 2, SOFTMAX = 4, SIGMOID = 8, LOSSES = SOFTMAX | SIGMOID, ALL = 15 };

static const struct {
    unsigned bit;
    const char *name;
    const char *tensors[3];
} functions[] = {
    {LOG_SOFTMAX, "log_softmax", {"logits", "log_probs", NULL}},
    {BACKWARD, "log_softmax_backward", {"log_probs", "grad_log_probs", "grad_logits"}},
    {SOFTMAX, "softmax_focal_loss", {"logits", "grad", NULL}},
    {SIGMOID, "sigmoid_focal_loss", {"logits", "targets.dense", "grad"}},
};

static void fill_memory(visible *memory)
{
    memset(memory, 0xa5, sizeof *memory);
    for (size_t e = 0; e < ROOM; e++) {
        memory->input[0][e] = -0.25f * (float)(1 + e % 7);
        memory->input[1][e] = (float)(e % 2);
    }
    for (size_t c = 0; c < CLASSES; c++)
        memory->class_weight[c] = memory->class_gamma[c] = 1.0f + (float)c;
    for (size_t i = 0; i < POSITIONS; i++)
        memory->index64[i] = memory->index32[i] = (int32_t)(i % CLASSES);
}

/* Shapes for the tensors, and targets to match; then everything is passed. */
static void set_shape(api_call *request, size_t outer, size_t classes, size_t inner)
{
    for (size_t k = 0; k < request->tensor_count; k++) {
        int output = k + 1 == request->tensor_count;
        float *data = output ? request->memory.output : request->memory.input[k];
        request->tensors[k] = softfocus_tensor_contiguous(data, SOFTFOCUS_F32, outer, classes, inner);
        request->given[k] = &request->tensors[k];
    }
}

static void begin(api_call *request, unsigned function)
{
    memset(request, 0, sizeof *request);
    fill_memory(&request->memory);
    for (size_t f = 0; f < COUNT(functions); f++)
        for (size_t k = 0; functions[f].bit == function && k < 3 && functions[f].tensors[k] != NULL; k++)
            request->names[request->tensor_count++] = functions[f].tensors[k];
    set_shape(request, OUTER, CLASSES, INNER);
    if (function == SIGMOID)
        request->targets = softfocus_dense_targets(request->tensors[1]);
    else
        request->targets = softfocus_index_targets(request->memory.index64, SOFTFOCUS_I64);
    request->given_targets = &request->targets;
    request->options = softfocus_focal_defaults();
    request->options.reduction = SOFTFOCUS_NONE;
    request->given_options = &request->options;
    request->loss = request->memory.loss;
    request->error = softfocus_error_defaults();
    request->context = softfocus_context_defaults();
    request->context.error = &request->error;
    request->given_context = &request->context;
}

static softfocus_status call(api_call *request, unsigned function)
{
    const softfocus_tensor *const *tensors = request->given;
    switch (function) {
    case LOG_SOFTMAX:
        return softfocus_log_softmax(request->given_context, tensors[0], tensors[1]);
    case BACKWARD:
        return softfocus_log_softmax_backward(request->given_context, tensors[0], tensors[1], tensors[2]);
    case SOFTMAX:
        return softfocus_softmax_focal_loss(request->given_context, tensors[0], request->given_targets,
                                            request->given_options, request->loss, tensors[1]);
    default:
        if (request->targets.dense.data != NULL) /* breaking the tensor breaks what the targets hold */
            request->targets.dense = request->tensors[1];
        return softfocus_sigmoid_focal_loss(request->given_context, tensors[0], request->given_targets,
                                            request->given_options, request->loss, tensors[2]);
    }
}

static softfocus_tensor *output_of(api_call *request)
{
    return &request->tensors[request->tensor_count - 1];
}

/* ---- Bad inputs ---------------------------------------------------------------------------------------- */

typedef struct bad_input {
    const char *name;
    unsigned functions;
    void (*break_it)(api_call *request);
    softfocus_status status;
    const char *argument; /* how error.argument begins; NULL: anything */
    size_t position;
    int64_t value;
} bad_input;

#define BREAK(name, statement)                                                                               \
    static void break_##name(api_call *request)                                                              \
    {                                                                                                        \
        statement;                                                                                           \
    }

/* Null pointers. */
BREAK(loss_null, request->loss = NULL)
BREAK(targets_null, request->given_targets = NULL)
BREAK(targets_empty, request->targets = softfocus_index_targets(NULL, SOFTFOCUS_I64))

/* Struct sizes: none is known that differs from this one. */
BREAK(context_small, request->context.size = sizeof(softfocus_context) - 1)
BREAK(context_large, request->context.size = sizeof(softfocus_context) + 8)
BREAK(context_zero, request->context.size = 0)
BREAK(targets_small, request->targets.size -= 8)
BREAK(targets_large, request->targets.size += 8)
BREAK(targets_zero, request->targets.size = 0)
BREAK(options_small, request->options.size -= 8)
BREAK(options_large, request->options.size += 8)
BREAK(options_zero, request->options.size = 0)

/* Enumerations. */
BREAK(index_type, request->targets.index_type = (softfocus_index_type)7)
BREAK(reduction, request->options.reduction = (softfocus_reduction)3)
BREAK(reduction_negative, request->options.reduction = (softfocus_reduction)-1)

/* Options. */
BREAK(gamma_negative, request->options.gamma = -0x1p-1000)
BREAK(gamma_infinite, request->options.gamma = (double)INFINITY)
BREAK(gamma_nan, request->options.gamma = (double)NAN)
BREAK(alpha_above_one, request->options.alpha = 1.0 + 0x1p-52)
BREAK(alpha_infinite, request->options.alpha = (double)INFINITY)
BREAK(alpha_nan, request->options.alpha = (double)NAN)
BREAK(normalizer_negative, request->options.normalizer = -1.0)
BREAK(normalizer_infinite, request->options.normalizer = (double)INFINITY)
BREAK(normalizer_nan, request->options.normalizer = (double)NAN)
BREAK(smoothing_negative, request->options.label_smoothing = -0.1)
BREAK(smoothing_above_one, request->options.label_smoothing = 1.5)
BREAK(smoothing_nan, request->options.label_smoothing = (double)NAN)
BREAK(smoothing, request->options.label_smoothing = 0.1)
BREAK(class_gamma, request->options.class_gamma = request->memory.class_gamma)
BREAK(background_index, request->options.background_index = 0)

/* Targets. */
BREAK(target_too_large, request->memory.index64[0] = CLASSES)
BREAK(target_negative, request->memory.index64[7] = -1)
BREAK(target_last, request->memory.index64[POSITIONS - 1] = CLASSES)
BREAK(target_huge, request->memory.index64[4] = INT64_MAX)
BREAK(target_least, request->memory.index64[4] = INT64_MIN)
BREAK(target_wraps, request->memory.index64[5] = (INT64_C(1) << 32) + 1)
BREAK(target_two, (request->memory.index64[11] = -7, request->memory.index64[9] = 99))
BREAK(target_not_ignored, (request->options.ignore_index = -1, request->memory.index64[3] = -100))

static void use_32_bits(api_call *request)
{
    request->targets = softfocus_index_targets(request->memory.index32, SOFTFOCUS_I32);
}

BREAK(target32_too_large, (use_32_bits(request), request->memory.index32[2] = CLASSES))
BREAK(target32_least, (use_32_bits(request), request->memory.index32[POSITIONS - 1] = INT32_MIN))
BREAK(target32_wrapped_ignore, (use_32_bits(request), request->options.ignore_index = (INT64_C(1) << 32) - 5,
                                request->memory.index32[8] = -5))

BREAK(targets_both, request->targets.dense = request->tensors[0])
BREAK(targets_dense, (request->targets = softfocus_dense_targets(request->tensors[0]),
                      request->targets.dense.data = request->memory.input[1]))
BREAK(targets_index, request->targets = softfocus_index_targets(request->memory.index64, SOFTFOCUS_I64))

/* Class weights: index64 is 0 1 2 3 4 0 1 ..., so class 3 is first named by position 3. */
static void use_weight(api_call *request, size_t class_index, float weight)
{
    request->options.class_weight = request->memory.class_weight;
    request->memory.class_weight[class_index] = weight;
}

BREAK(weight_negative, use_weight(request, 3, -FLT_MIN))
BREAK(weight_infinite, use_weight(request, 4, INFINITY))
BREAK(weight_nan, use_weight(request, 0, NAN))
BREAK(weight_two, (use_weight(request, 3, NAN), use_weight(request, 1, -1.0f)))

/* Losses in the way of something else. */
BREAK(loss_in_logits, request->loss = &request->memory.input[0][SIZE - 1])
BREAK(loss_in_grad, request->loss = &request->memory.output[1])
BREAK(loss_in_index, request->loss = &request->memory.index64[2])
BREAK(loss_in_dense, request->loss = request->memory.input[1])
BREAK(loss_in_weights, (use_weight(request, 0, 1.0f), request->options.reduction = SOFTFOCUS_SUM,
                        request->loss = request->memory.class_weight))
BREAK(loss_just_before, /* from the whole, as before an array there is nothing to C */
      request->loss = (char *)&request->memory + offsetof(visible, output) - (POSITIONS - 1) * sizeof(float))
BREAK(grad_in_index, (request->targets.index = &request->memory.output[SIZE / 2 - 1]))
BREAK(grad_in_weights, request->options.class_weight = &request->memory.output[SIZE - 1])
/* Targets are not among what a gradient may take the place of. */
BREAK(grad_on_dense, output_of(request)->data = request->memory.input[1])
BREAK(grad_in_dense, output_of(request)->data = &request->memory.input[1][1])

static const bad_input bad_inputs[] = {
    {"loss_null", LOSSES, break_loss_null, SOFTFOCUS_ERROR_NULL_POINTER, "loss", 0, 0},
    {"targets_null", LOSSES, break_targets_null, SOFTFOCUS_ERROR_NULL_POINTER, "targets", 0, 0},
    {"targets_empty", LOSSES, break_targets_empty, SOFTFOCUS_ERROR_NULL_POINTER, "targets", 0, 0},
    {"context_small", ALL, break_context_small, SOFTFOCUS_ERROR_STRUCT_SIZE, NULL, 0, 0},
    {"context_large", ALL, break_context_large, SOFTFOCUS_ERROR_STRUCT_SIZE, NULL, 0, 0},
    {"context_zero", ALL, break_context_zero, SOFTFOCUS_ERROR_STRUCT_SIZE, NULL, 0, 0},
    {"targets_small", LOSSES, break_targets_small, SOFTFOCUS_ERROR_STRUCT_SIZE, "targets", 0, 0},
    {"targets_large", LOSSES, break_targets_large, SOFTFOCUS_ERROR_STRUCT_SIZE, "targets", 0, 0},
    {"targets_zero", LOSSES, break_targets_zero, SOFTFOCUS_ERROR_STRUCT_SIZE, "targets", 0, 0},
    {"options_small", LOSSES, break_options_small, SOFTFOCUS_ERROR_STRUCT_SIZE, "options", 0, 0},
    {"options_large", LOSSES, break_options_large, SOFTFOCUS_ERROR_STRUCT_SIZE, "options", 0, 0},
    {"options_zero", LOSSES, break_options_zero, SOFTFOCUS_ERROR_STRUCT_SIZE, "options", 0, 0},
    {"index_type", SOFTMAX, break_index_type, SOFTFOCUS_ERROR_INDEX_TYPE, "targets", 0, 0},
    {"reduction", LOSSES, break_reduction, SOFTFOCUS_ERROR_REDUCTION, "options.reduction", 0, 0},
    {"reduction_negative", LOSSES, break_reduction_negative, SOFTFOCUS_ERROR_REDUCTION, "options.reduction",
     0, 0},
    {"gamma_negative", LOSSES, break_gamma_negative, SOFTFOCUS_ERROR_OPTION, "options.gamma", 0, 0},
    {"gamma_infinite", LOSSES, break_gamma_infinite, SOFTFOCUS_ERROR_OPTION, "options.gamma", 0, 0},
    {"gamma_nan", LOSSES, break_gamma_nan, SOFTFOCUS_ERROR_OPTION, "options.gamma", 0, 0},
    {"alpha_above_one", LOSSES, break_alpha_above_one, SOFTFOCUS_ERROR_OPTION, "options.alpha", 0, 0},
    {"alpha_infinite", LOSSES, break_alpha_infinite, SOFTFOCUS_ERROR_OPTION, "options.alpha", 0, 0},
    {"alpha_nan", LOSSES, break_alpha_nan, SOFTFOCUS_ERROR_OPTION, "options.alpha", 0, 0},
    {"normalizer_negative", LOSSES, break_normalizer_negative, SOFTFOCUS_ERROR_OPTION, "options.normalizer",
     0, 0},
    {"normalizer_infinite", LOSSES, break_normalizer_infinite, SOFTFOCUS_ERROR_OPTION, "options.normalizer",
     0, 0},
    {"normalizer_nan", LOSSES, break_normalizer_nan, SOFTFOCUS_ERROR_OPTION, "options.normalizer", 0, 0},
    {"smoothing_negative", LOSSES, break_smoothing_negative, SOFTFOCUS_ERROR_OPTION,
     "options.label_smoothing", 0, 0},
    {"smoothing_above_one", LOSSES, break_smoothing_above_one, SOFTFOCUS_ERROR_OPTION,
     "options.label_smoothing", 0, 0},
    {"smoothing_nan", LOSSES, break_smoothing_nan, SOFTFOCUS_ERROR_OPTION, "options.label_smoothing", 0, 0},
    {"smoothing", LOSSES, break_smoothing, SOFTFOCUS_ERROR_UNSUPPORTED, "options.label_smoothing", 0, 0},
    {"class_gamma", LOSSES, break_class_gamma, SOFTFOCUS_ERROR_UNSUPPORTED, "options.class_gamma", 0, 0},
    {"background_index", LOSSES, break_background_index, SOFTFOCUS_ERROR_UNSUPPORTED,
     "options.background_index", 0, 0},
    {"target_too_large", SOFTMAX, break_target_too_large, SOFTFOCUS_ERROR_TARGET, "targets", 0, CLASSES},
    {"target_negative", SOFTMAX, break_target_negative, SOFTFOCUS_ERROR_TARGET, "targets", 7, -1},
    {"target_last", SOFTMAX, break_target_last, SOFTFOCUS_ERROR_TARGET, "targets", POSITIONS - 1, CLASSES},
    {"target_huge", SOFTMAX, break_target_huge, SOFTFOCUS_ERROR_TARGET, "targets", 4, INT64_MAX},
    {"target_least", SOFTMAX, break_target_least, SOFTFOCUS_ERROR_TARGET, "targets", 4, INT64_MIN},
    {"target_wraps", SOFTMAX, break_target_wraps, SOFTFOCUS_ERROR_TARGET, "targets", 5,
     (INT64_C(1) << 32) + 1},
    {"target_two", SOFTMAX, break_target_two, SOFTFOCUS_ERROR_TARGET, "targets", 9, 99},
    {"target_not_ignored", SOFTMAX, break_target_not_ignored, SOFTFOCUS_ERROR_TARGET, "targets", 3, -100},
    {"target32_too_large", SOFTMAX, break_target32_too_large, SOFTFOCUS_ERROR_TARGET, "targets", 2, CLASSES},
    {"target32_least", SOFTMAX, break_target32_least, SOFTFOCUS_ERROR_TARGET, "targets", POSITIONS - 1,
     INT32_MIN},
    {"target32_wrapped_ignore", SOFTMAX, break_target32_wrapped_ignore, SOFTFOCUS_ERROR_TARGET, "targets", 8,
     -5},
    {"targets_dense", SOFTMAX, break_targets_dense, SOFTFOCUS_ERROR_UNSUPPORTED, "targets", 0, 0},
    {"targets_index", SIGMOID, break_targets_index, SOFTFOCUS_ERROR_UNSUPPORTED, "targets", 0, 0},
    {"weight_negative", SOFTMAX, break_weight_negative, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight",
     3, 3},
    {"weight_infinite", SOFTMAX, break_weight_infinite, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight",
     4, 4},
    {"weight_nan", SOFTMAX, break_weight_nan, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight", 0, 0},
    {"weight_two", SOFTMAX, break_weight_two, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight", 1, 1},
    {"weight_negative", SIGMOID, break_weight_negative, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight",
     3, 3},
    {"weight_infinite", SIGMOID, break_weight_infinite, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight",
     4, 4},
    {"weight_nan", SIGMOID, break_weight_nan, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight", 0, 0},
    {"loss_in_logits", LOSSES, break_loss_in_logits, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"loss_in_grad", LOSSES, break_loss_in_grad, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"loss_in_index", SOFTMAX, break_loss_in_index, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"loss_in_dense", SIGMOID, break_loss_in_dense, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"loss_in_weights", LOSSES, break_loss_in_weights, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"loss_just_before", SOFTMAX, break_loss_just_before, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"grad_in_index", SOFTMAX, break_grad_in_index, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"grad_in_weights", LOSSES, break_grad_in_weights, SOFTFOCUS_ERROR_OVERLAP, NULL, 0, 0},
    {"grad_on_dense", SIGMOID, break_grad_on_dense, SOFTFOCUS_ERROR_OVERLAP, "grad", 0, 0},
    {"grad_in_dense", SIGMOID, break_grad_in_dense, SOFTFOCUS_ERROR_OVERLAP, "grad", 0, 0},
    {"grad_in_second", BACKWARD, break_grad_in_dense, SOFTFOCUS_ERROR_OVERLAP, "grad_logits", 0, 0},
};

/* Calls with what was broken; memory must stay as it is at this moment. */
static void expect_refused(api_call *request, unsigned function, const bad_input *bad)
{
    static visible before; /* large for a stack */
    before = request->memory;
    softfocus_status status = call(request, function);
    if (status != bad->status)
        softfocus_test_fail("status %d (%s), expected %d (%s)", (int)status, softfocus_status_string(status),
                            (int)bad->status, softfocus_status_string(bad->status));
    if (memcmp(&before, &request->memory, sizeof before) != 0)
        softfocus_test_fail("refused, but memory is not as it was");
    if (request->given_context != &request->context || request->context.size != sizeof(softfocus_context) ||
        request->context.error != &request->error || request->error.size != sizeof(softfocus_error))
        return;
    const softfocus_error *error = &request->error;
    if (error->argument == NULL ||
        (bad->argument != NULL && strncmp(error->argument, bad->argument, strlen(bad->argument)) != 0))
        softfocus_test_fail("error.argument is '%s', expected '%s'",
                            error->argument == NULL ? "NULL" : error->argument,
                            bad->argument == NULL ? "one" : bad->argument);
    if (error->position != bad->position || error->value != bad->value)
        softfocus_test_fail("error names position %zu and value %lld, expected %zu and %lld", error->position,
                            (long long)error->value, bad->position, (long long)bad->value);
}

static void refuse(const softfocus_test *test)
{
    const bad_input *bad = test->subject;
    static api_call request;
    begin(&request, (unsigned)test->number);
    bad->break_it(&request);
    expect_refused(&request, (unsigned)test->number, bad);
    /* And without anywhere to report to: no different, and no crash. */
    if (request.context.size == sizeof(softfocus_context)) {
        request.context.error = NULL;
        expect_refused(&request, (unsigned)test->number, bad);
        request.given_context = NULL;
        expect_refused(&request, (unsigned)test->number, bad);
    }
}

/* ---- Bad tensors: each way on each tensor of each function --------------------------------------------- */

typedef struct bad_tensor {
    const char *name;
    void (*break_it)(softfocus_tensor *tensor);
    softfocus_status status;
    int names_it; /* error.argument is this tensor; else, where two disagree, it may be either */
} bad_tensor;

#define BREAK_TENSOR(name, statement)                                                                        \
    static void break_tensor_##name(softfocus_tensor *tensor)                                                \
    {                                                                                                        \
        statement;                                                                                           \
    }

BREAK_TENSOR(data_null, tensor->data = NULL)
BREAK_TENSOR(outer, tensor->outer--)
BREAK_TENSOR(classes, tensor->classes--)
BREAK_TENSOR(inner, tensor->inner--)
BREAK_TENSOR(no_classes, tensor->classes = 0)
BREAK_TENSOR(dtype_unknown, tensor->dtype = (softfocus_dtype)9)
BREAK_TENSOR(dtype_negative, tensor->dtype = (softfocus_dtype)-1)
BREAK_TENSOR(dtype_other, tensor->dtype = SOFTFOCUS_F64)
BREAK_TENSOR(stride_zero_outer, tensor->outer_stride = 0)
BREAK_TENSOR(stride_zero_classes, tensor->class_stride = 0)
BREAK_TENSOR(stride_zero_inner, tensor->inner_stride = 0)
BREAK_TENSOR(stride_rows_meet, tensor->outer_stride = CLASSES * INNER - 1)
BREAK_TENSOR(stride_rows_meet_backwards, tensor->outer_stride = -(CLASSES * INNER - 1))
BREAK_TENSOR(stride_classes_meet, tensor->class_stride = INNER - 1)
BREAK_TENSOR(stride_same, tensor->inner_stride = tensor->class_stride)
BREAK_TENSOR(stride_leaves, tensor->outer_stride = PTRDIFF_MAX / 4)
BREAK_TENSOR(stride_most, tensor->outer_stride = PTRDIFF_MAX)
BREAK_TENSOR(stride_least, tensor->outer_stride = PTRDIFF_MIN)
BREAK_TENSOR(stride_least_inner, tensor->inner_stride = PTRDIFF_MIN)

static const bad_tensor bad_tensors[] = {
    {"data_null", break_tensor_data_null, SOFTFOCUS_ERROR_NULL_POINTER, 1},
    {"outer_differs", break_tensor_outer, SOFTFOCUS_ERROR_SHAPE, 0},
    {"classes_differ", break_tensor_classes, SOFTFOCUS_ERROR_SHAPE, 0},
    {"inner_differs", break_tensor_inner, SOFTFOCUS_ERROR_SHAPE, 0},
    {"no_classes", break_tensor_no_classes, SOFTFOCUS_ERROR_SHAPE, 0},
    {"dtype_unknown", break_tensor_dtype_unknown, SOFTFOCUS_ERROR_DTYPE, 1},
    {"dtype_negative", break_tensor_dtype_negative, SOFTFOCUS_ERROR_DTYPE, 1},
    {"dtype_differs", break_tensor_dtype_other, SOFTFOCUS_ERROR_DTYPE, 0},
    {"stride_zero_outer", break_tensor_stride_zero_outer, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_zero_classes", break_tensor_stride_zero_classes, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_zero_inner", break_tensor_stride_zero_inner, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_rows_meet", break_tensor_stride_rows_meet, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_rows_meet_backwards", break_tensor_stride_rows_meet_backwards, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_classes_meet", break_tensor_stride_classes_meet, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_same", break_tensor_stride_same, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_leaves", break_tensor_stride_leaves, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_most", break_tensor_stride_most, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_least", break_tensor_stride_least, SOFTFOCUS_ERROR_STRIDE, 1},
    {"stride_least_inner", break_tensor_stride_least_inner, SOFTFOCUS_ERROR_STRIDE, 1},
};

static void refuse_tensor(const softfocus_test *test)
{
    const bad_tensor *bad = test->subject;
    static api_call request;
    unsigned function = (unsigned)test->number;
    begin(&request, function);
    size_t tensor_count = request.tensor_count;
    for (size_t k = 0; k < tensor_count; k++) {
        begin(&request, function);
        /* Dense targets without data are no dense targets: named as the targets that they then are not. */
        int targets = function == SIGMOID && k == 1;
        bad_input expected = {.status = bad->status, .argument = bad->names_it ? request.names[k] : NULL};
        if (targets && bad->break_it == break_tensor_data_null)
            expected.argument = "targets";
        bad->break_it(&request.tensors[k]);
        if (targets)
            request.targets.dense = request.tensors[k];
        softfocus_test_note("%s", request.names[k]);
        expect_refused(&request, function, &expected);
        /* A tensor that is not passed at all. The gradient may be left out. */
        if (bad->break_it == break_tensor_data_null && !targets &&
            !(function & LOSSES && k + 1 == tensor_count)) {
            begin(&request, function);
            request.given[k] = NULL;
            expect_refused(&request, function, &expected);
        }
    }
}

/* Shapes that overflow, in every tensor alike, so that nothing else is wrong. */
static void refuse_shapes(const softfocus_test *test)
{
    static const size_t shapes[][3] = {
        {SIZE_MAX, 1, 1},
        {1, SIZE_MAX, 1},
        {1, 1, SIZE_MAX},
        {SIZE_MAX / 2, 4, 1},
        {1, SIZE_MAX / 2, 4},
        {4, 1, SIZE_MAX / 2},
        {(size_t)1 << 32, 1, (size_t)1 << 32},
        {(size_t)1 << 22, (size_t)1 << 21, (size_t)1 << 21},
        {SIZE_MAX / 4, 1, 1},
        {PTRDIFF_MAX, 1, 1},
    };
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (size_t s = 0; s < COUNT(shapes); s++) {
        begin(&request, function);
        set_shape(&request, shapes[s][0], shapes[s][1], shapes[s][2]);
        softfocus_test_note("%zu x %zu x %zu", shapes[s][0], shapes[s][1], shapes[s][2]);
        bad_input expected = {.status = SOFTFOCUS_ERROR_SHAPE};
        expect_refused(&request, function, &expected);
    }
}

/* Element types that a later version may know. */
static void refuse_dtypes(const softfocus_test *test)
{
    static const softfocus_dtype dtypes[] = {SOFTFOCUS_F64, SOFTFOCUS_BF16, SOFTFOCUS_F16};
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (size_t d = 0; d < COUNT(dtypes); d++) {
        begin(&request, function);
        for (size_t k = 0; k < request.tensor_count; k++)
            request.tensors[k].dtype = dtypes[d];
        bad_input expected = {.status = SOFTFOCUS_ERROR_UNSUPPORTED};
        expect_refused(&request, function, &expected);
    }
}

/* More classes than an index of 32 bits tells apart. Nothing may be read: there is no such memory. */
static void refuse_classes(const softfocus_test *test)
{
    static api_call request;
    begin(&request, (unsigned)test->number);
    set_shape(&request, 1, (size_t)UINT32_MAX + 1, 1);
    bad_input expected = {.status = SOFTFOCUS_ERROR_UNSUPPORTED};
    expect_refused(&request, (unsigned)test->number, &expected);
}

static void expect_status(const char *what, softfocus_status status, softfocus_status expected)
{
    if (status != expected)
        softfocus_test_fail("%s: %d (%s), expected %d", what, (int)status, softfocus_status_string(status),
                            (int)expected);
}

/* Both kinds of targets at once. */
static void refuse_both_targets(const softfocus_test *test)
{
    static api_call request;
    static visible before;
    unsigned function = (unsigned)test->number;
    begin(&request, function);
    request.targets.index = request.memory.index64;
    if (function == SOFTMAX)
        break_targets_both(&request);
    before = request.memory;
    expect_status("both", call(&request, function), SOFTFOCUS_ERROR_OPTION);
    if (memcmp(&before, &request.memory, sizeof before) != 0)
        softfocus_test_fail("refused, but memory is not as it was");
}

/* error.size is none that this version knows: a struct that must not be written. */
static void refuse_error_size(const softfocus_test *test)
{
    static const size_t sizes[] = {0, sizeof(softfocus_error) - 1, sizeof(softfocus_error) + 8};
    static api_call request;
    for (size_t s = 0; s < COUNT(sizes); s++) {
        begin(&request, (unsigned)test->number);
        request.error.size = sizes[s];
        softfocus_error before = request.error;
        bad_input expected = {.status = SOFTFOCUS_ERROR_STRUCT_SIZE};
        expect_refused(&request, (unsigned)test->number, &expected);
        if (memcmp(&before, &request.error, sizeof before) != 0)
            softfocus_test_fail("an error struct of an unknown size has been written");
    }
}

/* An ISA that is none, or that this CPU lacks. */
static void refuse_isa(const softfocus_test *test)
{
    static const char not_an_isa[64];
    static api_call request;
    unsigned function = (unsigned)test->number;
    bad_input expected = {.status = SOFTFOCUS_ERROR_ISA};
    begin(&request, function);
    request.context.isa = (const softfocus_isa *)(const void *)not_an_isa;
    expect_refused(&request, function, &expected);
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        if (softfocus_isa_supported(softfocus_isa_at(i)))
            continue;
        begin(&request, function);
        request.context.isa = softfocus_isa_at(i);
        softfocus_test_note("%s, which this CPU lacks", softfocus_isa_name(softfocus_isa_at(i)));
        expect_refused(&request, function, &expected);
    }
}

/* ---- Overlap ------------------------------------------------------------------------------------------- */

/* The output among the first input's elements, both `classes` wide in rows of `row` elements. */
static softfocus_status call_overlapping(api_call *request, unsigned function, ptrdiff_t offset,
                                         ptrdiff_t row, ptrdiff_t class_stride)
{
    begin(request, function);
    set_shape(request, OUTER, CLASSES, 1);
    for (size_t k = 0; k < request->tensor_count; k++) {
        request->tensors[k].outer_stride = row;
        request->tensors[k].class_stride = class_stride;
    }
    output_of(request)->data = request->memory.input[0] + 2 * SIZE + offset;
    request->tensors[0].data = request->memory.input[0] + 2 * SIZE;
    return call(request, function);
}

static void overlaps(const softfocus_test *test)
{
    static api_call request;
    static visible before;
    unsigned function = (unsigned)test->number;
    const softfocus_status refused = SOFTFOCUS_ERROR_OVERLAP;
    /* Contiguous rows: exactly in place, side by side, and every offset between. */
    for (ptrdiff_t offset = -2 * OUTER * CLASSES; offset <= 2 * OUTER * CLASSES; offset++) {
        softfocus_status status = call_overlapping(&request, function, offset, CLASSES, 1);
        int apart = offset == 0 || offset <= -OUTER * CLASSES || offset >= OUTER * CLASSES;
        softfocus_test_note("offset %td", offset);
        expect_status("contiguous", status, apart ? SOFTFOCUS_OK : refused);
    }
    /* The halves of one [N, 2 C] buffer, and what lies between them; with rows far enough apart, both
       ways. */
    for (ptrdiff_t offset = -2 * CLASSES; offset <= 2 * CLASSES; offset++) {
        softfocus_status status = call_overlapping(&request, function, offset, 2 * CLASSES, 1);
        softfocus_test_note("offset %td of rows of %d", offset, 2 * CLASSES);
        /* At a whole row of distance all rows but one are shared. */
        int apart = offset == 0 || offset == CLASSES || offset == -CLASSES;
        expect_status("halves", status, apart ? SOFTFOCUS_OK : refused);
    }
    /* Every second element: the two combs never meet. */
    expect_status("combs", call_overlapping(&request, function, 1, 2 * CLASSES, 2), SOFTFOCUS_OK);
    expect_status("combs", call_overlapping(&request, function, -1, 2 * CLASSES, 2), SOFTFOCUS_OK);
    expect_status("combs, shifted", call_overlapping(&request, function, 2, 2 * CLASSES, 2), refused);
    /* Half an element: no element is the same, all are touched. */
    begin(&request, function);
    output_of(&request)->data = (unsigned char *)request.memory.input[0] + 2;
    expect_status("half an element", call(&request, function), refused);
    /* The same data with other strides is not in place. */
    begin(&request, function);
    *output_of(&request) = request.tensors[0];
    output_of(&request)->class_stride = 1;
    output_of(&request)->inner_stride = CLASSES;
    before = request.memory;
    expect_status("transposed in place", call(&request, function), refused);
    if (memcmp(&before, &request.memory, sizeof before) != 0)
        softfocus_test_fail("refused, but memory is not as it was");
}

/* One stride that differs makes the same data another tensor, whichever axis it is of. */
static void overlaps_by_one_stride(const softfocus_test *test)
{
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (size_t axis = 0; axis < 3; axis++) {
        begin(&request, function);
        for (size_t k = 0; k < request.tensor_count; k++) { /* room for twice any stride */
            request.tensors[k].outer_stride = 4 * INNER * CLASSES;
            request.tensors[k].class_stride = 2 * INNER + 1;
            request.tensors[k].inner_stride = 1;
        }
        softfocus_tensor *output = output_of(&request);
        output->data = request.tensors[0].data;
        expect_status("in place", call(&request, function), SOFTFOCUS_OK);
        output->outer_stride += axis == 0;
        output->class_stride += axis == 1;
        output->inner_stride += axis == 2;
        softfocus_test_note("axis %zu", axis);
        expect_status("in place but for one stride", call(&request, function), SOFTFOCUS_ERROR_OVERLAP);
    }
}

/* A tensor of rows from the last to the first ends where its data begin. */
static void overlaps_backwards(const softfocus_test *test)
{
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (ptrdiff_t first_row = -OUTER; first_row <= OUTER; first_row++) {
        begin(&request, function);
        set_shape(&request, OUTER, CLASSES, 1);
        float *rows = request.memory.input[0] + SIZE;
        softfocus_tensor *output = output_of(&request);
        request.tensors[0].data = rows;
        output->data = rows + (first_row + OUTER - 1) * CLASSES;
        output->outer_stride = -CLASSES;
        softfocus_test_note("rows %td to %td", first_row + OUTER - 1, first_row);
        expect_status("backwards", call(&request, function),
                      first_row == -OUTER || first_row == OUTER ? SOFTFOCUS_OK : SOFTFOCUS_ERROR_OVERLAP);
    }
}

/* What a refused overlap leaves alone, and what an accepted one reads before it writes, is seen by values:
   the halves of one buffer give what two buffers give. */
static void halves_are_right(const softfocus_test *test)
{
    static api_call halves, apart;
    unsigned function = (unsigned)test->number;
    expect_status("halves", call_overlapping(&halves, function, CLASSES, 2 * CLASSES, 1), SOFTFOCUS_OK);
    begin(&apart, function);
    set_shape(&apart, OUTER, CLASSES, 1);
    for (size_t k = 0; k < apart.tensor_count; k++)
        apart.tensors[k].outer_stride = 2 * CLASSES;
    apart.tensors[0].data = apart.memory.input[0] + 2 * SIZE;
    expect_status("apart", call(&apart, function), SOFTFOCUS_OK);
    for (size_t o = 0; o < OUTER; o++) {
        const float *left = (const float *)output_of(&halves)->data + 2 * CLASSES * o;
        const float *right = (const float *)output_of(&apart)->data + 2 * CLASSES * o;
        if (memcmp(left, right, CLASSES * sizeof(float)) != 0)
            softfocus_test_fail("row %zu differs", o);
        if (memcmp(left - CLASSES, apart.memory.input[0] + 2 * SIZE + 2 * CLASSES * o,
                   CLASSES * sizeof(float)) != 0)
            softfocus_test_fail("row %zu of the input has been written", o);
    }
}

/* ---- What looks bad but is fine ------------------------------------------------------------------------ */

static void empty(const softfocus_test *test)
{
    static const size_t shapes[][3] = {{0, CLASSES, INNER}, {OUTER, CLASSES, 0}, {0, CLASSES, 0}};
    static api_call request;
    static visible before;
    unsigned function = (unsigned)test->number;
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (int null = 0; null <= 1; null++)
            for (int reduction = SOFTFOCUS_NONE; reduction <= SOFTFOCUS_SUM; reduction++) {
                begin(&request, function);
                set_shape(&request, shapes[s][0], shapes[s][1], shapes[s][2]);
                request.options.reduction = (softfocus_reduction)reduction;
                /* Data may be NULL; dense targets without data would be no targets at all. */
                for (size_t k = 0; null && k < request.tensor_count; k++)
                    if (!(function == SIGMOID && k == 1))
                        request.tensors[k].data = NULL;
                if (null && function == SOFTMAX)
                    request.targets.index = NULL;
                if (null && reduction == SOFTFOCUS_NONE)
                    request.loss = NULL;
                before = request.memory;
                softfocus_status status = call(&request, function);
                float loss = request.memory.loss[0];
                expect_status("empty", status, SOFTFOCUS_OK);
                if (function & LOSSES && reduction != SOFTFOCUS_NONE) {
                    if (reduction == SOFTFOCUS_MEAN ? !isnan(loss) : !(loss >= 0.0f && loss <= 0.0f))
                        softfocus_test_fail("the %s of nothing is %g",
                                            reduction == SOFTFOCUS_MEAN ? "mean" : "sum", (double)loss);
                    request.memory.loss[0] = before.loss[0];
                }
                if (memcmp(&before, &request.memory, sizeof before) != 0)
                    softfocus_test_fail("nothing to write, but something was written");
            }
    begin(&request, function);
    set_shape(&request, 0, 0, 0);
    expect_status("no classes", call(&request, function), SOFTFOCUS_ERROR_SHAPE);
}

/* Defaults: a context of NULL, options of NULL, no gradient, an axis of length 1 with any stride. */
static void defaults(const softfocus_test *test)
{
    static api_call request, plain;
    unsigned function = (unsigned)test->number;
    begin(&plain, function);
    plain.options = softfocus_focal_defaults();
    expect_status("plain", call(&plain, function), SOFTFOCUS_OK);
    begin(&request, function);
    request.given_options = NULL;
    request.given_context = NULL;
    expect_status("NULL for context and options", call(&request, function), SOFTFOCUS_OK);
    if (memcmp(&plain.memory, &request.memory, sizeof plain.memory) != 0)
        softfocus_test_fail("NULL is not the defaults");
    if (function & LOSSES) {
        begin(&request, function);
        request.given_options = NULL;
        request.given[request.tensor_count - 1] = NULL;
        expect_status("no gradient", call(&request, function), SOFTFOCUS_OK);
        if (memcmp(plain.memory.loss, request.memory.loss, sizeof plain.memory.loss) != 0)
            softfocus_test_fail("without gradient the loss differs");
    }
    begin(&request, function);
    set_shape(&request, 1, CLASSES, 1);
    for (size_t k = 0; k < request.tensor_count; k++) {
        request.tensors[k].outer_stride = PTRDIFF_MIN;
        request.tensors[k].inner_stride = 0;
    }
    expect_status("any stride for an axis of length 1", call(&request, function), SOFTFOCUS_OK);
    if (request.error.argument != NULL)
        softfocus_test_fail("a call without error has filled in an error");
}

/* Weights count only where a target names them, and indices only where they are not ignored. */
static void unnamed_weights(const softfocus_test *test)
{
    static api_call request;
    (void)test;
    begin(&request, SOFTMAX);
    use_weight(&request, 3, NAN);
    for (size_t i = 0; i < POSITIONS; i++)
        if (request.memory.index64[i] == 3)
            request.memory.index64[i] = i % 2 == 0 ? 2 : -100;
    expect_status("a weight that no target names", call(&request, SOFTMAX), SOFTFOCUS_OK);
    begin(&request, SOFTMAX);
    use_weight(&request, 3, INFINITY);
    request.options.ignore_index = 3;
    expect_status("a weight that ignored positions name", call(&request, SOFTMAX), SOFTFOCUS_OK);
    begin(&request, SOFTMAX);
    use_weight(&request, 3, -0.0f);
    expect_status("a weight of -0", call(&request, SOFTMAX), SOFTFOCUS_OK);
    begin(&request, SOFTMAX);
    request.options.ignore_index = 99;
    request.memory.index64[4] = 99;
    expect_status("an ignore_index that is no class", call(&request, SOFTMAX), SOFTFOCUS_OK);
    begin(&request, SOFTMAX);
    request.options.alpha = -1.0;
    request.options.gamma = 1e4;
    expect_status("alpha off, an extreme gamma", call(&request, SOFTMAX), SOFTFOCUS_OK);
}

/* A mean over no weight at all, and one whose divisor has no finite inverse: gradients of weight 0 are 0. */
static void nothing_to_average(const softfocus_test *test)
{
    static const double normalizers[] = {0.0, 1e-60, 1e-310};
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (size_t n = 0; n < COUNT(normalizers); n++) {
        begin(&request, function);
        request.options.reduction = SOFTFOCUS_MEAN;
        request.options.normalizer = normalizers[n];
        for (size_t c = 0; c < CLASSES; c++)
            use_weight(&request, c, 0.0f);
        softfocus_test_note("normalizer %g", normalizers[n]);
        expect_status("weights of 0", call(&request, function), SOFTFOCUS_OK);
        float loss = request.memory.loss[0];
        /* Sigmoid counts elements, whatever they weigh. */
        int nothing = function == SOFTMAX && n == 0;
        if (nothing ? !isnan(loss) : !(loss >= 0.0f && loss <= 0.0f))
            softfocus_test_fail("the mean is %g", (double)loss);
        for (size_t e = 0; e < SIZE; e++)
            if (!(fabsf(request.memory.output[e]) <= 0.0f))
                softfocus_test_fail("gradient %zu is %g", e, (double)request.memory.output[e]);
    }
}

/* A target of probability 0 has an infinite loss; with a weight of 0 it counts for nothing. */
static void weight_of_zero(const softfocus_test *test)
{
    static api_call request;
    unsigned function = (unsigned)test->number;
    for (size_t weighted = 0; weighted < 2; weighted++) {
        begin(&request, function);
        for (size_t c = 0; weighted && c < CLASSES; c++)
            use_weight(&request, c, 0.0f);
        if (!weighted)
            request.options.alpha = 0.0;
        for (size_t i = 0; i < INNER; i++) { /* the first positions' targets: classes 0, 1, 2 */
            request.memory.input[0][i * INNER + i] = -INFINITY;
            request.memory.input[1][i * INNER + i] = 1.0f;
        }
        softfocus_test_note("%s", weighted ? "class weights of 0" : "alpha of 0");
        expect_status("a weight of 0", call(&request, function), SOFTFOCUS_OK);
        for (size_t i = 0; i < INNER; i++) {
            size_t at = function == SOFTMAX ? i : i * INNER + i;
            if (!(request.memory.loss[at] >= 0.0f && request.memory.loss[at] <= 0.0f))
                softfocus_test_fail("the loss is %g", (double)request.memory.loss[at]);
            if (!(fabsf(request.memory.output[i * INNER + i]) <= 0.0f))
                softfocus_test_fail("the gradient is %g", (double)request.memory.output[i * INNER + i]);
        }
    }
}

/* A probability below 2^-126 keeps its digits until the largest weight of the stated accuracy has brought it back: for
   gamma of 0 and exp(-z) this small, loss and gradient are both weight * exp(-z). */
static void large_weight(const softfocus_test *test)
{
    static api_call request;
    unsigned function = (unsigned)test->number;
    const float weight = 0x1p30f;
    for (int z = 80; z <= 103; z++) {
        begin(&request, function);
        request.options.gamma = 0.0;
        request.options.alpha = -1.0;
        use_weight(&request, 0, weight);
        request.memory.input[0][0] = (float)z;
        request.memory.input[1][0] = 1.0f;
        expect_status("a large weight", call(&request, function), SOFTFOCUS_OK);
        double expected = (double)weight * exp(-(double)z), bound = 5.0 * 0x1p-24 * expected;
        double loss = (double)request.memory.loss[0], grad = (double)request.memory.output[0];
        if (!(fabs(loss - expected) <= bound && fabs(grad + expected) <= bound * 6.5 / 5.0))
            softfocus_test_fail("logit %d: loss %a, gradient %a, expected %a and its negative", z, loss, grad, expected);
    }
}

/* The lowest bad position, however many threads look. */
static void lowest_of_many(const softfocus_test *test)
{
    enum { MANY = 50000 };
    static float logits[2 * MANY], grad[2 * MANY], loss[MANY];
    static int64_t index[MANY];
    (void)test;
    for (size_t bad = 0; bad < 4; bad++) {
        static const size_t places[][2] = {{MANY - 1, MANY - 1}, {777, 40000}, {31234, 31235}, {0, 1}};
        softfocus_tensor z = softfocus_tensor_contiguous(logits, SOFTFOCUS_F32, MANY, 2, 1);
        softfocus_tensor g = softfocus_tensor_contiguous(grad, SOFTFOCUS_F32, MANY, 2, 1);
        softfocus_targets targets = softfocus_index_targets(index, SOFTFOCUS_I64);
        softfocus_error error = softfocus_error_defaults();
        softfocus_context context = softfocus_context_defaults();
        context.error = &error;
        memset(index, 0, sizeof index);
        memset(grad, 0xa5, sizeof grad);
        memset(loss, 0xa5, sizeof loss);
        index[places[bad][1]] = -3;
        index[places[bad][0]] = 2;
        expect_status("a bad target", softfocus_softmax_focal_loss(&context, &z, &targets, NULL, loss, &g),
                      SOFTFOCUS_ERROR_TARGET);
        if (error.position != places[bad][0] || error.value != 2)
            softfocus_test_fail("position %zu, value %lld; expected %zu and 2", error.position,
                                (long long)error.value, places[bad][0]);
        const unsigned char *bytes = (const unsigned char *)grad;
        for (size_t b = 0; b < sizeof grad; b++)
            if (bytes[b] != 0xa5)
                softfocus_test_fail("byte %zu of the gradient has been written", b);
    }
}

/* The mean is over the positions that are not ignored, however many there are and wherever those are. All losses are
   ln 2. */
static void mean_of_many(const softfocus_test *test)
{
    enum { MANY = 5000 };
    static float logits[2 * MANY];
    static int64_t wide[MANY];
    static int32_t narrow[MANY];
    static const size_t firsts[] = {0, 1000, 1023, 1024, 2047, 4096, 4999, MANY}, steps[] = {1, 3, 700, MANY};
    (void)test;
    for (size_t f = 0; f < COUNT(firsts); f++)
        for (size_t s = 0; s < COUNT(steps); s++)
            for (int is_wide = 0; is_wide < 2; is_wide++) {
                size_t live = MANY;
                for (size_t i = 0; i < MANY; i++) {
                    wide[i] = narrow[i] = (int32_t)(i % 2);
                    if (i >= firsts[f] && (i - firsts[f]) % steps[s] == 0) {
                        wide[i] = narrow[i] = -100;
                        live--;
                    }
                }
                softfocus_tensor z = softfocus_tensor_contiguous(logits, SOFTFOCUS_F32, MANY, 2, 1);
                softfocus_targets targets =
                    softfocus_index_targets(is_wide ? (const void *)wide : narrow, is_wide ? SOFTFOCUS_I64 : SOFTFOCUS_I32);
                softfocus_focal_options options = softfocus_focal_defaults();
                options.gamma = 0.0;
                options.alpha = -1.0;
                float loss;
                expect_status("many", softfocus_softmax_focal_loss(NULL, &z, &targets, &options, &loss, NULL), SOFTFOCUS_OK);
                double expected = live > 0 ? log(2.0) : (double)NAN;
                if (live > 0 ? !(fabs((double)loss - expected) <= 0x1p-23) : !isnan(loss))
                    softfocus_test_fail("from %zu on one of %zu ignored: mean %.9g, expected %.9g", firsts[f], steps[s],
                                        (double)loss, expected);
            }
}

/* ---- Names --------------------------------------------------------------------------------------------- */

static void statuses(const softfocus_test *test)
{
    (void)test;
    for (int a = SOFTFOCUS_OK; a <= SOFTFOCUS_ERROR_UNSUPPORTED; a++) {
        const char *text = softfocus_status_string((softfocus_status)a);
        if (text == NULL || strlen(text) < 2)
            softfocus_test_fail("status %d has no text", a);
        /* A number that is none has a text of its own. */
        for (int b = a + 1; b <= SOFTFOCUS_ERROR_UNSUPPORTED + 1; b++)
            if (strcmp(text, softfocus_status_string((softfocus_status)b)) == 0)
                softfocus_test_fail("statuses %d and %d have one text: %s", a, b, text);
    }
    static const int none[] = {-1, SOFTFOCUS_ERROR_UNSUPPORTED + 1, 1000, INT_MAX, INT_MIN};
    for (size_t i = 0; i < COUNT(none); i++)
        if (softfocus_status_string((softfocus_status)none[i]) == NULL)
            softfocus_test_fail("status %d has no text", none[i]);
}

static void isas(const softfocus_test *test)
{
    size_t count = softfocus_isa_count();
    const softfocus_isa *best = NULL;
    (void)test;
    if (count == 0 || softfocus_isa_find("scalar") != softfocus_isa_at(count - 1))
        softfocus_test_fail("scalar is not the last of the ISAs");
    if (softfocus_isa_at(count) != NULL || softfocus_isa_at(SIZE_MAX) != NULL)
        softfocus_test_fail("an ISA past the end");
    for (size_t i = 0; i < count; i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        if (isa == NULL || softfocus_isa_name(isa) == NULL ||
            softfocus_isa_find(softfocus_isa_name(isa)) != isa)
            softfocus_test_fail("ISA %zu is not found by its name", i);
        int supported = softfocus_isa_supported(isa);
        if (supported != 0 && supported != 1)
            softfocus_test_fail("softfocus_isa_supported gives %d", supported);
        if (best == NULL && supported)
            best = isa;
    }
    if (!softfocus_isa_supported(softfocus_isa_find("scalar")))
        softfocus_test_fail("scalar is not supported");
    if (softfocus_isa_find(NULL) != NULL || softfocus_isa_find("") != NULL ||
        softfocus_isa_find("AVX2") != NULL || softfocus_isa_find("avx") != NULL ||
        softfocus_isa_find("scalar ") != NULL)
        softfocus_test_fail("a name that is none is found");
    if (softfocus_isa_name(NULL) != NULL || softfocus_isa_supported(NULL) != 0)
        softfocus_test_fail("no ISA has a name, or is supported");
    const char *asked = getenv("SOFTFOCUS_ISA");
    if (asked != NULL && softfocus_isa_supported(softfocus_isa_find(asked)))
        best = softfocus_isa_find(asked);
    if (softfocus_isa_default() != best)
        softfocus_test_fail("the default is %s, expected %s", softfocus_isa_name(softfocus_isa_default()),
                            softfocus_isa_name(best));
}

/* A kernel of which nothing below would be tested. */
static void every_function(const softfocus_test *test)
{
    (void)test;
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++) {
        size_t f = 0;
        while (f < COUNT(functions) && strcmp(functions[f].name, softfocus_case_kernel_at(k)->name) != 0)
            f++;
        if (f == COUNT(functions))
            softfocus_test_fail("%s has no row in `functions`", softfocus_case_kernel_at(k)->name);
    }
}

/* ---- The list ------------------------------------------------------------------------------------------ */

static void add(unsigned which, const char *name, softfocus_test_body *body, const void *subject)
{
    for (size_t f = 0; f < COUNT(functions); f++)
        if (functions[f].bit & which) {
            softfocus_test *test = softfocus_test_add("contract/%s/%s", functions[f].name, name);
            test->body = body;
            test->subject = subject;
            test->number = functions[f].bit;
        }
}

void softfocus_add_contract_tests(void)
{
    for (size_t b = 0; b < COUNT(bad_inputs); b++)
        add(bad_inputs[b].functions, bad_inputs[b].name, refuse, &bad_inputs[b]);
    for (size_t b = 0; b < COUNT(bad_tensors); b++)
        add(ALL, bad_tensors[b].name, refuse_tensor, &bad_tensors[b]);
    add(ALL, "shape_overflows", refuse_shapes, NULL);
    add(ALL, "dtype_unsupported", refuse_dtypes, NULL);
    add(ALL, "classes_unsupported", refuse_classes, NULL);
    add(ALL, "error_size", refuse_error_size, NULL);
    add(ALL, "isa", refuse_isa, NULL);
    add(LOSSES, "targets_both", refuse_both_targets, NULL);
    add(ALL, "overlaps", overlaps, NULL);
    add(ALL, "overlaps_by_one_stride", overlaps_by_one_stride, NULL);
    add(ALL, "overlaps_backwards", overlaps_backwards, NULL);
    add(ALL, "halves_are_right", halves_are_right, NULL);
    add(ALL, "empty", empty, NULL);
    add(ALL, "defaults", defaults, NULL);
    add(SOFTMAX, "unnamed_weights", unnamed_weights, NULL);
    add(LOSSES, "nothing_to_average", nothing_to_average, NULL);
    add(LOSSES, "weight_of_zero", weight_of_zero, NULL);
    add(SIGMOID, "large_weight", large_weight, NULL);
    add(SOFTMAX, "lowest_of_many", lowest_of_many, NULL);
    add(SOFTMAX, "mean_of_many", mean_of_many, NULL);
    softfocus_test_add("contract/every_function")->body = every_function;
    softfocus_test_add("contract/statuses")->body = statuses;
    softfocus_test_add("contract/isas")->body = isas;
}
