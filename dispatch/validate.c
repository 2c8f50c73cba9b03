/* Checks of what callers hand in; see validate.h. */
#include "dispatch/validate.h"

#include <float.h>
#include <math.h>
#include <string.h>

static softfocus_status fail(struct softfocus_blame *blame, softfocus_status status, const char *argument)
{
    blame->argument = argument;
    return status;
}

/* ---- Structs ----------------------------------------------------------------------------------------------------- */

softfocus_status softfocus_take_struct(void *to, size_t size, size_t version_1_size, const void *from)
{
    if (!from)
        return SOFTFOCUS_OK;
    size_t given;
    memcpy(&given, from, sizeof given);
    if (given < version_1_size || given > size)
        return SOFTFOCUS_ERROR_STRUCT_SIZE;
    memcpy(to, from, given);
    memcpy(to, &size, sizeof size);
    return SOFTFOCUS_OK;
}

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

enum { AXES = 3 };

/* The axes of more than one element, by stride: the larger first, without their signs. */
struct axes {
    size_t count;
    size_t length[AXES], stride[AXES];
};

static size_t magnitude(ptrdiff_t x) { return x < 0 ? 0 - (size_t)x : (size_t)x; }

static struct axes axes_of(const softfocus_tensor *tensor)
{
    const size_t length[AXES] = {tensor->outer, tensor->classes, tensor->inner};
    const size_t stride[AXES] = {magnitude(tensor->outer_stride), magnitude(tensor->class_stride),
                                 magnitude(tensor->inner_stride)};
    struct axes axes = {.count = 0};
    for (size_t axis = 0; axis < AXES; axis++) {
        if (length[axis] <= 1)
            continue;
        size_t at = axes.count++;
        for (; at > 0 && axes.stride[at - 1] < stride[axis]; at--) {
            axes.stride[at] = axes.stride[at - 1];
            axes.length[at] = axes.length[at - 1];
        }
        axes.stride[at] = stride[axis];
        axes.length[at] = length[axis];
    }
    return axes;
}

static size_t element_size(softfocus_dtype dtype)
{
    switch (dtype) {
    case SOFTFOCUS_F64:
        return 8;
    case SOFTFOCUS_F32:
        return 4;
    case SOFTFOCUS_BF16:
    case SOFTFOCUS_F16:
        return 2;
    }
    return 0; /* unknown */
}

static int is_empty(const softfocus_tensor *tensor) { return tensor->outer == 0 || tensor->inner == 0; }

/* The bytes that a tensor spans, first to last; none where it is empty. Only for strides that do not overflow. */
static struct softfocus_bytes span(const softfocus_tensor *tensor)
{
    struct softfocus_bytes bytes = {(uintptr_t)tensor->data, 0};
    if (is_empty(tensor))
        return bytes;
    const size_t length[AXES] = {tensor->outer, tensor->classes, tensor->inner};
    const ptrdiff_t stride[AXES] = {tensor->outer_stride, tensor->class_stride, tensor->inner_stride};
    size_t extent = 0, size = element_size(tensor->dtype);
    for (size_t axis = 0; axis < AXES; axis++) {
        size_t steps = (length[axis] - 1) * magnitude(stride[axis]);
        extent += steps;
        if (stride[axis] < 0)
            bytes.first -= steps * size;
    }
    bytes.size = (extent + 1) * size;
    return bytes;
}

/* Each stride must exceed the extent of what lies below it, and the whole must fit the address space around data. */
static int strides_are_sound(const softfocus_tensor *tensor)
{
    struct axes axes = axes_of(tensor);
    size_t extent = 0, steps, bytes;
    for (size_t i = axes.count; i-- > 0;) {
        if (axes.stride[i] <= extent || __builtin_mul_overflow(axes.length[i] - 1, axes.stride[i], &steps) ||
            __builtin_add_overflow(extent, steps, &extent))
            return 0;
    }
    if (extent >= PTRDIFF_MAX || __builtin_mul_overflow(extent + 1, element_size(tensor->dtype), &bytes) ||
        bytes > PTRDIFF_MAX)
        return 0;
    struct softfocus_bytes range = span(tensor);
    uintptr_t end;
    return range.first <= (uintptr_t)tensor->data && !__builtin_add_overflow(range.first, range.size, &end);
}

softfocus_status softfocus_check_tensor(const softfocus_tensor *tensor, const char *name, struct softfocus_blame *blame)
{
    size_t elements;
    if (!tensor)
        return fail(blame, SOFTFOCUS_ERROR_NULL_POINTER, name);
    if (element_size(tensor->dtype) == 0)
        return fail(blame, SOFTFOCUS_ERROR_DTYPE, name);
    if (tensor->classes == 0)
        return fail(blame, SOFTFOCUS_ERROR_SHAPE, name);
    /* An axis of 0 counts as 1 here: no part of a shape may overflow. */
    if (__builtin_mul_overflow(tensor->outer + !tensor->outer, tensor->classes, &elements) ||
        __builtin_mul_overflow(elements, tensor->inner + !tensor->inner, &elements) ||
        elements > PTRDIFF_MAX / sizeof(double))
        return fail(blame, SOFTFOCUS_ERROR_SHAPE, name);
    if (is_empty(tensor))
        return SOFTFOCUS_OK;
    if (!tensor->data)
        return fail(blame, SOFTFOCUS_ERROR_NULL_POINTER, name);
    if (!strides_are_sound(tensor))
        return fail(blame, SOFTFOCUS_ERROR_STRIDE, name);
    return SOFTFOCUS_OK;
}

softfocus_status softfocus_check_shape(const softfocus_tensor *tensor, const softfocus_tensor *other, const char *name,
                                       struct softfocus_blame *blame)
{
    if (tensor->outer != other->outer || tensor->classes != other->classes || tensor->inner != other->inner)
        return fail(blame, SOFTFOCUS_ERROR_SHAPE, name);
    if (tensor->dtype != other->dtype)
        return fail(blame, SOFTFOCUS_ERROR_DTYPE, name);
    return SOFTFOCUS_OK;
}

/* ---- Overlap ----------------------------------------------------------------------------------------------------- */

static int bytes_meet(struct softfocus_bytes a, struct softfocus_bytes b)
{
    return a.size > 0 && b.size > 0 && (a.first < b.first ? b.first - a.first < a.size : a.first - b.first < b.size);
}

static int same_strides(const softfocus_tensor *a, const softfocus_tensor *b)
{
    return (a->outer <= 1 || a->outer_stride == b->outer_stride) &&
           (a->classes <= 1 || a->class_stride == b->class_stride) &&
           (a->inner <= 1 || a->inner_stride == b->inner_stride);
}

/* Whether some difference of two elements' offsets within one tensor is `distance`: a sum of d * stride over the axes from
   `axis` on, |d| < length. What the smaller axes add is less than one stride, so that two values of d are all there is. */
static int is_difference(const struct axes *axes, size_t axis, size_t distance)
{
    if (axis == axes->count)
        return distance == 0;
    size_t stride = axes->stride[axis], d = distance / stride;
    if (d < axes->length[axis] && is_difference(axes, axis + 1, distance - d * stride))
        return 1;
    return d + 1 < axes->length[axis] && is_difference(axes, axis + 1, (d + 1) * stride - distance);
}

softfocus_status softfocus_check_overlap(const softfocus_tensor *output, const softfocus_tensor *other, int in_place,
                                         const char *name, struct softfocus_blame *blame)
{
    if (!bytes_meet(span(output), span(other)))
        return SOFTFOCUS_OK;
    if (!same_strides(output, other))
        return fail(blame, SOFTFOCUS_ERROR_OVERLAP, name);
    if (output->data == other->data)
        return in_place ? SOFTFOCUS_OK : fail(blame, SOFTFOCUS_ERROR_OVERLAP, name);
    uintptr_t a = (uintptr_t)output->data, b = (uintptr_t)other->data, bytes = a < b ? b - a : a - b;
    size_t size = element_size(output->dtype);
    struct axes axes = axes_of(output);
    if (bytes % size != 0 || is_difference(&axes, 0, bytes / size))
        return fail(blame, SOFTFOCUS_ERROR_OVERLAP, name);
    return SOFTFOCUS_OK;
}

softfocus_status softfocus_check_apart_bytes(struct softfocus_bytes a, struct softfocus_bytes b, const char *name,
                                             struct softfocus_blame *blame)
{
    return bytes_meet(a, b) ? fail(blame, SOFTFOCUS_ERROR_OVERLAP, name) : SOFTFOCUS_OK;
}

softfocus_status softfocus_check_apart(struct softfocus_bytes bytes, const softfocus_tensor *tensor, const char *name,
                                       struct softfocus_blame *blame)
{
    return softfocus_check_apart_bytes(bytes, span(tensor), name, blame);
}

/* ---- Options and targets ----------------------------------------------------------------------------------------- */

softfocus_status softfocus_check_options(const softfocus_focal_options *options, struct softfocus_blame *blame)
{
    if (options->reduction != SOFTFOCUS_NONE && options->reduction != SOFTFOCUS_MEAN &&
        options->reduction != SOFTFOCUS_SUM)
        return fail(blame, SOFTFOCUS_ERROR_REDUCTION, "options.reduction");
    if (!(options->gamma >= 0.0 && isfinite(options->gamma)))
        return fail(blame, SOFTFOCUS_ERROR_OPTION, "options.gamma");
    if (!(options->alpha <= 1.0))
        return fail(blame, SOFTFOCUS_ERROR_OPTION, "options.alpha");
    if (!(options->normalizer >= 0.0 && isfinite(options->normalizer)))
        return fail(blame, SOFTFOCUS_ERROR_OPTION, "options.normalizer");
    if (!(options->label_smoothing >= 0.0 && options->label_smoothing <= 1.0))
        return fail(blame, SOFTFOCUS_ERROR_OPTION, "options.label_smoothing");
    if (options->label_smoothing != 0.0)
        return fail(blame, SOFTFOCUS_ERROR_UNSUPPORTED, "options.label_smoothing");
    if (options->class_gamma)
        return fail(blame, SOFTFOCUS_ERROR_UNSUPPORTED, "options.class_gamma");
    if (options->background_index != -1)
        return fail(blame, SOFTFOCUS_ERROR_UNSUPPORTED, "options.background_index");
    return SOFTFOCUS_OK;
}

static int weight_is_usable(float weight) { return weight >= 0.0f && weight <= FLT_MAX; }

static inline __attribute__((always_inline)) int64_t index_of_type(const void *index, softfocus_index_type type, size_t i)
{
    return type == SOFTFOCUS_I64 ? ((const int64_t *)index)[i] : ((const int32_t *)index)[i];
}

/* Whether all are in range: neither a class nor what is left to the last one has its sign set. A third of the operations of
   what follows, and ones that a compiler vectorises with SSE2. */
static inline __attribute__((always_inline)) int all_in_range(const void *index, softfocus_index_type type, size_t begin,
                                                              size_t end, size_t classes)
{
    uint64_t signs = 0, last = (uint64_t)classes - 1;
    for (size_t i = begin; i < end; i++) {
        uint64_t class = (uint64_t)index_of_type(index, type, i);
        signs |= class | (last - class);
    }
    return signs >> 63 == 0;
}

/* Whether all are in range or ignored, and how many are not ignored: without a branch but for pieces none of which is
   ignored. Inlined for each constant type. */
static inline __attribute__((always_inline)) int count_live(const void *index, softfocus_index_type type, size_t positions,
                                                            size_t classes, int64_t ignore_index, size_t *count)
{
    enum { PIECE = 1024 };
    int ignored_is_outside = (uint64_t)ignore_index >= (uint64_t)classes;
    size_t live = 0, bad = 0;
    for (size_t begin = 0, end; begin < positions; begin = end) {
        end = positions - begin < PIECE ? positions : begin + PIECE;
        if (ignored_is_outside && all_in_range(index, type, begin, end, classes)) {
            live += end - begin;
            continue;
        }
        for (size_t i = begin; i < end; i++) {
            int64_t class = index_of_type(index, type, i);
            size_t counts = class != ignore_index;
            live += counts;
            bad |= counts & ((uint64_t)class >= (uint64_t)classes);
        }
    }
    *count = live;
    return bad == 0;
}

softfocus_status softfocus_check_index(const softfocus_targets *targets, size_t positions, size_t classes,
                                       const softfocus_focal_options *options, struct softfocus_target_sums *sums,
                                       struct softfocus_blame *blame)
{
    const float *class_weight = options->class_weight;
    const void *index = targets->index;
    int sound = targets->index_type == SOFTFOCUS_I64
                    ? count_live(index, SOFTFOCUS_I64, positions, classes, options->ignore_index, &sums->count)
                    : count_live(index, SOFTFOCUS_I32, positions, classes, options->ignore_index, &sums->count);
    sums->weight = (double)sums->count;
    if (sound && !class_weight)
        return SOFTFOCUS_OK;
    sums->weight = 0.0;
    for (size_t position = 0; position < positions; position++) {
        int64_t class = index_of_type(index, targets->index_type, position);
        if (class == options->ignore_index)
            continue;
        blame->position = position;
        blame->value = class;
        if ((uint64_t)class >= (uint64_t)classes)
            return fail(blame, SOFTFOCUS_ERROR_TARGET, "targets");
        if (!class_weight)
            continue;
        if (!weight_is_usable(class_weight[class]))
            return fail(blame, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight");
        sums->weight += (double)class_weight[class];
    }
    return SOFTFOCUS_OK;
}

softfocus_status softfocus_check_class_weights(const float *class_weight, size_t classes, struct softfocus_blame *blame)
{
    for (size_t class = 0; class_weight && class < classes; class++)
        if (!weight_is_usable(class_weight[class])) {
            blame->position = class;
            blame->value = (int64_t)class;
            return fail(blame, SOFTFOCUS_ERROR_CLASS_WEIGHT, "options.class_weight");
        }
    return SOFTFOCUS_OK;
}
