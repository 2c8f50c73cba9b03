/* What the library has to answer to a call: written from softfocus.h, with wide integers and no cleverness, so that it can
 * be held against dispatch/validate.c. See call.h. */
#include "call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Offsets in bytes of any strides and lengths, exactly. */
__extension__ typedef __int128 wide;

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

int softfocus_fuzz_is_loss(const softfocus_fuzz_call *call)
{
    return call->function == SOFTMAX_FOCAL_LOSS || call->function == SIGMOID_FOCAL_LOSS;
}

static int is_empty(const softfocus_tensor *tensor)
{
    return tensor->outer == 0 || tensor->inner == 0;
}

int softfocus_fuzz_shape_fits(const softfocus_tensor *tensor)
{
    const size_t lengths[] = {tensor->outer, tensor->classes, tensor->inner};
    wide elements = 1;
    for (size_t axis = 0; axis < 3; axis++) {
        elements *= (wide)(lengths[axis] == 0 ? 1 : lengths[axis]);
        if (elements > PTRDIFF_MAX / (ptrdiff_t)sizeof(double))
            return 0;
    }
    return tensor->classes != 0;
}

static wide magnitude(ptrdiff_t stride)
{
    return stride < 0 ? -(wide)stride : stride;
}

/* Takes the axes by growing stride: the one with the smallest that exceeds the extent so far must exist, for each axis. */
int softfocus_fuzz_strides_fit(const softfocus_tensor *tensor)
{
    const size_t lengths[] = {tensor->outer, tensor->classes, tensor->inner};
    const ptrdiff_t strides[] = {tensor->outer_stride, tensor->class_stride, tensor->inner_stride};
    int done[3] = {0, 0, 0};
    wide extent = 0;
    for (size_t step = 0; step < 3; step++) {
        size_t next = 3;
        for (size_t axis = 0; axis < 3; axis++)
            if (!done[axis] && (lengths[axis] <= 1 || next == 3 ||
                                (lengths[next] > 1 && magnitude(strides[axis]) < magnitude(strides[next]))))
                next = axis;
        done[next] = 1;
        if (lengths[next] <= 1)
            continue;
        if (magnitude(strides[next]) <= extent)
            return 0;
        extent += (wide)(lengths[next] - 1) * magnitude(strides[next]);
    }
    return (extent + 1) * (wide)sizeof(double) <= (wide)PTRDIFF_MAX * 2;
}

/* The bytes of a tensor that is not empty and whose strides fit. */
static void bytes_of(const softfocus_tensor *tensor, wide *first, wide *last)
{
    wide size = tensor->dtype == SOFTFOCUS_F64 ? 8 : tensor->dtype == SOFTFOCUS_F32 ? 4 : 2;
    ptrdiff_t lowest, highest;
    softfocus_fuzz_reach(tensor, &lowest, &highest);
    *first = (wide)(uintptr_t)tensor->data + (wide)lowest * size;
    *last = (wide)(uintptr_t)tensor->data + ((wide)highest + 1) * size;
}

void softfocus_fuzz_reach(const softfocus_tensor *tensor, ptrdiff_t *lowest, ptrdiff_t *highest)
{
    const size_t lengths[] = {tensor->outer, tensor->classes, tensor->inner};
    const ptrdiff_t strides[] = {tensor->outer_stride, tensor->class_stride, tensor->inner_stride};
    *lowest = *highest = 0;
    for (size_t axis = 0; axis < 3; axis++)
        if (lengths[axis] > 1)
            *(strides[axis] < 0 ? lowest : highest) += (ptrdiff_t)(lengths[axis] - 1) * strides[axis];
}

/* Strides that fit, in memory as in themselves. */
static int lies_well(const softfocus_tensor *tensor)
{
    wide first, last;
    if (!softfocus_fuzz_strides_fit(tensor))
        return 0;
    bytes_of(tensor, &first, &last);
    return first >= 0 && last <= (wide)UINTPTR_MAX && last - first <= PTRDIFF_MAX;
}

int softfocus_fuzz_is_backed(const softfocus_fuzz_call *call, enum softfocus_fuzz_place place)
{
    const softfocus_tensor *tensor = &call->tensors[place];
    wide first, last;
    if (!softfocus_fuzz_shape_fits(tensor) || is_empty(tensor) || tensor->data == NULL || !lies_well(tensor))
        return 0;
    if (tensor->dtype != SOFTFOCUS_F32) /* refused unread; decode.c fills float32 alone */
        return 0;
    bytes_of(tensor, &first, &last);
    for (enum softfocus_fuzz_place p = INPUT; p < PLACES; p++) {
        wide arena = (wide)(uintptr_t)softfocus_fuzz_arena(p);
        if (first >= arena && last <= arena + ARENA_SIZE)
            return 1;
    }
    return 0;
}

float *softfocus_fuzz_element(const softfocus_tensor *tensor, size_t outer, size_t class_index, size_t inner)
{
    return (float *)tensor->data + (ptrdiff_t)outer * tensor->outer_stride +
           (ptrdiff_t)class_index * tensor->class_stride + (ptrdiff_t)inner * tensor->inner_stride;
}

static unsigned judge_tensor(const softfocus_tensor *tensor, int given)
{
    if (!given)
        return 1u << SOFTFOCUS_ERROR_NULL_POINTER;
    unsigned wrong = 0;
    int known = (unsigned)tensor->dtype <= SOFTFOCUS_F16;
    if (!known)
        wrong |= 1u << SOFTFOCUS_ERROR_DTYPE;
    if (tensor->dtype != SOFTFOCUS_F32 && known)
        wrong |= 1u << SOFTFOCUS_ERROR_UNSUPPORTED;
    if (!softfocus_fuzz_shape_fits(tensor))
        return wrong | 1u << SOFTFOCUS_ERROR_SHAPE;
    if (tensor->classes > UINT32_MAX)
        wrong |= 1u << SOFTFOCUS_ERROR_UNSUPPORTED;
    if (is_empty(tensor))
        return wrong;
    if (tensor->data == NULL)
        wrong |= 1u << SOFTFOCUS_ERROR_NULL_POINTER;
    if (!lies_well(tensor))
        wrong |= 1u << SOFTFOCUS_ERROR_STRIDE;
    return wrong;
}

static unsigned judge_like(const softfocus_tensor *tensor, const softfocus_tensor *other)
{
    unsigned wrong = 0;
    if (tensor->outer != other->outer || tensor->classes != other->classes || tensor->inner != other->inner)
        wrong |= 1u << SOFTFOCUS_ERROR_SHAPE;
    if (tensor->dtype != other->dtype)
        wrong |= 1u << SOFTFOCUS_ERROR_DTYPE;
    return wrong;
}

/* ---- Overlap ----------------------------------------------------------------------------------------------------- */

typedef struct piece {
    wide first, last; /* bytes; first == last: none */
} piece;

static piece piece_of(const softfocus_tensor *tensor)
{
    piece bytes = {0, 0};
    if (softfocus_fuzz_shape_fits(tensor) && !is_empty(tensor) && tensor->data != NULL && lies_well(tensor))
        bytes_of(tensor, &bytes.first, &bytes.last);
    return bytes;
}

static piece piece_at(const void *data, size_t size)
{
    wide first = (wide)(uintptr_t)data;
    return (piece){first, data == NULL ? first : first + (wide)size};
}

static int meet(piece a, piece b)
{
    return a.first < a.last && b.first < b.last && a.first < b.last && b.first < a.last;
}

static int same_stride(size_t length, ptrdiff_t a, ptrdiff_t b)
{
    return length <= 1 || a == b;
}

/* Whether two tensors of one shape and with the same strides share a byte: tries every difference of two elements' places.
 */
static int share_bytes(const softfocus_tensor *a, const softfocus_tensor *b)
{
    const wide size = sizeof(float), outer = (wide)a->outer, classes = (wide)a->classes, inner = (wide)a->inner;
    wide distance = (wide)(uintptr_t)b->data - (wide)(uintptr_t)a->data;
    if (outer * classes * inner > ELEMENTS_MAX)
        return 1; /* not to be told; decode.c makes no call whose only fault that is */
    for (wide o = 1 - outer; o < outer; o++)
        for (wide c = 1 - classes; c < classes; c++)
            for (wide i = 1 - inner; i < inner; i++) {
                wide apart = (o * a->outer_stride + c * a->class_stride + i * a->inner_stride) * size - distance;
                if (-size < apart && apart < size)
                    return 1;
            }
    return 0;
}

static unsigned judge_overlap(const softfocus_tensor *output, const softfocus_tensor *other, int in_place)
{
    if (!meet(piece_of(output), piece_of(other)) || judge_like(output, other) != 0)
        return 0;
    if (same_stride(output->outer, output->outer_stride, other->outer_stride) &&
        same_stride(output->classes, output->class_stride, other->class_stride) &&
        same_stride(output->inner, output->inner_stride, other->inner_stride)) {
        if (in_place && output->data == other->data)
            return 0;
        if (!share_bytes(output, other))
            return 0;
    }
    return 1u << SOFTFOCUS_ERROR_OVERLAP;
}

static unsigned judge_pieces(piece output, piece other)
{
    return meet(output, other) ? 1u << SOFTFOCUS_ERROR_OVERLAP : 0;
}

/* ---- The losses -------------------------------------------------------------------------------------------------- */

size_t softfocus_fuzz_loss_values(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *logits = &call->tensors[INPUT];
    if (call->options.reduction != SOFTFOCUS_NONE)
        return 1;
    if (!softfocus_fuzz_shape_fits(logits))
        return 0;
    return logits->outer * logits->inner * (call->function == SIGMOID_FOCAL_LOSS ? logits->classes : 1);
}

static int is_between(double value, double low, double high)
{
    return value >= low && value <= high;
}

static unsigned judge_options(const softfocus_focal_options *options)
{
    const double largest = 0x1.fffffffffffffp1023;
    unsigned wrong = 0;
    if (options->size != sizeof *options)
        wrong |= 1u << SOFTFOCUS_ERROR_STRUCT_SIZE;
    if ((unsigned)options->reduction > SOFTFOCUS_SUM)
        wrong |= 1u << SOFTFOCUS_ERROR_REDUCTION;
    if (!is_between(options->gamma, 0.0, largest) || !is_between(options->alpha, -largest, 1.0) ||
        !is_between(options->normalizer, 0.0, largest) || !is_between(options->label_smoothing, 0.0, 1.0))
        wrong |= 1u << SOFTFOCUS_ERROR_OPTION;
    if (options->label_smoothing != 0.0 || options->class_gamma != NULL || options->background_index != -1)
        wrong |= 1u << SOFTFOCUS_ERROR_UNSUPPORTED;
    return wrong;
}

static size_t index_size(const softfocus_fuzz_call *call)
{
    return call->targets.index_type == SOFTFOCUS_I64 ? sizeof(int64_t) : sizeof(int32_t);
}

static unsigned judge_targets(const softfocus_fuzz_call *call)
{
    const softfocus_targets *targets = &call->targets;
    int dense = targets->dense.data != NULL || targets->dense.classes != 0, index = targets->index != NULL;
    int wants_dense = call->function == SIGMOID_FOCAL_LOSS;
    if (!call->targets_given)
        return 1u << SOFTFOCUS_ERROR_NULL_POINTER;
    unsigned wrong = targets->size == sizeof *targets ? 0 : 1u << SOFTFOCUS_ERROR_STRUCT_SIZE;
    if (dense && index)
        wrong |= 1u << SOFTFOCUS_ERROR_OPTION;
    if (wants_dense ? index : dense)
        wrong |= 1u << SOFTFOCUS_ERROR_UNSUPPORTED;
    if (wants_dense ? !dense : !index && !is_empty(&call->tensors[INPUT]))
        wrong |= 1u << SOFTFOCUS_ERROR_NULL_POINTER;
    if (!wants_dense && (unsigned)targets->index_type > SOFTFOCUS_I64)
        wrong |= 1u << SOFTFOCUS_ERROR_INDEX_TYPE;
    if (wants_dense && dense)
        wrong |= judge_tensor(&targets->dense, 1) | judge_like(&call->tensors[INPUT], &targets->dense);
    return wrong;
}

static unsigned judge_loss_places(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *logits = &call->tensors[INPUT], *grad = &call->tensors[OUTPUT];
    if (!softfocus_fuzz_shape_fits(logits))
        return 0;
    size_t values = softfocus_fuzz_loss_values(call);
    if (call->loss == NULL && values > 0)
        return 1u << SOFTFOCUS_ERROR_NULL_POINTER;
    piece loss = piece_at(call->loss, values * sizeof(float));
    piece weights = piece_at(call->options.class_weight, logits->classes * sizeof(float));
    piece index = piece_at(call->targets.index, logits->outer * logits->inner * index_size(call));
    int has_dense = call->function == SIGMOID_FOCAL_LOSS;
    unsigned wrong = judge_pieces(loss, piece_of(logits)) | judge_pieces(loss, weights);
    wrong |= has_dense ? judge_pieces(loss, piece_of(&call->targets.dense)) : judge_pieces(loss, index);
    if (!call->given[OUTPUT])
        return wrong;
    wrong |= judge_overlap(grad, logits, 1) | judge_pieces(piece_of(grad), weights) | judge_pieces(piece_of(grad), loss);
    return wrong | (has_dense ? judge_overlap(grad, &call->targets.dense, 0) : judge_pieces(piece_of(grad), index));
}

static int is_usable(float weight)
{
    return weight >= 0.0f && weight < INFINITY;
}

/* What reading the targets and the weights shows, where all else is right. */
static softfocus_fuzz_verdict judge_values(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *logits = &call->tensors[INPUT];
    const float *weights = call->options.class_weight;
    if (softfocus_fuzz_is_backed(call, INPUT) == 0 && !is_empty(logits))
        return (softfocus_fuzz_verdict){0, 0, 0}; /* such a call is never made */
    if (call->function == SIGMOID_FOCAL_LOSS) {
        for (size_t c = 0; weights != NULL && logits->classes <= ELEMENTS_MAX && c < logits->classes; c++)
            if (!is_usable(weights[c]))
                return (softfocus_fuzz_verdict){1u << SOFTFOCUS_ERROR_CLASS_WEIGHT, c, (int64_t)c};
        return (softfocus_fuzz_verdict){0, 0, 0};
    }
    for (size_t i = 0; i < logits->outer * logits->inner; i++) {
        int64_t target = call->targets.index_type == SOFTFOCUS_I64 ? ((const int64_t *)call->targets.index)[i]
                                                                   : ((const int32_t *)call->targets.index)[i];
        if (target == call->options.ignore_index)
            continue;
        if (target < 0 || target >= (int64_t)logits->classes)
            return (softfocus_fuzz_verdict){1u << SOFTFOCUS_ERROR_TARGET, i, target};
        if (weights != NULL && !is_usable(weights[target]))
            return (softfocus_fuzz_verdict){1u << SOFTFOCUS_ERROR_CLASS_WEIGHT, i, target};
    }
    return (softfocus_fuzz_verdict){0, 0, 0};
}

static unsigned judge_loss(const softfocus_fuzz_call *call)
{
    unsigned wrong = judge_options(&call->options) | judge_targets(call) | judge_loss_places(call);
    if (call->given[OUTPUT])
        wrong |= judge_tensor(&call->tensors[OUTPUT], 1) | judge_like(&call->tensors[INPUT], &call->tensors[OUTPUT]);
    return wrong;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

softfocus_fuzz_verdict softfocus_fuzz_judge(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *input = &call->tensors[INPUT], *second = &call->tensors[SECOND];
    const softfocus_tensor *output = &call->tensors[OUTPUT];
    unsigned wrong = judge_tensor(input, call->given[INPUT]);
    if (call->context.size != sizeof call->context || call->error_size != sizeof(softfocus_error))
        wrong |= 1u << SOFTFOCUS_ERROR_STRUCT_SIZE;
    if (call->bogus_isa)
        wrong |= 1u << SOFTFOCUS_ERROR_ISA;
    if (softfocus_fuzz_is_loss(call)) {
        wrong |= judge_loss(call);
        return wrong != 0 ? (softfocus_fuzz_verdict){wrong, 0, 0} : judge_values(call);
    }
    wrong |= judge_tensor(output, call->given[OUTPUT]) | judge_like(input, output) | judge_overlap(output, input, 1);
    if (call->function == LOG_SOFTMAX_BACKWARD)
        wrong |= judge_tensor(second, call->given[SECOND]) | judge_like(input, second) | judge_overlap(output, second, 1);
    return (softfocus_fuzz_verdict){wrong, 0, 0};
}
