/* What an instance is made of: for cases.c and for the files that describe one kernel each, nobody else. */
#ifndef SOFTFOCUS_TESTS_INSTANCE_H
#define SOFTFOCUS_TESTS_INSTANCE_H

#include "buffers.h"
#include "cases.h"
#include "oracle.h"
#include "random.h"

/* Memory that the library sees: between guard pages, with what it held at first, the unused rest of its
   pages included. */
typedef struct softfocus_case_array {
    softfocus_buffer buffer;
    unsigned char *initial;  /* buffer.usable_size bytes */
    softfocus_tensor tensor; /* float32 arrays: how the library sees it */
} softfocus_case_array;

typedef struct softfocus_case_output_data {
    const char *name, *unit_name;
    size_t array;     /* index into instance->arrays: its own, or the input's that it is in place on */
    double bound;     /* in units */
    double *expected; /* one per element in C order, by the oracle */
    double *unit;     /* the size of one unit, one per element */
} softfocus_case_output_data;

enum { SOFTFOCUS_CASE_MAX_ARRAYS = 6 };

struct softfocus_case {
    softfocus_case_spec spec;
    softfocus_case_array arrays[SOFTFOCUS_CASE_MAX_ARRAYS];
    size_t array_count;
    softfocus_case_output_data outputs[SOFTFOCUS_CASE_MAX_OUTPUTS];
    size_t output_count;
    int has_expected;
    /* Of the losses. */
    softfocus_targets targets;
    softfocus_focal_options options;
};

typedef struct softfocus_case_methods {
    void (*make)(softfocus_case *instance,
                 softfocus_random *random); /* adds the arrays, inputs filled, and the outputs */
    /* One public call, on positions [first, first + count) of outer, or of inner where `along_inner`. */
    softfocus_status (*run)(softfocus_case *instance, const softfocus_context *context, int along_inner,
                            size_t first, size_t count);
    void (*expect)(softfocus_case *instance); /* fills expected, unit and bound of every output */
    size_t (*bytes)(const softfocus_case_spec *spec);
} softfocus_case_methods;

/* softfocus_case_log_softmax and the like: one for each kernel of the library. */
#define KERNEL(name, arguments) extern const softfocus_case_kernel softfocus_case_##name;
#include "kernels/kernels.def"
#undef KERNEL

/* The shapes to time (the compiler holds the numbers against the tables in shapes.c). */
enum { SOFTFOCUS_CASE_SHAPE_COUNT = 34, SOFTFOCUS_CASE_SIGMOID_SHAPE_COUNT = 9 };
extern const softfocus_case_shape softfocus_case_shapes[SOFTFOCUS_CASE_SHAPE_COUNT];
extern const softfocus_case_shape softfocus_case_sigmoid_shapes[SOFTFOCUS_CASE_SIGMOID_SHAPE_COUNT];

/* ---- For make (cases.c) -------------------------------------------------------------------------------- */

/* Each adds an array and returns its index. */
size_t softfocus_case_add_tensor(softfocus_case *instance, softfocus_case_layout layout);
size_t softfocus_case_add_values(softfocus_case *instance, size_t outer, size_t classes,
                                 size_t inner); /* C order, f32 */
size_t softfocus_case_add_bytes(softfocus_case *instance, size_t size);
/* Adds the tensor output, in place where the spec says so: on `inputs[in_place - 1]`. */
void softfocus_case_add_tensor_output(softfocus_case *instance, const char *name, const size_t *inputs);
void softfocus_case_add_output(softfocus_case *instance, const char *name, size_t array);

/* ---- Values (values.c) --------------------------------------------------------------------------------- */

void softfocus_case_fill_logits(softfocus_case *instance, size_t array, softfocus_random *random);

/* A NaN of random bits, signalling ones among them. */
float softfocus_case_any_nan(softfocus_random *random);
/* Class indices for the logits of `array`. ignore_index is the one to use where positions are to be
   ignored. */
void softfocus_case_fill_index(const softfocus_case *instance, size_t logits, void *index,
                               int64_t ignore_index, softfocus_random *random);
void softfocus_case_fill_dense(softfocus_case *instance, size_t logits, size_t array,
                               softfocus_random *random);
/* Class weights, as a new array; the options then point to it. */
void softfocus_case_add_class_weight(softfocus_case *instance, softfocus_random *random);
softfocus_focal_options softfocus_case_options(const softfocus_case_spec *spec);

/* ---- For expect ---------------------------------------------------------------------------------------- */

/* How far an element is from the one at (0, 0, 0). Inline: calls of it were a tenth of all that tests do. */
static inline ptrdiff_t softfocus_case_offset(const softfocus_tensor *tensor, size_t outer, size_t class_index,
                                              size_t inner)
{
    return (ptrdiff_t)outer * tensor->outer_stride + (ptrdiff_t)class_index * tensor->class_stride +
           (ptrdiff_t)inner * tensor->inner_stride;
}

/* The address in `array` of an element, for what it holds now. */
static inline float *softfocus_case_element(const softfocus_case_array *array, size_t outer, size_t class_index,
                                            size_t inner)
{
    return (float *)array->tensor.data + softfocus_case_offset(&array->tensor, outer, class_index, inner);
}

/* The same for what it held at first: what the inputs are to the oracle. */
float softfocus_case_initial(const softfocus_case_array *array, size_t outer, size_t class_index,
                             size_t inner);
/* One position's classes, as they were at first. */
void softfocus_case_position(const softfocus_case_array *array, size_t outer, size_t inner, double *values);
/* The tensor cut down to some positions. */
softfocus_tensor softfocus_case_part(softfocus_tensor tensor, int along_inner, size_t first, size_t count);
/* Units of one ulp for each element of an output, from its expected values. */
void softfocus_case_units_in_ulp(softfocus_case *instance, size_t output);
size_t softfocus_case_size(const softfocus_tensor *tensor);

#endif
