/* Fuzzes the public functions: any shape, strides, overlap, options and values, on every ISA of this CPU.
 *
 * What verdict.c calls wrong must be refused with a status that names something wrong, and leave all memory as it was; all
 * else must succeed, write its outputs and nothing else, and be as near to the oracle of tests/cases as the documentation
 * says. A finding is a message and abort(). meson.build says how to run it. */
#include "call.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instance.h"
#include "tests/float_environment.h"
#include "tests/parallel.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const function_names[FUNCTIONS] = {"log_softmax", "log_softmax_backward", "softmax_focal_loss",
                                                      "sigmoid_focal_loss"};

/* ---- Findings ---------------------------------------------------------------------------------------------------- */

static void describe_tensor(const softfocus_fuzz_call *call, enum softfocus_fuzz_place place, const char *name)
{
    const softfocus_tensor *t = &call->tensors[place];
    fprintf(stderr, "  %s%s %p dtype %d, %zu x %zu x %zu, strides %td %td %td\n", name,
            call->given[place] ? "" : " (NULL is passed)", t->data, (int)t->dtype, t->outer, t->classes, t->inner,
            t->outer_stride, t->class_stride, t->inner_stride);
}

static _Noreturn void found(const softfocus_fuzz_call *call, const softfocus_isa *isa, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "FOUND in %s on %s: ", function_names[call->function], softfocus_isa_name(isa));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    describe_tensor(call, INPUT, "input");
    describe_tensor(call, SECOND, "second");
    describe_tensor(call, OUTPUT, "output");
    if (softfocus_fuzz_is_loss(call))
        fprintf(stderr, "  loss %p index %p weights %p reduction %d gamma %a alpha %a normalizer %a ignore_index %lld\n",
                (void *)call->loss, call->targets.index, (const void *)call->options.class_weight,
                (int)call->options.reduction, call->options.gamma, call->options.alpha, call->options.normalizer,
                (long long)call->options.ignore_index);
    abort();
}

/* ---- The call ---------------------------------------------------------------------------------------------------- */

static const softfocus_tensor *given(const softfocus_fuzz_call *call, enum softfocus_fuzz_place place)
{
    return call->given[place] ? &call->tensors[place] : NULL;
}

static softfocus_status run(const softfocus_fuzz_call *call, const softfocus_context *context)
{
    const softfocus_targets *targets = call->targets_given ? &call->targets : NULL;
    switch (call->function) {
    case LOG_SOFTMAX:
        return softfocus_log_softmax(context, given(call, INPUT), given(call, OUTPUT));
    case LOG_SOFTMAX_BACKWARD:
        return softfocus_log_softmax_backward(context, given(call, INPUT), given(call, SECOND), given(call, OUTPUT));
    case SOFTMAX_FOCAL_LOSS:
        return softfocus_softmax_focal_loss(context, given(call, INPUT), targets, &call->options, call->loss,
                                            given(call, OUTPUT));
    case SIGMOID_FOCAL_LOSS:
    case FUNCTIONS:
    default:
        return softfocus_sigmoid_focal_loss(context, given(call, INPUT), targets, &call->options, call->loss,
                                            given(call, OUTPUT));
    }
}

/* In the caller's floating-point mode that the call asks for, which must still be set afterwards. */
static softfocus_status run_in_mode(const softfocus_fuzz_call *call, const softfocus_context *context)
{
    uint64_t before = softfocus_float_control();
    uint64_t mode = before | (call->float_mode ? softfocus_float_modes[call->float_mode - 1].bits : 0);
    softfocus_float_set_control(mode);
    softfocus_status status = run(call, context);
    uint64_t after = softfocus_float_control();
    softfocus_float_set_control(before);
    if (after != mode)
        found(call, context->isa, "the floating-point mode was %#llx and is %#llx", (unsigned long long)mode,
              (unsigned long long)after);
    return status;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* What the arenas held before the call, and with its outputs written. Only what the call may touch is kept up. */
static _Alignas(64) unsigned char before[PLACES][ARENA_SIZE], after[PLACES][ARENA_SIZE];

static void keep(const softfocus_fuzz_call *call, unsigned char copies[][ARENA_SIZE])
{
    for (size_t p = 0; p < PLACES; p++)
        memcpy(copies[p] + call->first[p], softfocus_fuzz_arena((enum softfocus_fuzz_place)p) + call->first[p],
               call->last[p] - call->first[p]);
}

static void restore(const softfocus_fuzz_call *call)
{
    for (size_t p = 0; p < PLACES; p++)
        memcpy(softfocus_fuzz_arena((enum softfocus_fuzz_place)p) + call->first[p], before[p] + call->first[p],
               call->last[p] - call->first[p]);
}

static void expect_memory(const softfocus_fuzz_call *call, const softfocus_isa *isa, unsigned char copies[][ARENA_SIZE],
                          const char *what)
{
    for (size_t p = 0; p < PLACES; p++) {
        const unsigned char *arena = softfocus_fuzz_arena((enum softfocus_fuzz_place)p);
        size_t size = call->last[p] - call->first[p];
        if (memcmp(arena + call->first[p], copies[p] + call->first[p], size) == 0)
            continue;
        for (size_t b = call->first[p]; b < call->last[p]; b++)
            if (arena[b] != copies[p][b])
                found(call, isa, "%s at byte %zu of arena %zu (%p)", what, b, p, (const void *)(arena + b));
    }
}

/* Where in `after` a piece of memory has its copy. */
static unsigned char *copy_of(const void *data)
{
    for (size_t p = 0; p < PLACES; p++) {
        uintptr_t arena = (uintptr_t)softfocus_fuzz_arena((enum softfocus_fuzz_place)p), at = (uintptr_t)data;
        if (at >= arena && at - arena <= ARENA_SIZE)
            return after[p] + (at - arena);
    }
    abort(); /* decode.c puts nothing elsewhere */
}

/* Takes over into `after` what the outputs may have written. */
static void allow_outputs(const softfocus_fuzz_call *call)
{
    if (softfocus_fuzz_is_loss(call) && softfocus_fuzz_loss_values(call) > 0)
        memcpy(copy_of(call->loss), call->loss, softfocus_fuzz_loss_values(call) * sizeof(float));
    if (!call->given[OUTPUT] || !softfocus_fuzz_is_backed(call, OUTPUT)) /* none, or empty */
        return;
    softfocus_tensor output = call->tensors[OUTPUT], copy = output;
    copy.data = copy_of(output.data);
    for (size_t o = 0; o < output.outer; o++)
        for (size_t c = 0; c < output.classes; c++)
            for (size_t i = 0; i < output.inner; i++)
                *softfocus_fuzz_element(&copy, o, c, i) = *softfocus_fuzz_element(&output, o, c, i);
}

/* ---- The oracle -------------------------------------------------------------------------------------------------- */

/* In C order, into values, which has room. */
static size_t gather(const softfocus_tensor *tensor, float *values)
{
    size_t count = 0;
    for (size_t o = 0; o < tensor->outer; o++)
        for (size_t c = 0; c < tensor->classes; c++)
            for (size_t i = 0; i < tensor->inner; i++)
                values[count++] = *softfocus_fuzz_element(tensor, o, c, i);
    return count;
}

static float gathered[ELEMENTS_MAX], also_gathered[ELEMENTS_MAX];

/* Values for which no bound is documented: what they give is not compared, only where it is written. */

/* Weights beyond 2^30. */
static int weights_have_bound(const softfocus_fuzz_call *call)
{
    const float *weights = call->options.class_weight;
    for (size_t c = 0; weights != NULL && c < call->tensors[INPUT].classes; c++)
        if (!(weights[c] <= 0x1p30f))
            return 0;
    return 1;
}

/* In the sigmoid loss, weights of less than 2^-100, with alpha or 1 - alpha in them, but for 0: the product is a float32 on
   the way, which may be subnormal. */
static int factors_have_bound(const softfocus_fuzz_call *call)
{
    const float *weights = call->options.class_weight;
    double alpha = call->options.alpha, factors[2] = {alpha < 0.0 ? 1.0 : alpha, alpha < 0.0 ? 1.0 : 1.0 - alpha};
    for (size_t c = 0; c < call->tensors[INPUT].classes; c++)
        for (size_t f = 0; f < 2; f++) {
            double factor = factors[f] * (weights == NULL ? 1.0 : (double)weights[c]);
            if (factor > 0.0 && factor < 0x1p-100)
                return 0;
        }
    return 1;
}

/* Targets outside [0, 1]. */
static int targets_have_bound(const float *targets, size_t count)
{
    for (size_t e = 0; e < count; e++)
        if (targets[e] < 0.0f || targets[e] > 1.0f)
            return 0;
    return 1;
}

/* Gradients from above whose sum is beyond float32; what is no log-probability (a tensor that overlaps another's gaps); and
   probabilities below float32's normal range that gradients of more than 1 in sum lift back into it. */
static int gradients_have_bound(const float *log_probs, const float *gradients, size_t count)
{
    float lowest = 0.0f;
    double sum = 0.0;
    for (size_t e = 0; e < count; e++) {
        if (log_probs[e] > 0.0f)
            return 0;
        lowest = log_probs[e] < lowest ? log_probs[e] : lowest;
        sum += isnan(gradients[e]) ? 0.0 : fabs((double)gradients[e]);
    }
    return sum <= 1.0 || (lowest >= -87.0f && sum <= (double)FLT_MAX);
}

/* What a sum of losses is divided by: as documented, here with no care for rounding. */
static double divisor(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *logits = &call->tensors[INPUT];
    const softfocus_focal_options *options = &call->options;
    size_t positions = logits->outer * logits->inner;
    double sum = 0.0;
    if (options->reduction == SOFTFOCUS_SUM || options->normalizer > 0.0)
        return options->reduction == SOFTFOCUS_SUM ? 1.0 : options->normalizer;
    if (call->function == SIGMOID_FOCAL_LOSS)
        return (double)(positions * logits->classes);
    for (size_t i = 0; i < positions; i++) {
        int64_t target = call->targets.index_type == SOFTFOCUS_I64 ? ((const int64_t *)call->targets.index)[i]
                                                                   : ((const int32_t *)call->targets.index)[i];
        if (target != options->ignore_index)
            sum += options->class_weight == NULL ? 1.0 : (double)options->class_weight[target];
    }
    return sum;
}

/* NaN and nothing to average at once: gradients of NaN or of 0, which the documentation leaves open. */
static int is_undecided(const softfocus_fuzz_call *call)
{
    int gives_nan = 0;
    for (size_t e = gather(&call->tensors[INPUT], gathered); e-- > 0;)
        gives_nan |= !isfinite(gathered[e]); /* positive infinity and negative infinity alone give NaN */
    return call->options.reduction == SOFTFOCUS_MEAN && gives_nan && divisor(call) == 0.0;
}

static int has_bound(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *input = &call->tensors[INPUT];
    if (input->outer > ELEMENTS_MAX || input->classes > ELEMENTS_MAX || input->inner > ELEMENTS_MAX)
        return 0; /* empty, since it was not refused: too long for an instance, which has memory per class */
    if (call->options.normalizer > 0.0 && call->options.normalizer < 0x1p-60)
        return 0; /* its reciprocal lifts what is lost below float32's range into it; below 1e-290 the oracle overflows */
    if (call->function == SOFTMAX_FOCAL_LOSS && (call->options.gamma > 0x1p20 || is_undecided(call)))
        return 0; /* 4 + 2 gamma ulp leave not one digit */
    switch (call->function) {
    case LOG_SOFTMAX_BACKWARD:
        gather(&call->tensors[INPUT], gathered);
        return gradients_have_bound(gathered, also_gathered, gather(&call->tensors[SECOND], also_gathered));
    case SIGMOID_FOCAL_LOSS:
        return weights_have_bound(call) && factors_have_bound(call) &&
               targets_have_bound(gathered, gather(&call->tensors[SECOND], gathered));
    case LOG_SOFTMAX:
    case SOFTMAX_FOCAL_LOSS:
    case FUNCTIONS:
    default:
        return weights_have_bound(call);
    }
}

static void set_values(softfocus_case *instance, size_t array, const void *values, size_t size)
{
    softfocus_case_array *to = &instance->arrays[array];
    if (size == 0)
        return;
    memcpy(to->buffer.data, values, size);
    memcpy(to->initial + ((unsigned char *)to->buffer.data - (unsigned char *)to->buffer.usable), values, size);
}

/* The same problem with contiguous tensors of its own, which knows what is to come out. */
static softfocus_case *same_problem(const softfocus_fuzz_call *call)
{
    const softfocus_tensor *input = &call->tensors[INPUT], *second = &call->tensors[SECOND];
    softfocus_case_spec spec = softfocus_case_spec_defaults(softfocus_case_kernel_find(function_names[call->function]));
    spec.outer = input->outer;
    spec.classes = input->classes;
    spec.inner = input->inner;
    spec.index_type = call->targets.index_type;
    spec.gradient = call->given[OUTPUT];
    spec.reduction = call->options.reduction;
    spec.gamma = call->options.gamma;
    spec.alpha = call->options.alpha;
    spec.normalizer = call->options.normalizer;
    spec.class_weight = call->options.class_weight != NULL;
    softfocus_case *instance = softfocus_case_make(&spec);
    instance->options.ignore_index = call->options.ignore_index;
    set_values(instance, 0, gathered, gather(input, gathered) * sizeof(float));
    if (call->function == LOG_SOFTMAX_BACKWARD || call->function == SIGMOID_FOCAL_LOSS) {
        size_t count = gather(second, gathered);
        set_values(instance, 1, gathered, count * sizeof(float));
        for (size_t e = 0; call->function == SIGMOID_FOCAL_LOSS && e < count; e++)
            if (gathered[e] > 0.0f && gathered[e] < 1.0f)
                instance->spec.targets = SOFTFOCUS_TARGETS_SOFT; /* which has units of its own */
    }
    if (call->function == SOFTMAX_FOCAL_LOSS)
        set_values(instance, 1, call->targets.index, instance->arrays[1].buffer.size);
    if (spec.class_weight)
        set_values(instance, 2, call->options.class_weight, input->classes * sizeof(float));
    return instance;
}

/* Whether the one thing wrong is a sum whose terms lie below float32's normal range. Each term is within the bound, but
   there that is in steps of 2^-149, which add up: relative to the sum nothing can be said. */
static int sums_subnormals(const softfocus_fuzz_call *call, const softfocus_case_report *report)
{
    const softfocus_case_output_report *loss = &report->outputs[0];
    if (!softfocus_fuzz_is_loss(call) || call->options.reduction == SOFTFOCUS_NONE || report->output_count == 0 ||
        !(loss->worst > loss->bound) ||
        (report->output_count > 1 && !(report->outputs[1].worst <= report->outputs[1].bound)))
        return 0;
    double terms = (double)(call->tensors[INPUT].outer * call->tensors[INPUT].classes * call->tensors[INPUT].inner);
    double error = fabs((double)loss->got - loss->expected);
    double allowed = error / loss->worst * loss->bound; /* what the unit makes of the bound */
    return error < (double)INFINITY && error <= allowed + terms * loss->bound * 0x1p-149 / divisor(call);
}

/* Whether it is that a loss past float32's range, which counts as infinite, is part of a mean inside it. */
static int sums_infinite(const softfocus_fuzz_call *call, const softfocus_case_report *report)
{
    const softfocus_case_output_report *loss = &report->outputs[0];
    return call->function == SIGMOID_FOCAL_LOSS && call->options.reduction == SOFTFOCUS_MEAN && report->output_count > 0 &&
           isinf(loss->got) && loss->expected * divisor(call) > (double)FLT_MAX &&
           (report->output_count == 1 || report->outputs[1].worst <= report->outputs[1].bound);
}

/* Hands what the library wrote to the instance, and asks it. */
static void expect_oracle(const softfocus_fuzz_call *call, const softfocus_isa *isa, softfocus_case *instance)
{
    softfocus_case_report report;
    for (size_t k = 0; k < instance->output_count; k++) {
        void *to = instance->arrays[instance->outputs[k].array].buffer.data;
        if (softfocus_fuzz_is_loss(call) && k == 0 && call->loss == NULL)
            continue; /* empty */
        if (softfocus_fuzz_is_loss(call) && k == 0)
            memcpy(to, call->loss, softfocus_fuzz_loss_values(call) * sizeof(float));
        else
            memcpy(to, gathered, gather(&call->tensors[OUTPUT], gathered) * sizeof(float));
    }
    if (!softfocus_case_check(instance, 1.0, &report) && !sums_subnormals(call, &report) && !sums_infinite(call, &report))
        found(call, isa, "against the oracle: %s", report.text);
}

/* ---- One ISA ----------------------------------------------------------------------------------------------------- */

static void expect_refusal(const softfocus_fuzz_call *call, const softfocus_isa *isa, softfocus_fuzz_verdict verdict,
                           softfocus_status status, const softfocus_error *error)
{
    unsigned value_errors = 1u << SOFTFOCUS_ERROR_TARGET | 1u << SOFTFOCUS_ERROR_CLASS_WEIGHT;
    if (status == SOFTFOCUS_OK || (unsigned)status > SOFTFOCUS_ERROR_UNSUPPORTED || !(verdict.statuses >> status & 1))
        found(call, isa, "status %d, expected one of the set %#x", (int)status, verdict.statuses);
    expect_memory(call, isa, before, "a refused call wrote");
    if (call->error_size != sizeof *error || call->context.size != sizeof call->context)
        return;
    if (error->argument == NULL || error->argument[0] == '\0')
        found(call, isa, "status %d blames no argument", (int)status);
    if ((verdict.statuses & value_errors) &&
        (error->position != verdict.bad_position || error->value != verdict.bad_value))
        found(call, isa, "position %zu and value %lld are blamed, expected %zu and %lld", error->position,
              (long long)error->value, verdict.bad_position, (long long)verdict.bad_value);
}

/* The bits must be those of the run before, whose memory is in `after`. */
static void expect_same_in_tasks(const softfocus_fuzz_call *call, softfocus_context context)
{
    softfocus_task_record record = {0};
    context.parallel_for = softfocus_parallel_reverse;
    context.pool = &record;
    context.threads = 3;
    restore(call);
    if (run(call, &context) != SOFTFOCUS_OK)
        found(call, context.isa, "refused in several tasks");
    expect_memory(call, context.isa, after, "other bits in several tasks");
}

static void try_isa(const softfocus_fuzz_call *call, softfocus_fuzz_verdict verdict, const softfocus_isa *isa,
                    softfocus_case *instance)
{
    softfocus_error error = softfocus_error_defaults();
    softfocus_context context = call->context;
    error.size = call->error_size;
    context.error = &error;
    context.isa = call->bogus_isa ? (const softfocus_isa *)(const void *)before : isa;
    softfocus_status status = run_in_mode(call, &context);
    if (verdict.statuses != 0) {
        expect_refusal(call, isa, verdict, status, &error);
        return;
    }
    if (status != SOFTFOCUS_OK)
        found(call, isa, "status %d, expected success", (int)status);
    if (error.argument != NULL)
        found(call, isa, "success touched the error");
    allow_outputs(call);
    expect_memory(call, isa, after, "a stray write");
    if (instance != NULL)
        expect_oracle(call, isa, instance);
    if (call->parallel)
        expect_same_in_tasks(call, context);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    softfocus_fuzz_call call;
    if (!softfocus_fuzz_decode(&call, bytes, size))
        return 0;
    softfocus_fuzz_verdict verdict = softfocus_fuzz_judge(&call);
    softfocus_case *instance = verdict.statuses == 0 && has_bound(&call) ? same_problem(&call) : NULL;
    keep(&call, before);
    keep(&call, after);
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        if (softfocus_isa_supported(softfocus_isa_at(i))) {
            restore(&call);
            try_isa(&call, verdict, softfocus_isa_at(i), instance);
        }
    softfocus_case_free(instance);
    return 0;
}
