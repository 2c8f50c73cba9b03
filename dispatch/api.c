/* The public functions: check everything, bring the axes into the form that the kernels are fast on, run one kernel.
 *
 * Each call goes the same way: take_context, checks (the first failure ends it, and goes to context->error), then the
 * kernel. All arithmetic, that of a loss's checks as well, is between softfocus_fp_enter and softfocus_fp_leave. Nothing is
 * written before all checks have passed. */
#include "dispatch/dispatch.h"
#include "dispatch/fp.h"
#include "dispatch/run.h"
#include "dispatch/validate.h"

#include <float.h>
#include <math.h>

/* The first struct of each kind that callers could be compiled against ends with this field. */
#define SIZE_THROUGH(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))
#define CONTEXT_VERSION_1 SIZE_THROUGH(softfocus_context, error)
#define ERROR_VERSION_1 SIZE_THROUGH(softfocus_error, value)
#define TARGETS_VERSION_1 SIZE_THROUGH(softfocus_targets, dense)
#define OPTIONS_VERSION_1 SIZE_THROUGH(softfocus_focal_options, normalizer)

/* Class indices are compared as 32 bits in the kernels. */
#define CLASSES_MAX UINT32_MAX

/* ---- Context ----------------------------------------------------------------------------------------------------- */

/* Takes the caller's context whole, or says what is wrong with it. */
static softfocus_status take_context(softfocus_context *context, const softfocus_context *from,
                                     struct softfocus_blame *blame)
{
    *context = softfocus_context_defaults();
    blame->argument = "context";
    softfocus_status status = softfocus_take_struct(context, sizeof *context, CONTEXT_VERSION_1, from);
    if (status) {
        context->error = NULL; /* not a field to trust */
        return status;
    }
    if (context->error && (context->error->size < ERROR_VERSION_1 || context->error->size > sizeof(softfocus_error))) {
        context->error = NULL;
        blame->argument = "context.error";
        return SOFTFOCUS_ERROR_STRUCT_SIZE;
    }
    if (!context->isa)
        context->isa = softfocus_isa_default();
    if (!softfocus_isa_supported(context->isa)) {
        blame->argument = "context.isa";
        return SOFTFOCUS_ERROR_ISA;
    }
    return SOFTFOCUS_OK;
}

/* The way out of every call. */
static softfocus_status finish(const softfocus_context *context, softfocus_status status,
                               const struct softfocus_blame *blame)
{
    if (status && context->error) {
        context->error->argument = blame->argument;
        context->error->position = blame->position;
        context->error->value = blame->value;
    }
    return status;
}

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

static struct softfocus_view view_of(const softfocus_tensor *tensor)
{
    if (!tensor)
        return (struct softfocus_view){NULL, 0, 0, 0};
    return (struct softfocus_view){tensor->data, tensor->outer_stride, tensor->class_stride, tensor->inner_stride};
}

static struct softfocus_shape shape_of(const softfocus_tensor *tensor)
{
    return (struct softfocus_shape){tensor->outer, tensor->classes, tensor->inner};
}

enum { VIEWS_MAX = 4 };

/* The views of one call, that share a shape; entries without data do not matter. */
struct views {
    struct softfocus_shape *shape;
    struct softfocus_view *view[VIEWS_MAX];
    size_t count;
};

/* Without a sign, as strides of an empty tensor may be anything: their product may wrap. */
static int steps_evenly(ptrdiff_t stride, size_t count, ptrdiff_t stride_below)
{
    return (size_t)stride == count * (size_t)stride_below;
}

typedef ptrdiff_t stride_of(const struct softfocus_view *view);
static ptrdiff_t outer_stride(const struct softfocus_view *view) { return view->outer_stride; }
static ptrdiff_t class_stride(const struct softfocus_view *view) { return view->class_stride; }

/* Makes an axis, of *count elements and with that stride, and inner one axis, inner, where every view steps through them
   evenly. */
static void join_with_inner(struct views views, size_t *count, stride_of *stride)
{
    size_t inner = views.shape->inner;
    for (size_t i = 0; i < views.count; i++)
        if (inner > 1 && views.view[i]->data && !steps_evenly(stride(views.view[i]), inner, views.view[i]->inner_stride))
            return;
    for (size_t i = 0; i < views.count; i++)
        if (inner == 1)
            views.view[i]->inner_stride = stride(views.view[i]);
    views.shape->inner *= *count;
    *count = 1;
}

/* Outer and inner: positions keep their numbers. */
static void join_positions(struct views views) { join_with_inner(views, &views.shape->outer, outer_stride); }

/* Classes and inner: elements keep their numbers. */
static void join_elements(struct views views) { join_with_inner(views, &views.shape->classes, class_stride); }

/* ---- Log-softmax ------------------------------------------------------------------------------------------------- */

/* Multiples of how many positions chunks begin at: classes that are strided are read in lines of 1 KB where there is enough
   for many threads, and of 256 bytes elsewhere, or of a whole image that is smaller; short rows are worked on 16 at a time.
   Measured (Ice Lake, 1 x 1000 x 1024): chunks of 16 and 17 positions took 2 to 4 times as long. */
enum { LINE_GRAIN = 256, SHORT_LINE_GRAIN = 64, MANY_POSITIONS = 64 * LINE_GRAIN, ROW_GRAIN = 16, LONG_ROW_CLASSES = 256 };

/* The positions of a problem of one of the softmax kernels. */
static struct softfocus_work work_of(const struct softfocus_shape *shape, const struct softfocus_view *view)
{
    struct softfocus_work work = {.units = shape->outer * shape->inner, .cost = shape->classes, .grain = 1};
    if (view->class_stride != 1)
        work.grain = shape->inner <= LINE_GRAIN     ? shape->inner
                     : work.units >= MANY_POSITIONS ? LINE_GRAIN
                                                    : SHORT_LINE_GRAIN;
    else if (shape->classes < LONG_ROW_CLASSES)
        work.grain = ROW_GRAIN;
    return work;
}

/* Whether a tensor's classes are contiguous, or there is none: what threads can share rows of. */
static int are_rows(const struct softfocus_view *view) { return !view->data || view->class_stride == 1; }

static void move(struct softfocus_view *view, size_t elements)
{
    if (view->data)
        view->data = (float *)view->data + elements;
}

/* Runs a kernel that has no sum, and nothing to compute before or after it. */
static void run_map(const softfocus_context *context, softfocus_invoke *invoke, const void *args, struct softfocus_work work)
{
    softfocus_fp_state caller = softfocus_fp_enter();
    softfocus_run(context, invoke, args, work, &caller);
    softfocus_fp_leave(caller);
}

/* The checks that all maps and losses share for a second tensor of the same shape. */
static softfocus_status check_like(const softfocus_tensor *tensor, const softfocus_tensor *other, const char *name,
                                   struct softfocus_blame *blame)
{
    softfocus_status status = softfocus_check_tensor(other, name, blame);
    return status ? status : softfocus_check_shape(tensor, other, name, blame);
}

/* Whether this version has kernels for a tensor that is sound. */
static softfocus_status check_implemented(const softfocus_tensor *tensor, const char *name, struct softfocus_blame *blame)
{
    blame->argument = name;
    return tensor->dtype == SOFTFOCUS_F32 && tensor->classes <= CLASSES_MAX ? SOFTFOCUS_OK : SOFTFOCUS_ERROR_UNSUPPORTED;
}

static softfocus_status check_log_softmax(const softfocus_tensor *logits, const softfocus_tensor *log_probs,
                                          struct softfocus_blame *blame)
{
    softfocus_status status = softfocus_check_tensor(logits, "logits", blame);
    if (!status)
        status = check_like(logits, log_probs, "log_probs", blame);
    if (!status)
        status = check_implemented(logits, "logits", blame);
    return status ? status : softfocus_check_overlap(log_probs, logits, 1, "log_probs", blame);
}

static void take_piece_of_log_softmax(void *piece, const void *args, size_t first, size_t count,
                                      struct softfocus_row_share *share)
{
    struct softfocus_log_softmax_args *own = piece;
    *own = *(const struct softfocus_log_softmax_args *)args;
    own->shape.classes = count;
    own->share = share;
    move(&own->logits, first);
    move(&own->log_probs, first);
}

softfocus_status softfocus_log_softmax(const softfocus_context *from, const softfocus_tensor *logits,
                                       const softfocus_tensor *log_probs)
{
    softfocus_context context;
    struct softfocus_blame blame = {NULL, 0, 0};
    softfocus_status status = take_context(&context, from, &blame);
    if (!status)
        status = check_log_softmax(logits, log_probs, &blame);
    if (status)
        return finish(&context, status, &blame);

    struct softfocus_log_softmax_args args = {shape_of(logits), view_of(logits), view_of(log_probs), NULL};
    join_positions((struct views){&args.shape, {&args.logits, &args.log_probs}, 2});
    struct softfocus_work work = work_of(&args.shape, &args.logits);
    if (are_rows(&args.logits) && are_rows(&args.log_probs))
        work.take_piece = take_piece_of_log_softmax;
    run_map(&context, softfocus_invoke_log_softmax, &args, work);
    return SOFTFOCUS_OK;
}

static softfocus_status check_log_softmax_backward(const softfocus_tensor *log_probs,
                                                   const softfocus_tensor *grad_log_probs,
                                                   const softfocus_tensor *grad_logits, struct softfocus_blame *blame)
{
    softfocus_status status = softfocus_check_tensor(log_probs, "log_probs", blame);
    if (!status)
        status = check_like(log_probs, grad_log_probs, "grad_log_probs", blame);
    if (!status)
        status = check_like(log_probs, grad_logits, "grad_logits", blame);
    if (!status)
        status = check_implemented(log_probs, "log_probs", blame);
    if (!status)
        status = softfocus_check_overlap(grad_logits, log_probs, 1, "grad_logits", blame);
    return status ? status : softfocus_check_overlap(grad_logits, grad_log_probs, 1, "grad_logits", blame);
}

static void take_piece_of_backward(void *piece, const void *args, size_t first, size_t count,
                                   struct softfocus_row_share *share)
{
    struct softfocus_log_softmax_backward_args *own = piece;
    *own = *(const struct softfocus_log_softmax_backward_args *)args;
    own->shape.classes = count;
    own->share = share;
    move(&own->log_probs, first);
    move(&own->grad_log_probs, first);
    move(&own->grad_logits, first);
}

softfocus_status softfocus_log_softmax_backward(const softfocus_context *from, const softfocus_tensor *log_probs,
                                                const softfocus_tensor *grad_log_probs,
                                                const softfocus_tensor *grad_logits)
{
    softfocus_context context;
    struct softfocus_blame blame = {NULL, 0, 0};
    softfocus_status status = take_context(&context, from, &blame);
    if (!status)
        status = check_log_softmax_backward(log_probs, grad_log_probs, grad_logits, &blame);
    if (status)
        return finish(&context, status, &blame);

    struct softfocus_log_softmax_backward_args args = {shape_of(log_probs), view_of(log_probs), view_of(grad_log_probs),
                                                       view_of(grad_logits), NULL};
    join_positions((struct views){&args.shape, {&args.log_probs, &args.grad_log_probs, &args.grad_logits}, 3});
    struct softfocus_work work = work_of(&args.shape, &args.log_probs);
    if (are_rows(&args.log_probs) && are_rows(&args.grad_log_probs) && are_rows(&args.grad_logits))
        work.take_piece = take_piece_of_backward;
    work.first_step = SOFTFOCUS_STEP_SUM;
    run_map(&context, softfocus_invoke_log_softmax_backward, &args, work);
    return SOFTFOCUS_OK;
}

/* ---- The losses -------------------------------------------------------------------------------------------------- */

/* One call of a loss, as the caller gave it and as this version understands it. */
struct loss_call {
    const softfocus_tensor *logits, *grad;
    softfocus_targets targets;
    softfocus_focal_options options;
    float *loss;
    size_t positions;
    struct softfocus_target_sums sums; /* softmax: of the sweep over the targets */
};

static int has_index(const struct loss_call *call) { return call->targets.index != NULL; }
static int has_dense(const struct loss_call *call) { return call->targets.dense.data || call->targets.dense.classes; }

static softfocus_status take_loss_call(struct loss_call *call, const softfocus_targets *targets,
                                       const softfocus_focal_options *options, struct softfocus_blame *blame)
{
    blame->argument = "targets";
    if (!targets)
        return SOFTFOCUS_ERROR_NULL_POINTER;
    call->targets = softfocus_index_targets(NULL, SOFTFOCUS_I32);
    softfocus_status status = softfocus_take_struct(&call->targets, sizeof call->targets, TARGETS_VERSION_1, targets);
    if (status)
        return status;
    blame->argument = "options";
    call->options = softfocus_focal_defaults();
    status = softfocus_take_struct(&call->options, sizeof call->options, OPTIONS_VERSION_1, options);
    return status ? status : softfocus_check_options(&call->options, blame);
}

/* Where the class weights lie, and where the loss goes. */
static struct softfocus_bytes weight_bytes(const struct loss_call *call)
{
    return (struct softfocus_bytes){(uintptr_t)call->options.class_weight,
                                    call->options.class_weight ? call->logits->classes * sizeof(float) : 0};
}

static struct softfocus_bytes loss_bytes(const struct loss_call *call, size_t units)
{
    return (struct softfocus_bytes){(uintptr_t)call->loss,
                                    (call->options.reduction == SOFTFOCUS_NONE ? units : 1) * sizeof(float)};
}

/* What both losses check of their outputs, against everything but the targets. */
static softfocus_status check_outputs(const struct loss_call *call, size_t units, struct softfocus_blame *blame)
{
    struct softfocus_bytes loss = loss_bytes(call, units), weight = weight_bytes(call);
    softfocus_status status = call->grad ? check_like(call->logits, call->grad, "grad", blame) : SOFTFOCUS_OK;
    if (!status)
        status = check_implemented(call->logits, "logits", blame);
    if (status)
        return status;
    blame->argument = "loss";
    if (!call->loss && loss.size > 0)
        return SOFTFOCUS_ERROR_NULL_POINTER;
    status = softfocus_check_apart(loss, call->logits, "loss", blame);
    if (!status)
        status = softfocus_check_apart_bytes(loss, weight, "loss", blame);
    if (status || !call->grad)
        return status;
    status = softfocus_check_overlap(call->grad, call->logits, 1, "grad", blame);
    if (!status)
        status = softfocus_check_apart(weight, call->grad, "grad", blame);
    return status ? status : softfocus_check_apart(loss, call->grad, "loss", blame);
}

/* What a mean divides by; 0 where there is nothing to average, and 1 for the other reductions. */
static double denominator(const softfocus_focal_options *options, double weight)
{
    return options->reduction != SOFTFOCUS_MEAN ? 1.0 : options->normalizer > 0.0 ? options->normalizer : weight;
}

/* The gradient's scale: with nothing to average, gradients are 0. */
static double gradient_scale(double divisor)
{
    return divisor > 0.0 ? 1.0 / divisor < DBL_MAX ? 1.0 / divisor : DBL_MAX : 0.0;
}

static struct softfocus_focal_args focal_args(const struct loss_call *call, double divisor)
{
    return (struct softfocus_focal_args){.gamma = call->options.gamma,
                                         .scale = gradient_scale(divisor),
                                         .loss = call->options.reduction == SOFTFOCUS_NONE ? call->loss : NULL};
}

/* Of several NaN a sum may keep any: which is left to the order of tasks, and so one is written for all. */
static void write_loss(const struct loss_call *call, double sum, double divisor)
{
    double loss = sum / divisor;
    if (call->options.reduction != SOFTFOCUS_NONE)
        *call->loss = isnan(loss) ? NAN : (float)loss;
}

typedef softfocus_status check_loss(struct loss_call *call, struct softfocus_blame *blame);
typedef void run_loss(const struct loss_call *call, const softfocus_context *context, softfocus_fp_state *caller);

/* What a loss answers: nothing is run before all is checked, for which the caller's rounding mode is put aside, too. */
static softfocus_status answer(struct loss_call *call, const softfocus_context *from, const softfocus_targets *targets,
                               const softfocus_focal_options *options, check_loss *check, run_loss *run)
{
    softfocus_context context;
    struct softfocus_blame blame = {NULL, 0, 0};
    softfocus_fp_state caller = softfocus_fp_enter();
    softfocus_status status = take_context(&context, from, &blame);
    if (!status)
        status = take_loss_call(call, targets, options, &blame);
    if (!status)
        status = check(call, &blame);
    if (!status)
        run(call, &context, &caller);
    softfocus_fp_leave(caller);
    return finish(&context, status, &blame);
}

static softfocus_status check_softmax_focal_loss(struct loss_call *call, struct softfocus_blame *blame)
{
    softfocus_status status = softfocus_check_tensor(call->logits, "logits", blame);
    if (status)
        return status;
    call->positions = call->logits->outer * call->logits->inner;
    blame->argument = "targets";
    if (has_index(call) && has_dense(call))
        return SOFTFOCUS_ERROR_OPTION;
    if (has_dense(call))
        return SOFTFOCUS_ERROR_UNSUPPORTED;
    if (!has_index(call) && call->positions > 0)
        return SOFTFOCUS_ERROR_NULL_POINTER;
    if (call->targets.index_type != SOFTFOCUS_I32 && call->targets.index_type != SOFTFOCUS_I64)
        return SOFTFOCUS_ERROR_INDEX_TYPE;
    status = check_outputs(call, call->positions, blame);
    if (status)
        return status;
    struct softfocus_bytes index = {(uintptr_t)call->targets.index,
                                    call->positions * (call->targets.index_type == SOFTFOCUS_I64 ? 8 : 4)};
    status = softfocus_check_apart_bytes(loss_bytes(call, call->positions), index, "loss", blame);
    if (!status && call->grad)
        status = softfocus_check_apart(index, call->grad, "grad", blame);
    if (status)
        return status;
    return softfocus_check_index(&call->targets, call->positions, call->logits->classes, &call->options, &call->sums,
                                 blame);
}

static void take_piece_of_loss(void *piece, const void *args, size_t first, size_t count, struct softfocus_row_share *share)
{
    struct softfocus_softmax_focal_args *own = piece;
    *own = *(const struct softfocus_softmax_focal_args *)args;
    own->shape.classes = count;
    own->share = share;
    move(&own->logits, first);
    move(&own->grad, first);
    if (first > 0) /* the first piece's call writes it */
        own->focal.loss = NULL;
}

static void run_softmax_focal_loss(const struct loss_call *call, const softfocus_context *context,
                                   softfocus_fp_state *caller)
{
    double divisor = denominator(&call->options, call->sums.weight);
    struct softfocus_softmax_focal_args args = {.shape = shape_of(call->logits),
                                                .logits = view_of(call->logits),
                                                .grad = view_of(call->grad),
                                                .index = call->targets.index,
                                                .index_type = call->targets.index_type,
                                                .ignore_index = call->options.ignore_index,
                                                .alpha = call->options.alpha < 0.0 ? 1.0 : call->options.alpha,
                                                .class_weight = call->options.class_weight,
                                                .focal = focal_args(call, divisor)};
    join_positions((struct views){&args.shape, {&args.logits, &args.grad}, 2});
    struct softfocus_work work = work_of(&args.shape, &args.logits);
    work.sums = 1;
    if (are_rows(&args.logits) && are_rows(&args.grad))
        work.take_piece = take_piece_of_loss;
    write_loss(call, softfocus_run(context, softfocus_invoke_softmax_focal_loss, &args, work, caller), divisor);
}

softfocus_status softfocus_softmax_focal_loss(const softfocus_context *context, const softfocus_tensor *logits,
                                              const softfocus_targets *targets, const softfocus_focal_options *options,
                                              void *loss, const softfocus_tensor *grad)
{
    struct loss_call call = {.logits = logits, .grad = grad, .loss = loss};
    return answer(&call, context, targets, options, check_softmax_focal_loss, run_softmax_focal_loss);
}

static softfocus_status check_sigmoid_focal_loss(struct loss_call *call, struct softfocus_blame *blame)
{
    softfocus_status status = softfocus_check_tensor(call->logits, "logits", blame);
    if (status)
        return status;
    call->positions = call->logits->outer * call->logits->inner;
    blame->argument = "targets";
    if (has_index(call) && has_dense(call))
        return SOFTFOCUS_ERROR_OPTION;
    if (has_index(call))
        return SOFTFOCUS_ERROR_UNSUPPORTED;
    if (!has_dense(call))
        return SOFTFOCUS_ERROR_NULL_POINTER;
    size_t elements = call->positions * call->logits->classes;
    status = check_like(call->logits, &call->targets.dense, "targets.dense", blame);
    if (!status)
        status = check_outputs(call, elements, blame);
    if (!status)
        status = softfocus_check_apart(loss_bytes(call, elements), &call->targets.dense, "loss", blame);
    if (!status && call->grad)
        status = softfocus_check_overlap(call->grad, &call->targets.dense, 0, "grad", blame);
    return status ? status
                  : softfocus_check_class_weights(call->options.class_weight, call->logits->classes, blame);
}

static void run_sigmoid_focal_loss(const struct loss_call *call, const softfocus_context *context,
                                   softfocus_fp_state *caller)
{
    size_t elements = call->positions * call->logits->classes;
    double divisor = denominator(&call->options, (double)elements), alpha = call->options.alpha;
    /* Inputs are never written: the cast lets a table travel as a view. */
    void *class_weight = (void *)(uintptr_t)call->options.class_weight;
    struct softfocus_sigmoid_focal_args args = {.shape = shape_of(call->logits),
                                                .logits = view_of(call->logits),
                                                .targets = view_of(&call->targets.dense),
                                                .grad = view_of(call->grad),
                                                .weight = {class_weight, 0, 1, 0},
                                                .alpha_positive = alpha < 0.0 ? 1.0 : alpha,
                                                .alpha_negative = alpha < 0.0 ? 1.0 : 1.0 - alpha,
                                                .focal = focal_args(call, divisor)};
    struct views views = {&args.shape, {&args.logits, &args.targets, &args.grad, &args.weight}, 4};
    join_elements(views);
    if (args.shape.classes == 1)
        join_positions(views);
    struct softfocus_work work = {.units = elements, .cost = 1, .grain = SHORT_LINE_GRAIN, .sums = 1};
    write_loss(call, softfocus_run(context, softfocus_invoke_sigmoid_focal_loss, &args, work, caller), divisor);
}

softfocus_status softfocus_sigmoid_focal_loss(const softfocus_context *context, const softfocus_tensor *logits,
                                              const softfocus_targets *targets, const softfocus_focal_options *options,
                                              void *loss, const softfocus_tensor *grad)
{
    struct loss_call call = {.logits = logits, .grad = grad, .loss = loss};
    return answer(&call, context, targets, options, check_sigmoid_focal_loss, run_sigmoid_focal_loss);
}
