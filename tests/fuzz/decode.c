/* From a fuzzer's bytes to a call: see call.h. Each choice takes a byte or two from the front, so that a mutation of one
 * byte changes one thing; what is left at the end are the values of the tensors, taken round and round. */
#include "call.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/float_environment.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
    MARGIN = 256,          /* bytes looked at around what a call may touch */
    GAP_PATTERN = 0xff,    /* as float32 a NaN: a value read from a gap shows */
    OUTPUT_PATTERN = 0xa5  /* as float32 a number: NaN is never there by chance */
};

typedef struct reader {
    const unsigned char *at;
    size_t left;
} reader;

static unsigned take(reader *from)
{
    if (from->left == 0)
        return 0;
    from->left--;
    return *from->at++;
}

static unsigned take_two(reader *from)
{
    unsigned low = take(from);
    return low | take(from) << 8;
}

/* True once in `odds`, for a byte that is not 0: short inputs are ordinary. */
static int rarely(reader *from, unsigned odds)
{
    return take(from) % odds == odds - 1;
}

unsigned char *softfocus_fuzz_arena(enum softfocus_fuzz_place place)
{
    static softfocus_buffer arenas[PLACES];
    if (arenas[place].data == NULL)
        arenas[place] = softfocus_buffer_make(ARENA_SIZE, 0, 0);
    return arenas[place].data;
}

/* ---- Shapes and strides ------------------------------------------------------------------------------------------ */

static const uint64_t extremes[] = {0,          1,          2,          3,          UINT64_C(1) << 31,
                                    UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_C(1) << 59,
                                    UINT64_C(1) << 60, UINT64_C(1) << 61, UINT64_C(1) << 62, INT64_MAX,
                                    UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX, 16};

static void take_shape(reader *from, softfocus_tensor *tensor)
{
    switch (take(from) % 16) {
    case 5: /* with axes of 0 */
        tensor->outer = take(from) % 9;
        tensor->classes = take(from);
        tensor->inner = take(from) % 4;
        break;
    case 6: /* large */
        tensor->outer = 1 + take(from);
        tensor->classes = 1 + take_two(from) % 3000;
        tensor->inner = 1 + take(from) % 3;
        break;
    case 7: /* sizes that overflow */
        tensor->outer = extremes[take(from) % COUNT(extremes)];
        tensor->classes = extremes[take(from) % COUNT(extremes)];
        tensor->inner = extremes[take(from) % COUNT(extremes)];
        return;
    case 4: /* a matrix */
    case 8:
    case 9:
        tensor->outer = 1 + take(from) % 16;
        tensor->classes = 1 + take(from);
        tensor->inner = 1;
        break;
    default:
        tensor->outer = 1 + take(from) % 4;
        tensor->classes = 1 + take(from) % 70;
        tensor->inner = 1 + take(from) % 20;
        break;
    }
    size_t below = tensor->classes * tensor->inner;
    if (below != 0 && tensor->outer > ELEMENTS_MAX / below)
        tensor->outer = ELEMENTS_MAX / below; /* below is at most 9000 */
}

/* The axes in some order, each with a gap above it, and in some direction: strides that fit. */
static void take_permuted(reader *from, softfocus_tensor *tensor)
{
    static const unsigned char orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const size_t lengths[3] = {tensor->outer, tensor->classes, tensor->inner};
    ptrdiff_t *strides[3] = {&tensor->outer_stride, &tensor->class_stride, &tensor->inner_stride};
    const unsigned char *order = orders[take(from) % 6];
    unsigned gaps = take(from), signs = take(from);
    size_t below = 1 + (gaps >> 6 == 3); /* sometimes none of the strides is 1 */
    for (size_t i = 3; i-- > 0; gaps >>= 2) {
        size_t axis = order[i];
        *strides[axis] = (ptrdiff_t)(signs >> axis & 1 ? 0 - below : below); /* shapes that overflow: any value */
        below = below * lengths[axis] + gaps % 4;
    }
}

static void take_strides(reader *from, softfocus_tensor *tensor, const softfocus_tensor *like)
{
    ptrdiff_t *strides[3] = {&tensor->outer_stride, &tensor->class_stride, &tensor->inner_stride};
    *tensor = softfocus_tensor_contiguous(NULL, tensor->dtype, tensor->outer, tensor->classes, tensor->inner);
    switch (take(from) % 8) {
    case 1:
    case 2:
    case 3:
        take_permuted(from, tensor);
        break;
    case 4:
    case 5:
        tensor->outer_stride = like->outer_stride;
        tensor->class_stride = like->class_stride;
        tensor->inner_stride = like->inner_stride;
        break;
    case 6:
        for (size_t axis = 0; axis < 3; axis++)
            *strides[axis] = (signed char)take(from);
        break;
    case 7:
        for (size_t axis = 0; axis < 3; axis++)
            *strides[axis] = (ptrdiff_t)extremes[take(from) % COUNT(extremes)];
        break;
    default:
        break;
    }
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

/* Where `size` bytes go: an arena of their own, or, sometimes, another's; at its end, its start or anywhere in it. */
static unsigned char *take_place(reader *from, enum softfocus_fuzz_place place, size_t size, size_t alignment)
{
    unsigned char *arena = softfocus_fuzz_arena(place);
    unsigned way = take(from);
    if (way % 8 == 7)
        arena = softfocus_fuzz_arena((enum softfocus_fuzz_place)(take(from) % PLACES));
    size_t room = size < ARENA_SIZE ? ARENA_SIZE - size : 0;
    switch (way / 8 % 4) {
    case 1:
        return arena + (take(from) % 32 * alignment < room ? take(from) % 32 * alignment : 0);
    case 2:
        return arena + (room == 0 ? 0 : take_two(from) * alignment % room / alignment * alignment);
    default:
        return arena + room / alignment * alignment;
    }
}

static void place_tensor(reader *from, softfocus_fuzz_call *call, enum softfocus_fuzz_place place)
{
    softfocus_tensor *tensor = &call->tensors[place];
    ptrdiff_t lowest = 0, highest = 0;
    if (softfocus_fuzz_shape_fits(tensor) && softfocus_fuzz_strides_fit(tensor))
        softfocus_fuzz_reach(tensor, &lowest, &highest);
    size_t extent = (size_t)(highest - lowest) + 1;
    if (extent > ARENA_SIZE / sizeof(float)) { /* refused, or not called at all */
        extent = 1;
        lowest = 0;
    }
    tensor->data = (float *)take_place(from, place, extent * sizeof(float), sizeof(float)) - lowest;
}

static void take_tensors(reader *from, softfocus_fuzz_call *call)
{
    softfocus_tensor shape = {.dtype = SOFTFOCUS_F32};
    take_shape(from, &shape);
    for (enum softfocus_fuzz_place place = INPUT; place < TENSORS; place++) {
        softfocus_tensor *tensor = &call->tensors[place];
        unsigned oddities = take(from);
        *tensor = shape;
        if (place != INPUT && oddities % 16 == 15)
            *(oddities & 16 ? &tensor->outer : oddities & 32 ? &tensor->classes : &tensor->inner) += 1;
        take_strides(from, tensor, &call->tensors[INPUT]);
        if (oddities % 16 == 14)
            tensor->dtype = (softfocus_dtype)(oddities >> 4);
        place_tensor(from, call, place);
        if (place == OUTPUT && oddities % 4 == 1) /* in place */
            *tensor = call->tensors[oddities & 4 && call->function == LOG_SOFTMAX_BACKWARD ? SECOND : INPUT];
        if (oddities % 16 == 13)
            tensor->data = NULL;
        call->given[place] = oddities % 32 != 12 && (place != OUTPUT || !softfocus_fuzz_is_loss(call) || oddities % 4 != 2);
    }
}

/* ---- Targets, options, context ----------------------------------------------------------------------------------- */

static void take_targets(reader *from, softfocus_fuzz_call *call)
{
    unsigned way = take(from);
    const softfocus_tensor *logits = &call->tensors[INPUT];
    size_t positions = softfocus_fuzz_shape_fits(logits) ? logits->outer * logits->inner : 0;
    softfocus_index_type type = way & 1 ? SOFTFOCUS_I32 : SOFTFOCUS_I64;
    size_t size = type == SOFTFOCUS_I32 ? sizeof(int32_t) : sizeof(int64_t);
    void *index = take_place(from, INDEX, positions <= ELEMENTS_MAX ? positions * size : 0, size);
    int dense = call->function == SIGMOID_FOCAL_LOSS;
    if (way % 32 == 30)
        dense = !dense;
    call->targets = dense ? softfocus_dense_targets(call->tensors[SECOND]) : softfocus_index_targets(index, type);
    if (way % 32 == 29) {
        call->targets.index = index;
        call->targets.dense = call->tensors[SECOND];
    }
    if (way % 32 == 28)
        call->targets.index = call->targets.dense.data = NULL;
    if (way % 32 == 27)
        call->targets.index_type = (softfocus_index_type)way;
    if (way % 32 == 26)
        call->targets.size += way % 2 == 0 ? 8 : (size_t)-8;
    call->targets_given = way % 64 != 25;
}

static double take_double(reader *from)
{
    unsigned char bytes[sizeof(double)];
    double value;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)take(from);
    memcpy(&value, bytes, sizeof value);
    return value;
}

static double take_number(reader *from, const double *usual, size_t count)
{
    unsigned way = take(from);
    return way % 16 == 15 ? take_double(from) : way % 16 == 14 ? take(from) / 16.0 : usual[way % count];
}

static void take_options(reader *from, softfocus_fuzz_call *call)
{
    static const double gammas[] = {2.0, 0.0, 1.0, 0.5, 1.5, 3.0, 5.0}, alphas[] = {0.25, 1.0, -1.0, 0.0, 0.75};
    static const double normalizers[] = {0.0, 0.0, 0.0, 3.0, 1e-3};
    softfocus_focal_options *options = &call->options;
    *options = softfocus_focal_defaults();
    options->reduction = (softfocus_reduction)(take(from) % 3);
    options->gamma = take_number(from, gammas, COUNT(gammas));
    options->alpha = take_number(from, alphas, COUNT(alphas));
    options->normalizer = take_number(from, normalizers, COUNT(normalizers));
    unsigned oddities = take(from);
    if (oddities & 1)
        options->ignore_index = (signed char)take(from);
    if (oddities & 2) {
        size_t classes = call->tensors[INPUT].classes;
        options->class_weight = (float *)take_place(from, WEIGHT, classes <= ELEMENTS_MAX ? classes * sizeof(float) : 0, 4);
    }
    switch (oddities >> 2) {
    case 63:
        options->label_smoothing = take_double(from);
        break;
    case 62:
        options->class_gamma = (float *)softfocus_fuzz_arena(WEIGHT);
        break;
    case 61:
        options->background_index = (signed char)take(from);
        break;
    case 60:
        options->reduction = (softfocus_reduction)take(from);
        break;
    case 59:
        options->size = take(from);
        break;
    case 58:
        options->ignore_index = (int64_t)extremes[take(from) % COUNT(extremes)];
        break;
    default:
        break;
    }
}

static void take_context(reader *from, softfocus_fuzz_call *call)
{
    call->context = softfocus_context_defaults();
    call->error_size = sizeof(softfocus_error);
    unsigned way = take(from);
    call->parallel = way % 8 == 1;
    call->float_mode = way / 8 % 8 <= COUNT(softfocus_float_modes) ? way / 8 % 8 : 0;
    if (rarely(from, 64))
        call->context.size = take(from);
    if (rarely(from, 64))
        call->error_size = take(from);
    call->bogus_isa = rarely(from, 64);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* What is left of the bytes, round and round. */
static unsigned next_byte(reader *values, size_t *at)
{
    return values->left == 0 ? 0 : values->at[(*at)++ % values->left];
}

static float next_float(reader *values, size_t *at, unsigned way)
{
    static const float specials[] = {0.0f,   -0.0f,  1.0f,      -1.0f,     NAN,     INFINITY, -INFINITY, 3e38f,
                                     -3e38f, 1e8f,   -1e8f,     FLT_MIN,   1e-45f,  88.0f,    -88.0f,    -104.5f,
                                     2e4f,   -2e4f,  16.7f,     1.8e5f,    -2e5f,   0.5f,     -17.3f,    FLT_EPSILON};
    uint32_t bits = next_byte(values, at);
    float value;
    switch (way) {
    case 0:
        return (float)(signed char)bits * 0.25f;
    case 1:
        return bits % 4 == 3 ? specials[bits / 4 % COUNT(specials)] : (float)(signed char)bits;
    case 2: /* the upper half of a float */
        bits = bits << 16 | (uint32_t)next_byte(values, at) << 24;
        break;
    default:
        for (unsigned i = 1; i < 4; i++)
            bits |= (uint32_t)next_byte(values, at) << 8 * i;
        break;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void fill_tensor(reader *values, size_t *at, const softfocus_fuzz_call *call, enum softfocus_fuzz_place place,
                        unsigned way)
{
    const softfocus_tensor *tensor = &call->tensors[place];
    if (!softfocus_fuzz_is_backed(call, place))
        return;
    for (size_t o = 0; o < tensor->outer; o++)
        for (size_t c = 0; c < tensor->classes; c++)
            for (size_t i = 0; i < tensor->inner; i++) {
                float value = next_float(values, at, way % 4);
                if (place == INPUT && call->function == LOG_SOFTMAX_BACKWARD)
                    value = -fabsf(value); /* log-probabilities */
                if (place == SECOND && call->function == SIGMOID_FOCAL_LOSS && way & 4)
                    value = isnan(value) ? value : value > 0.0f ? 1.0f : 0.0f;
                else if (place == SECOND && call->function == SIGMOID_FOCAL_LOSS && way & 8)
                    value = value - floorf(value); /* in [0, 1], or NaN */
                *softfocus_fuzz_element(tensor, o, c, i) = value;
            }
}

static void fill_index(reader *values, size_t *at, const softfocus_fuzz_call *call, unsigned way)
{
    const softfocus_tensor *logits = &call->tensors[INPUT];
    if (call->targets.index == NULL || !softfocus_fuzz_shape_fits(logits) || logits->outer * logits->inner > ELEMENTS_MAX)
        return;
    for (size_t i = 0; i < logits->outer * logits->inner; i++) {
        unsigned two = next_byte(values, at) | next_byte(values, at) << 8;
        int64_t value = logits->classes == 0 ? 0 : (int64_t)(two % logits->classes);
        if (way % 4 == 1 && two % 3 == 0)
            value = call->options.ignore_index;
        if (way % 4 == 2 && two % 64 == 63)
            value = (int64_t)extremes[two / 64 % COUNT(extremes)];
        if (way % 4 == 3)
            value = (int16_t)two;
        if (call->targets.index_type == SOFTFOCUS_I64)
            memcpy((int64_t *)(uintptr_t)call->targets.index + i, &value, sizeof value);
        else
            memcpy((int32_t *)(uintptr_t)call->targets.index + i, &(int32_t){(int32_t)value}, sizeof(int32_t));
    }
}

static void fill_weights(reader *values, size_t *at, const softfocus_fuzz_call *call, unsigned way)
{
    float *weights = (float *)(uintptr_t)call->options.class_weight;
    size_t classes = call->tensors[INPUT].classes;
    for (size_t c = 0; weights != NULL && classes <= ELEMENTS_MAX && c < classes; c++)
        weights[c] = way % 4 == 0 ? (float)next_byte(values, at) / 32.0f
                     : way % 4 == 1 ? fabsf(next_float(values, at, 2))
                                    : next_float(values, at, way % 4);
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* Counts [data, data + size) among what the call may touch. */
static void touch(softfocus_fuzz_call *call, const void *data, size_t size)
{
    for (enum softfocus_fuzz_place place = INPUT; place < PLACES; place++) {
        uintptr_t arena = (uintptr_t)softfocus_fuzz_arena(place), at = (uintptr_t)data;
        if (at < arena || at - arena > ARENA_SIZE)
            continue;
        size_t first = at - arena > MARGIN ? at - arena - MARGIN : 0;
        size_t last = size + MARGIN < ARENA_SIZE - (at - arena) ? at - arena + size + MARGIN : ARENA_SIZE;
        if (call->first[place] == call->last[place])
            call->first[place] = first;
        call->first[place] = first < call->first[place] ? first : call->first[place];
        call->last[place] = last > call->last[place] ? last : call->last[place];
    }
}

static void touch_all(softfocus_fuzz_call *call)
{
    const softfocus_tensor *logits = &call->tensors[INPUT];
    for (enum softfocus_fuzz_place place = INPUT; place < TENSORS; place++) {
        ptrdiff_t lowest = 0, highest = 0;
        if (!softfocus_fuzz_is_backed(call, place))
            continue;
        softfocus_fuzz_reach(&call->tensors[place], &lowest, &highest);
        touch(call, (float *)call->tensors[place].data + lowest, (size_t)(highest - lowest + 1) * sizeof(float));
    }
    size_t positions = softfocus_fuzz_shape_fits(logits) ? logits->outer * logits->inner : 0;
    if (call->targets.index != NULL && positions <= ELEMENTS_MAX)
        touch(call, call->targets.index, positions * sizeof(int64_t));
    if (call->options.class_weight != NULL && logits->classes <= ELEMENTS_MAX)
        touch(call, call->options.class_weight, logits->classes * sizeof(float));
    if (call->loss != NULL && softfocus_fuzz_loss_values(call) <= ELEMENTS_MAX)
        touch(call, call->loss, softfocus_fuzz_loss_values(call) * sizeof(float));
}

static void fill(reader *from, softfocus_fuzz_call *call)
{
    unsigned ways[5];
    size_t at = 0;
    for (size_t i = 0; i < COUNT(ways); i++)
        ways[i] = take(from);
    touch_all(call);
    for (enum softfocus_fuzz_place place = INPUT; place < PLACES; place++)
        memset(softfocus_fuzz_arena(place) + call->first[place], GAP_PATTERN, call->last[place] - call->first[place]);
    if (softfocus_fuzz_is_backed(call, OUTPUT))
        for (size_t o = 0; o < call->tensors[OUTPUT].outer; o++)
            for (size_t c = 0; c < call->tensors[OUTPUT].classes; c++)
                for (size_t i = 0; i < call->tensors[OUTPUT].inner; i++)
                    memset(softfocus_fuzz_element(&call->tensors[OUTPUT], o, c, i), OUTPUT_PATTERN, sizeof(float));
    if (call->loss != NULL && softfocus_fuzz_loss_values(call) <= ELEMENTS_MAX)
        memset(call->loss, OUTPUT_PATTERN, softfocus_fuzz_loss_values(call) * sizeof(float));
    fill_tensor(from, &at, call, INPUT, ways[0]);
    if (call->function == LOG_SOFTMAX_BACKWARD || call->function == SIGMOID_FOCAL_LOSS)
        fill_tensor(from, &at, call, SECOND, ways[1]);
    if (softfocus_fuzz_is_loss(call)) {
        fill_index(from, &at, call, ways[2]);
        fill_weights(from, &at, call, ways[3]);
    }
}

int softfocus_fuzz_decode(softfocus_fuzz_call *call, const unsigned char *bytes, size_t size)
{
    reader from = {bytes, size};
    memset(call, 0, sizeof *call);
    call->function = (enum softfocus_fuzz_function)(take(&from) % FUNCTIONS);
    take_context(&from, call);
    take_tensors(&from, call);
    call->options = softfocus_focal_defaults();
    if (softfocus_fuzz_is_loss(call)) {
        take_options(&from, call);
        take_targets(&from, call);
        size_t values = softfocus_fuzz_loss_values(call);
        call->loss = (float *)take_place(&from, LOSS, values <= ELEMENTS_MAX ? values * sizeof(float) : 0, sizeof(float));
        if (rarely(&from, 64))
            call->loss = NULL;
    }
    fill(&from, call);
    softfocus_fuzz_verdict verdict = softfocus_fuzz_judge(call);
    /* A call that is right in all that can be checked without reading memory, or may be, must have its memory. */
    unsigned excused = 1u << SOFTFOCUS_ERROR_TARGET | 1u << SOFTFOCUS_ERROR_CLASS_WEIGHT;
    const softfocus_tensor *shape = &call->tensors[OUTPUT]; /* or any other: verdict.c compares tensors of one shape */
    if (softfocus_fuzz_shape_fits(shape) && shape->outer * shape->classes * shape->inner > ELEMENTS_MAX)
        excused |= 1u << SOFTFOCUS_ERROR_OVERLAP;
    if (verdict.statuses & ~excused)
        return 1;
    for (enum softfocus_fuzz_place place = INPUT; place < TENSORS; place++) {
        int used = call->given[place] && (place != SECOND || call->function == LOG_SOFTMAX_BACKWARD);
        if (place == SECOND && call->function == SIGMOID_FOCAL_LOSS)
            used = 1; /* dense targets, which are no argument of their own */
        int empty = call->tensors[place].outer == 0 || call->tensors[place].inner == 0;
        if (used && !empty && !softfocus_fuzz_is_backed(call, place))
            return 0;
    }
    return call->options.class_weight == NULL || call->tensors[INPUT].classes <= ELEMENTS_MAX;
}
