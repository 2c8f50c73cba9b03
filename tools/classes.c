/* Arrays as the library sees them. See classes.h. */
#include "classes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

axis_option softfocus_parse_axis(const struct argp_state *state, const char *text)
{
    return (axis_option){true,
                         softfocus_parse_integer(state, "--axis", text, -NPY_MAX_DIMS, NPY_MAX_DIMS - 1)};
}

/* The product of shape[from .. to): false where it does not fit (npy.c lets the axes around one of 0 be as
   long as they like). */
static bool multiply(const size_t *shape, size_t from, size_t to, size_t *product)
{
    *product = 1;
    for (size_t i = from; i < to; i++)
        if (__builtin_mul_overflow(*product, shape[i], product))
            return false;
    return true;
}

static bool find_axis(const npy_header *header, axis_option option, logits *loaded)
{
    size_t ndim = header->ndim;
    if (ndim == 0)
        return softfocus_complain(loaded->path, "a single value has no axis of classes"), false;
    int64_t axis = option.given ? option.value : ndim > 1;
    if (axis < 0)
        axis += (int64_t)ndim;
    if (axis < 0 || axis >= (int64_t)ndim) {
        char shape[NPY_MAX_SHAPE_TEXT];
        softfocus_complain(loaded->path, "there is no axis %" PRId64 " in its shape %s", option.value,
                           softfocus_npy_shape_text(ndim, header->shape, shape));
        return false;
    }
    loaded->axis = (size_t)axis;
    return true;
}

bool softfocus_load_logits(const char *path, axis_option axis, logits *loaded)
{
    *loaded = (logits){.path = path};
    npy_problem problem;
    if (!softfocus_npy_load(path, &loaded->array, &problem))
        return softfocus_complain(path, "%s", problem.text), false;

    const npy_header *header = &loaded->array.header;
    if (header->dtype != NPY_F4) {
        softfocus_complain(path, "logits are of dtype f4; this file holds %s",
                           softfocus_npy_dtype_name(header->dtype));
        return false;
    }
    if (!find_axis(header, axis, loaded))
        return false;
    loaded->classes = header->shape[loaded->axis];
    if (loaded->classes == 0) {
        char shape[NPY_MAX_SHAPE_TEXT];
        softfocus_complain(path, "there are no classes on axis %zu of its shape %s", loaded->axis,
                           softfocus_npy_shape_text(header->ndim, header->shape, shape));
        return false;
    }
    size_t before, after;
    if (!multiply(header->shape, 0, loaded->axis, &before) ||
        !multiply(header->shape, loaded->axis + 1, header->ndim, &after))
        return softfocus_complain(path, "its shape is too large for this machine"), false;
    loaded->outer = header->fortran_order ? after : before;
    loaded->inner = header->fortran_order ? before : after;
    return true;
}

softfocus_tensor softfocus_logits_tensor(const logits *like, void *data)
{
    return softfocus_tensor_contiguous(data, SOFTFOCUS_F32, like->outer, like->classes, like->inner);
}

npy_header softfocus_header_like_logits(const logits *like)
{
    return like->array.header;
}

npy_header softfocus_header_of_positions(const logits *like)
{
    npy_header header = like->array.header;
    header.ndim--;
    memmove(&header.shape[like->axis], &header.shape[like->axis + 1],
            (header.ndim - like->axis) * sizeof header.shape[0]);
    header.count = like->outer * like->inner;
    header.data_bytes = header.count * sizeof(float);
    return header;
}

const char *softfocus_position_text(const logits *of, size_t position, char *text)
{
    npy_header positions = softfocus_header_of_positions(of);
    size_t index[NPY_MAX_DIMS];
    for (size_t i = 0; i < positions.ndim; i++) {
        size_t axis = positions.fortran_order ? i : positions.ndim - 1 - i; /* the fastest one first */
        index[axis] = position % positions.shape[axis];
        position /= positions.shape[axis];
    }
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < positions.ndim; i++)
        length += (size_t)snprintf(text + length, NPY_MAX_SHAPE_TEXT - length, "%s%zu", i == 0 ? "[" : ", ",
                                   index[i]);
    snprintf(text + length, NPY_MAX_SHAPE_TEXT - length, positions.ndim == 0 ? "[]" : "]");
    return text;
}

bool softfocus_set_order(npy_array *array, bool fortran_order)
{
    npy_header *header = &array->header;
    if (header->fortran_order == fortran_order)
        return true;
    size_t size = softfocus_npy_dtype_size(header->dtype);
    unsigned char *moved = malloc(header->count > 0 ? header->data_bytes : 1);
    if (moved == NULL)
        return false;

    /* Walks the destination in the order of its memory, and the source by strides. */
    size_t index[NPY_MAX_DIMS] = {0}, stride[NPY_MAX_DIMS];
    size_t extent = size;
    for (size_t i = 0; i < header->ndim; i++) {
        size_t axis = fortran_order ? header->ndim - 1 - i : i; /* the source's fastest one first */
        stride[axis] = extent;
        extent *= header->shape[axis];
    }
    const unsigned char *source = array->data;
    for (size_t done = 0; done < header->count; done++) {
        memcpy(moved + done * size, source, size);
        for (size_t i = 0; i < header->ndim; i++) {
            size_t axis = fortran_order ? i : header->ndim - 1 - i; /* the destination's fastest one first */
            source += stride[axis];
            if (++index[axis] < header->shape[axis])
                break;
            source -= stride[axis] * header->shape[axis];
            index[axis] = 0;
        }
    }
    npy_header kept = *header;
    softfocus_npy_free(array);
    kept.fortran_order = fortran_order;
    *array = (npy_array){.header = kept, .data = moved, .block = moved};
    return true;
}
