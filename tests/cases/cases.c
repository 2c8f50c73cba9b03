/* Instances of cases, whatever their kernel: see cases.h. */
#include "instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The list of kernels ------------------------------------------------------------------------------- */

static const softfocus_case_kernel *const kernels[] = {
#define KERNEL(name, arguments) &softfocus_case_##name,
#include "kernels/kernels.def"
#undef KERNEL
};

size_t softfocus_case_kernel_count(void)
{
    return sizeof kernels / sizeof *kernels;
}

const softfocus_case_kernel *softfocus_case_kernel_at(size_t i)
{
    return i < softfocus_case_kernel_count() ? kernels[i] : NULL;
}

const softfocus_case_kernel *softfocus_case_kernel_find(const char *name)
{
    for (size_t i = 0; i < softfocus_case_kernel_count(); i++)
        if (strcmp(kernels[i]->name, name) == 0)
            return kernels[i];
    return NULL;
}

/* ---- Specifications ------------------------------------------------------------------------------------ */

softfocus_case_spec softfocus_case_spec_defaults(const softfocus_case_kernel *kernel)
{
    return (softfocus_case_spec){
        .kernel = kernel,
        .outer = 64,
        .classes = 10,
        .inner = 1,
        .scale = 1.0,
        .index_type = SOFTFOCUS_I64,
        .gradient = kernel->has_gradient,
        .reduction = SOFTFOCUS_NONE,
        .gamma = 2.0,
        .alpha = 0.25,
        .seed = 1,
    };
}

size_t softfocus_case_elements(const softfocus_case_spec *spec)
{
    return spec->outer * spec->classes * spec->inner;
}

size_t softfocus_case_bytes(const softfocus_case_spec *spec)
{
    return spec->kernel->methods->bytes(spec);
}

const char *softfocus_case_describe(const softfocus_case_spec *spec, char *text, size_t size)
{
    static const char *const layouts[SOFTFOCUS_LAYOUT_COUNT] = {"contiguous", "padded",   "class_innermost",
                                                                "transposed", "reversed", "strided"};
    static const char *const logits[SOFTFOCUS_LOGITS_COUNT] = {"normal",  "equal",  "gaps",    "disjoint",
                                                               "large",   "huge",   "special", "masked",
                                                               "one_nan", "many_nan", "uniform", "tie"};
    static const char *const targets[SOFTFOCUS_TARGETS_COUNT] = {"random",  "easy",    "hard",       "soft",
                                                                 "between", "ignored", "all_ignored"};
    static const char *const reductions[] = {"none", "mean", "sum"};
    char place[64], tie[32] = "", options[256] = "";
    if (spec->logits == SOFTFOCUS_LOGITS_TIE)
        snprintf(tie, sizeof tie, " from:%zu", spec->tie);
    if (spec->guard_front)
        snprintf(place, sizeof place, "front+%zu", spec->misalignment);
    else
        snprintf(place, sizeof place, "back");
    if (spec->kernel->has_options)
        snprintf(options, sizeof options,
                 " targets:%s/%s %s gradient:%d gamma:%g alpha:%g normalizer:%g weights:%d",
                 targets[spec->targets], spec->index_type == SOFTFOCUS_I32 ? "i32" : "i64",
                 reductions[spec->reduction], spec->gradient, spec->gamma, spec->alpha, spec->normalizer,
                 spec->class_weight);
    snprintf(text, size, "%s %zux%zux%zu %s->%s in_place:%d %s logits:%s(%g)%s%s seed:%llu", spec->kernel->name,
             spec->outer, spec->classes, spec->inner, layouts[spec->input_layout],
             layouts[spec->in_place ? spec->input_layout : spec->output_layout], spec->in_place, place,
             logits[spec->logits], spec->scale, tie, options, (unsigned long long)spec->seed);
    return text;
}

/* ---- Layouts ------------------------------------------------------------------------------------------- */

static void set_strides(softfocus_tensor *tensor, ptrdiff_t outer, ptrdiff_t classes, ptrdiff_t inner)
{
    tensor->outer_stride = outer;
    tensor->class_stride = classes;
    tensor->inner_stride = inner;
}

/* A tensor without data yet. The gaps are odd, so that rows begin at every alignment. */
static softfocus_tensor lay_out(softfocus_case_layout layout, size_t outer, size_t classes, size_t inner)
{
    softfocus_tensor tensor = softfocus_tensor_contiguous(NULL, SOFTFOCUS_F32, outer, classes, inner);
    ptrdiff_t o = (ptrdiff_t)outer, c = (ptrdiff_t)classes, i = (ptrdiff_t)inner;
    switch (layout) {
    case SOFTFOCUS_LAYOUT_PADDED:
        if (inner == 1)
            set_strides(&tensor, c + 3, 1, 1);
        else
            set_strides(&tensor, c * (i + 3) + 5, i + 3, 1);
        break;
    case SOFTFOCUS_LAYOUT_CLASS_INNERMOST:
        set_strides(&tensor, c * i, 1, c);
        break;
    case SOFTFOCUS_LAYOUT_TRANSPOSED:
        set_strides(&tensor, i, o * i, 1);
        break;
    case SOFTFOCUS_LAYOUT_REVERSED:
        set_strides(&tensor, -c * i, -i, -1);
        break;
    case SOFTFOCUS_LAYOUT_STRIDED:
        set_strides(&tensor, c * (2 * i + 1) + 7, -(2 * i + 1), 2);
        break;
    case SOFTFOCUS_LAYOUT_CONTIGUOUS:
    case SOFTFOCUS_LAYOUT_COUNT:
    default:
        break;
    }
    return tensor;
}

/* Elements from the first byte of a tensor to its last. */
static size_t extent(const softfocus_tensor *tensor)
{
    if (softfocus_case_size(tensor) == 0)
        return 0;
    return 1 + (tensor->outer - 1) * (size_t)llabs(tensor->outer_stride) +
           (tensor->classes - 1) * (size_t)llabs(tensor->class_stride) +
           (tensor->inner - 1) * (size_t)llabs(tensor->inner_stride);
}

/* Elements before the one at (0, 0, 0): what the negative strides reach back. */
static size_t elements_before(const softfocus_tensor *tensor)
{
    const size_t counts[] = {tensor->outer, tensor->classes, tensor->inner};
    const ptrdiff_t strides[] = {tensor->outer_stride, tensor->class_stride, tensor->inner_stride};
    size_t before = 0;
    for (size_t axis = 0; axis < 3; axis++)
        if (strides[axis] < 0 && counts[axis] > 0)
            before += (counts[axis] - 1) * (size_t)-strides[axis];
    return before;
}

size_t softfocus_case_size(const softfocus_tensor *tensor)
{
    return tensor->outer * tensor->classes * tensor->inner;
}

softfocus_tensor softfocus_case_part(softfocus_tensor tensor, int along_inner, size_t first, size_t count)
{
    tensor.data = (float *)tensor.data +
                  (along_inner ? softfocus_case_offset(&tensor, 0, 0, first) : softfocus_case_offset(&tensor, first, 0, 0));
    if (along_inner)
        tensor.inner = count;
    else
        tensor.outer = count;
    return tensor;
}

/* ---- Arrays -------------------------------------------------------------------------------------------- */

enum {
    /* Around inputs, so that a value read from a gap shows: as float32 a NaN. */
    INPUT_PATTERN = 0xff,
    /* In and around outputs: as float32 a number (-2.9e-16), so that NaN is never there by chance. */
    OUTPUT_PATTERN = 0xa5
};

/* `alignment`: bytes of one step of spec.misalignment. */
static size_t add_array(softfocus_case *instance, size_t size, size_t alignment)
{
    softfocus_case_array *array = &instance->arrays[instance->array_count];
    array->buffer =
        softfocus_buffer_make(size, instance->spec.guard_front, instance->spec.misalignment * alignment);
    memset(array->buffer.usable, INPUT_PATTERN, array->buffer.usable_size);
    return instance->array_count++;
}

static size_t add_floats(softfocus_case *instance, softfocus_tensor tensor)
{
    size_t index = add_array(instance, extent(&tensor) * sizeof(float), sizeof(float));
    tensor.data = (float *)instance->arrays[index].buffer.data + elements_before(&tensor);
    instance->arrays[index].tensor = tensor;
    return index;
}

size_t softfocus_case_add_tensor(softfocus_case *instance, softfocus_case_layout layout)
{
    const softfocus_case_spec *spec = &instance->spec;
    return add_floats(instance, lay_out(layout, spec->outer, spec->classes, spec->inner));
}

size_t softfocus_case_add_values(softfocus_case *instance, size_t outer, size_t classes, size_t inner)
{
    return add_floats(instance, lay_out(SOFTFOCUS_LAYOUT_CONTIGUOUS, outer, classes, inner));
}

size_t softfocus_case_add_bytes(softfocus_case *instance, size_t size)
{
    return add_array(instance, size, sizeof(int64_t));
}

void softfocus_case_add_output(softfocus_case *instance, const char *name, size_t array)
{
    instance->outputs[instance->output_count++] =
        (softfocus_case_output_data){.name = name, .unit_name = "ulp", .array = array};
    if (array + 1 == instance->array_count) /* its own, not an input */
        memset(instance->arrays[array].buffer.usable, OUTPUT_PATTERN,
               instance->arrays[array].buffer.usable_size);
}

void softfocus_case_add_tensor_output(softfocus_case *instance, const char *name, const size_t *inputs)
{
    if (instance->spec.in_place == 0) {
        softfocus_case_add_output(instance, name,
                                  softfocus_case_add_tensor(instance, instance->spec.output_layout));
        return;
    }
    instance->outputs[instance->output_count++] = (softfocus_case_output_data){
        .name = name, .unit_name = "ulp", .array = inputs[instance->spec.in_place - 1]};
}

float softfocus_case_initial(const softfocus_case_array *array, size_t outer, size_t class_index,
                             size_t inner)
{
    const float *now = softfocus_case_element(array, outer, class_index, inner);
    float value;
    memcpy(&value, array->initial + ((const unsigned char *)now - (unsigned char *)array->buffer.usable),
           sizeof value);
    return value;
}

void softfocus_case_position(const softfocus_case_array *array, size_t outer, size_t inner, double *values)
{
    for (size_t c = 0; c < array->tensor.classes; c++)
        values[c] = (double)softfocus_case_initial(array, outer, c, inner);
}

/* ---- Instances ----------------------------------------------------------------------------------------- */

softfocus_case *softfocus_case_make(const softfocus_case_spec *spec)
{
    softfocus_case *instance = softfocus_allocate(1, sizeof *instance);
    *instance = (softfocus_case){.spec = *spec};
    softfocus_random random = {spec->seed};
    spec->kernel->methods->make(instance, &random);
    for (size_t a = 0; a < instance->array_count; a++) {
        softfocus_case_array *array = &instance->arrays[a];
        array->initial = softfocus_allocate(array->buffer.usable_size, 1);
        memcpy(array->initial, array->buffer.usable, array->buffer.usable_size);
    }
    return instance;
}

void softfocus_case_free(softfocus_case *instance)
{
    if (instance == NULL)
        return;
    for (size_t a = 0; a < instance->array_count; a++) {
        softfocus_buffer_free(&instance->arrays[a].buffer);
        free(instance->arrays[a].initial);
    }
    for (size_t k = 0; k < instance->output_count; k++) {
        free(instance->outputs[k].expected);
        free(instance->outputs[k].unit);
    }
    free(instance);
}

void softfocus_case_reset(softfocus_case *instance)
{
    for (size_t a = 0; a < instance->array_count; a++) {
        softfocus_case_array *array = &instance->arrays[a];
        memcpy(array->buffer.usable, array->initial, array->buffer.usable_size);
    }
}

softfocus_status softfocus_case_run(softfocus_case *instance, const softfocus_context *context)
{
    return instance->spec.kernel->methods->run(instance, context, 0, 0, instance->spec.outer);
}

softfocus_status softfocus_case_run_part(softfocus_case *instance, const softfocus_context *context,
                                         size_t first, size_t count)
{
    return instance->spec.kernel->methods->run(instance, context, instance->spec.outer == 1, first, count);
}

const softfocus_case_spec *softfocus_case_spec_of(const softfocus_case *instance)
{
    return &instance->spec;
}

static size_t output_values(const softfocus_case *instance, size_t output)
{
    return softfocus_case_size(&instance->arrays[instance->outputs[output].array].tensor);
}

size_t softfocus_case_output_size(const softfocus_case *instance)
{
    size_t size = 0;
    for (size_t k = 0; k < instance->output_count; k++)
        size += output_values(instance, k);
    return size;
}

static void gather(const softfocus_case_array *array, float *values)
{
    softfocus_tensor tensor = array->tensor;
    for (size_t o = 0; o < tensor.outer; o++)
        for (size_t c = 0; c < tensor.classes; c++) {
            const float *from = softfocus_case_element(array, o, c, 0);
            for (size_t i = 0; i < tensor.inner; i++, from += tensor.inner_stride)
                *values++ = *from;
        }
}

void softfocus_case_output(const softfocus_case *instance, float *values)
{
    for (size_t k = 0; k < instance->output_count; k++) {
        gather(&instance->arrays[instance->outputs[k].array], values);
        values += output_values(instance, k);
    }
}

/* ---- Checks -------------------------------------------------------------------------------------------- */

void softfocus_case_units_in_ulp(softfocus_case *instance, size_t output)
{
    softfocus_case_output_data *data = &instance->outputs[output];
    for (size_t e = 0; e < output_values(instance, output); e++)
        data->unit[e] = softfocus_ulp(data->expected[e]);
}

static void ask_oracle(softfocus_case *instance)
{
    if (instance->has_expected)
        return;
    for (size_t k = 0; k < instance->output_count; k++) {
        instance->outputs[k].expected = softfocus_allocate(output_values(instance, k), sizeof(double));
        instance->outputs[k].unit = softfocus_allocate(output_values(instance, k), sizeof(double));
    }
    instance->spec.kernel->methods->expect(instance);
    instance->has_expected = 1;
}

/* The first byte of an array that is not as it was, elements of outputs aside; usable_size where there is
   none. */
static size_t stray_write(const softfocus_case *instance, size_t a)
{
    const softfocus_case_array *array = &instance->arrays[a];
    const unsigned char *now = array->buffer.usable;
    size_t size = array->buffer.usable_size, at = 0;
    unsigned char *as_it_should_be = softfocus_allocate(size, 1);
    memcpy(as_it_should_be, array->initial, size);
    for (size_t k = 0; k < instance->output_count; k++)
        if (instance->outputs[k].array == a)
            for (size_t o = 0; o < array->tensor.outer; o++)
                for (size_t c = 0; c < array->tensor.classes; c++)
                    for (size_t i = 0; i < array->tensor.inner; i++) {
                        const float *element = softfocus_case_element(array, o, c, i);
                        memcpy(as_it_should_be + ((const unsigned char *)element - now), element,
                               sizeof *element);
                    }
    if (memcmp(as_it_should_be, now, size) == 0)
        at = size;
    while (at < size && as_it_should_be[at] == now[at])
        at++;
    free(as_it_should_be);
    return at;
}

int softfocus_case_has_stray_write(const softfocus_case *instance)
{
    for (size_t a = 0; a < instance->array_count; a++)
        if (stray_write(instance, a) != instance->arrays[a].buffer.usable_size)
            return 1;
    return 0;
}

static void append(softfocus_case_report *report, const char *text)
{
    size_t used = strlen(report->text);
    snprintf(report->text + used, sizeof report->text - used, "%s", text);
}

static void check_stray_writes(const softfocus_case *instance, softfocus_case_report *report)
{
    for (size_t a = 0; a < instance->array_count; a++) {
        const softfocus_buffer *buffer = &instance->arrays[a].buffer;
        size_t at = stray_write(instance, a);
        if (at == buffer->usable_size)
            continue;
        char text[160];
        ptrdiff_t offset = (unsigned char *)buffer->usable + at - (unsigned char *)buffer->data;
        snprintf(text, sizeof text, "stray write at byte %td of the %zu of array %zu; ", offset, buffer->size,
                 a);
        append(report, text);
        report->ok = 0;
    }
}

/* An exact value to compare with, where the reference is another run's: infinite by overflow is not
   infinite. */
static double reference_value(const softfocus_case_output_data *output, const float *reference,
                              size_t element)
{
    double expected = output->expected[element];
    if (reference == NULL)
        return expected;
    float value = reference[element];
    return isinf(value) && isfinite(expected) ? copysign(0x1p128, (double)value) : (double)value;
}

/* reference: one output's values from another run, or NULL for the oracle's. */
static void check_output(const softfocus_case *instance, size_t k, const float *reference, double slack,
                         softfocus_case_report *report)
{
    const softfocus_case_output_data *output = &instance->outputs[k];
    const softfocus_case_array *array = &instance->arrays[output->array];
    softfocus_case_output_report found = {
        .name = output->name, .unit = output->unit_name, .worst = -1.0, .bound = output->bound * slack};
    size_t element = 0;
    for (size_t o = 0; o < array->tensor.outer; o++)
        for (size_t c = 0; c < array->tensor.classes; c++)
            for (size_t i = 0; i < array->tensor.inner; i++, element++) {
                float got = *softfocus_case_element(array, o, c, i);
                double error = softfocus_error_in(output->unit[element], got,
                                                  reference_value(output, reference, element));
                if (error <= found.worst)
                    continue;
                found.worst = error;
                found.got = got;
                found.expected = reference_value(output, reference, element);
                found.position = o * array->tensor.inner + i;
                found.class_index = c;
            }
    if (found.worst < 0.0) /* an empty output */
        found.worst = 0.0;
    if (!(found.worst <= found.bound))
        report->ok = 0;
    char text[256];
    snprintf(text, sizeof text, "%s %.3g %s of %.3g (position %zu, class %zu: got %.9g, expected %.17g); ",
             found.name, found.worst, found.unit, found.bound, found.position, found.class_index,
             (double)found.got, found.expected);
    append(report, text);
    report->outputs[report->output_count++] = found;
}

int softfocus_case_check_against(softfocus_case *instance, const float *reference, double slack,
                                 softfocus_case_report *report)
{
    ask_oracle(instance);
    *report = (softfocus_case_report){.ok = 1};
    check_stray_writes(instance, report);
    for (size_t k = 0; k < instance->output_count; k++) {
        check_output(instance, k, reference, slack, report);
        if (reference != NULL)
            reference += output_values(instance, k);
    }
    size_t used = strlen(report->text);
    softfocus_case_describe(&instance->spec, report->text + used, sizeof report->text - used);
    return report->ok;
}

int softfocus_case_check(softfocus_case *instance, double slack, softfocus_case_report *report)
{
    return softfocus_case_check_against(instance, NULL, slack, report);
}
