/* softfocus focal-loss LOGITS.npy TARGETS.npy: called by main.c. Which targets, dtypes and options a loss
 * takes is the library's to say: what it does not implement comes back as its own message. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classes.h"
#include "command.h"
#include "run_options.h"
#include "save.h"

typedef struct request {
    const char *logits, *targets, *loss_out, *grad_out, *class_weight;
    axis_option axis;
    bool sigmoid;
    softfocus_focal_options focal;
    run_options run;
} request;

/* All that a call needs, in one place to be freed from. */
typedef struct work {
    logits z;
    npy_array targets;
    npy_array weight_array; /* from a file ... */
    float *weights;         /* ... or from the command line */
    float *loss, *grad;
    npy_header loss_header;
} work;

/* ---- The command line ---------------------------------------------------------------------------------- */

enum { OPTION_GAMMA = 256, OPTION_ALPHA, OPTION_IGNORE_INDEX, OPTION_NORMALIZER, OPTION_GRAD };

static softfocus_reduction parse_reduction(const struct argp_state *state, const char *text)
{
    static const struct {
        const char *name;
        softfocus_reduction reduction;
    } reductions[] = {{"none", SOFTFOCUS_NONE}, {"mean", SOFTFOCUS_MEAN}, {"sum", SOFTFOCUS_SUM}};

    for (size_t i = 0; i < sizeof reductions / sizeof reductions[0]; i++)
        if (strcmp(text, reductions[i].name) == 0)
            return reductions[i].reduction;
    softfocus_usage_error(state, "--reduction: '%s' is not none, mean or sum", text);
    return SOFTFOCUS_NONE; /* not reached */
}

static void check_arguments(const struct argp_state *state, const request *r)
{
    if (r->targets == NULL)
        softfocus_usage_error(state, "two .npy files are expected, logits and targets");
    else if (strcmp(r->logits, "-") == 0 && strcmp(r->targets, "-") == 0)
        softfocus_usage_error(state, "logits and targets cannot both be read from standard input");
    if (r->loss_out != NULL && r->grad_out != NULL && softfocus_same_file(r->loss_out, r->grad_out))
        softfocus_usage_error(state, "-o and --grad name the same file");
    if (r->loss_out == NULL && r->grad_out != NULL && softfocus_is_stdout(r->grad_out))
        softfocus_usage_error(state, "--grad %s needs -o: the loss is printed on standard output", r->grad_out);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &r->run;
        return 0;
    case 's':
        r->sigmoid = true;
        return 0;
    case 'r':
        r->focal.reduction = parse_reduction(state, argument);
        return 0;
    case 'w':
        r->class_weight = argument;
        return 0;
    case 'o':
        r->loss_out = softfocus_parse_output(state, "--output", argument);
        return 0;
    case 'x':
        r->axis = softfocus_parse_axis(state, argument);
        return 0;
    case OPTION_GAMMA:
        r->focal.gamma = softfocus_parse_double(state, "--gamma", argument);
        return 0;
    case OPTION_ALPHA:
        r->focal.alpha = softfocus_parse_double(state, "--alpha", argument);
        return 0;
    case OPTION_IGNORE_INDEX:
        r->focal.ignore_index =
            softfocus_parse_integer(state, "--ignore-index", argument, INT64_MIN, INT64_MAX);
        return 0;
    case OPTION_NORMALIZER:
        r->focal.normalizer = softfocus_parse_double(state, "--normalizer", argument);
        return 0;
    case OPTION_GRAD:
        r->grad_out = softfocus_parse_output(state, "--grad", argument);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            softfocus_usage_error(state, "two files are expected; '%s' is a third one", argument);
        *(state->arg_num == 0 ? &r->logits : &r->targets) = argument;
        return 0;
    case ARGP_KEY_END:
        check_arguments(state, r);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"sigmoid", 's', NULL, 0, "Each class by itself (sigmoid) in place of softmax over the classes", 0},
    {"gamma", OPTION_GAMMA, "X", 0,
     "The exponent of the focal factor, 0 or more (default: 2; 0 is cross-entropy)", 0},
    {"alpha", OPTION_ALPHA, "X", 0,
     "At most 1 (default: 0.25): softmax multiplies every position by it; sigmoid positives by it and "
     "negatives by 1 - alpha; a negative one is none",
     0},
    {"class-weight", 'w', "LIST|FILE.npy", 0,
     "One weight per class: numbers with commas between them, or a file of f4", 0},
    {"ignore-index", OPTION_IGNORE_INDEX, "N", 0, "Positions with this target have no part (default: -100)",
     0},
    {"reduction", 'r', "NAME", 0, "none, mean or sum (default: mean)", 0},
    {"normalizer", OPTION_NORMALIZER, "X", 0,
     "What mean divides by, in place of the sum of the weights of the positions that count", 0},
    {"axis", 'x', "N", 0, AXIS_OPTION_HELP, 0},
    {"output", 'o', "OUT.npy", 0,
     "Where to write the loss (- for standard output); without it the loss is printed", 0},
    {"grad", OPTION_GRAD, "OUT.npy", 0, "Where to write the gradient of the loss by the logits", 0},
    {0},
};

static const struct argp_child children[] = {{.argp = &softfocus_run_options_argp}, {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "LOGITS.npy TARGETS.npy",
    .doc = "Focal loss of .npy logits and targets, and its gradient.\v"
           "LOGITS.npy holds little-endian f4 in C or Fortran order. TARGETS.npy holds class indices, i4 or "
           "i8, in the shape of the logits without the axis of classes; with --sigmoid it holds f4 in the "
           "shape of the logits, values from 0 to 1. Either may be - for standard input.\n\n"
           "The loss is printed with as many digits as tell one f4 from the next: one number, or with "
           "--reduction none one per line in the order of the logits' memory. Files are written whole or not "
           "at all, in the logits' order.",
    .children = children,
};

/* ---- Inputs -------------------------------------------------------------------------------------------- */

/* "0.5,1,2". False: not a list of numbers, but perhaps a file's name. */
static bool parse_weights(const char *text, float **weights, size_t *count)
{
    size_t capacity = 1;
    for (const char *c = text; *c != '\0'; c++)
        capacity += *c == ',';
    float *list = softfocus_tool_allocate(capacity, sizeof *list);
    *count = 0;
    for (const char *at = text;;) {
        char *end;
        list[(*count)++] = strtof(at, &end);
        if (end == at || (*end != ',' && *end != '\0'))
            break;
        if (*end == '\0') {
            *weights = list;
            return true;
        }
        at = end + 1;
    }
    free(list);
    return false;
}

/* Points request->focal.class_weight at weights. */
static bool load_weights(request *r, work *w)
{
    if (r->class_weight == NULL)
        return true;
    size_t count;
    if (parse_weights(r->class_weight, &w->weights, &count)) {
        r->focal.class_weight = w->weights;
    } else {
        npy_problem problem;
        if (!softfocus_npy_load(r->class_weight, &w->weight_array, &problem))
            return softfocus_complain(r->class_weight,
                                      "%s (--class-weight takes a list of numbers or a .npy file)",
                                      problem.text),
                   false;
        const npy_header *header = &w->weight_array.header;
        if (header->dtype != NPY_F4 || header->ndim != 1)
            return softfocus_complain(r->class_weight,
                                      "class weights are f4 with one axis; this file holds %s with %zu",
                                      softfocus_npy_dtype_name(header->dtype), header->ndim),
                   false;
        count = header->count;
        r->focal.class_weight = w->weight_array.data;
    }
    if (count != w->z.classes)
        return softfocus_complain("--class-weight", "%zu weights for %zu classes", count, w->z.classes),
               false;
    return true;
}

/* Whether the library has the loss with such targets: a problem of one element asks it. Else no shape of them would do,
   and none is to be called for. */
static bool is_implemented(const request *r, npy_dtype dtype)
{
    float z = 0.0F, y = 0.0F, loss;
    int64_t class = 0;
    softfocus_tensor one = softfocus_tensor_contiguous(&z, SOFTFOCUS_F32, 1, 1, 1);
    softfocus_targets targets = dtype == NPY_F4
                                    ? softfocus_dense_targets(softfocus_tensor_contiguous(&y, SOFTFOCUS_F32, 1, 1, 1))
                                    : softfocus_index_targets(&class, SOFTFOCUS_I64);
    softfocus_status status = r->sigmoid ? softfocus_sigmoid_focal_loss(NULL, &one, &targets, NULL, &loss, NULL)
                                         : softfocus_softmax_focal_loss(NULL, &one, &targets, NULL, &loss, NULL);
    return status != SOFTFOCUS_ERROR_UNSUPPORTED;
}

/* Class indices have the shape of the positions, dense targets that of the logits; both are walked in the
   logits' order. */
static bool load_targets(const request *r, work *w, softfocus_targets *targets)
{
    npy_problem problem;
    if (!softfocus_npy_load(r->targets, &w->targets, &problem))
        return softfocus_complain(r->targets, "%s", problem.text), false;

    const npy_header *header = &w->targets.header;
    bool dense = header->dtype == NPY_F4;
    if (!is_implemented(r, header->dtype))
        return softfocus_complain(r->targets, "this version does not implement %s focal loss with %s targets",
                                  r->sigmoid ? "sigmoid" : "softmax", softfocus_npy_dtype_name(header->dtype)),
               false;
    npy_header expected = dense ? softfocus_header_like_logits(&w->z) : softfocus_header_of_positions(&w->z);
    if (header->ndim != expected.ndim ||
        memcmp(header->shape, expected.shape, expected.ndim * sizeof expected.shape[0]) != 0) {
        char found[NPY_MAX_SHAPE_TEXT], wanted[NPY_MAX_SHAPE_TEXT];
        softfocus_complain(r->targets, "shape %s, where these logits need %s of %s targets",
                           softfocus_npy_shape_text(header->ndim, header->shape, found),
                           softfocus_npy_shape_text(expected.ndim, expected.shape, wanted),
                           softfocus_npy_dtype_name(header->dtype));
        return false;
    }
    if (!softfocus_set_order(&w->targets, expected.fortran_order))
        return softfocus_complain(r->targets, "%s", strerror(ENOMEM)), false;
    *targets = dense ? softfocus_dense_targets(softfocus_logits_tensor(&w->z, w->targets.data))
                     : softfocus_index_targets(w->targets.data,
                                               header->dtype == NPY_I4 ? SOFTFOCUS_I32 : SOFTFOCUS_I64);
    return true;
}

/* ---- Outputs ------------------------------------------------------------------------------------------- */

static bool allocate_outputs(const request *r, work *w)
{
    if (r->focal.reduction != SOFTFOCUS_NONE)
        w->loss_header = (npy_header){.dtype = NPY_F4, .count = 1, .data_bytes = sizeof(float)};
    else
        w->loss_header =
            r->sigmoid ? softfocus_header_like_logits(&w->z) : softfocus_header_of_positions(&w->z);
    w->loss = malloc(w->loss_header.data_bytes + 1);
    if (r->grad_out != NULL)
        w->grad = w->z.array.data; /* in place: the logits are ours, and not needed any more */
    return w->loss != NULL || (softfocus_complain(NULL, "%s", strerror(ENOMEM)), false);
}

/* Nine digits tell every float32 from its neighbours. */
static void print_values(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (isnan(values[i]))
            puts("nan"); /* whatever its sign */
        else
            printf("%.9g\n", (double)values[i]);
}

static int deliver(const request *r, const work *w)
{
    npy_header grad_header = softfocus_header_like_logits(&w->z);
    const result results[] = {{r->loss_out, &w->loss_header, w->loss, w->loss_header.data_bytes},
                              {r->grad_out, &grad_header, w->grad, grad_header.data_bytes}};
    int status = softfocus_save(results, 2);
    if (status == 0 && r->loss_out == NULL)
        print_values(w->loss, w->loss_header.count);
    return status;
}

/* The library's refusal in the words of the command line. */
static int refused(const request *r, const work *w, softfocus_status status, const softfocus_error *error)
{
    static const struct {
        const char *argument, *option;
    } names[] = {{"options.gamma", "--gamma"},
                 {"options.alpha", "--alpha"},
                 {"options.class_weight", "--class-weight"},
                 {"options.normalizer", "--normalizer"}};

    const char *argument = error->argument != NULL ? error->argument : "";
    const char *subject = strcmp(argument, "targets") == 0 ? r->targets : r->logits;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(argument, names[i].argument) == 0)
            subject = names[i].option;

    char position[NPY_MAX_SHAPE_TEXT];
    switch (status) {
    case SOFTFOCUS_ERROR_TARGET:
        return softfocus_complain(
            r->targets, "class %lld at %s is not from 0 to %zu (nor --ignore-index %lld)",
            (long long)error->value, softfocus_position_text(&w->z, error->position, position),
            w->z.classes - 1, (long long)r->focal.ignore_index);
    case SOFTFOCUS_ERROR_CLASS_WEIGHT:
        /* Softmax uses the weights that targets name, sigmoid all of them. */
        return softfocus_complain("--class-weight", "the weight of class %lld%s is %g", (long long)error->value,
                                  r->sigmoid ? "" : ", which a target names,",
                                  (double)r->focal.class_weight[error->value]);
    case SOFTFOCUS_ERROR_OPTION:
        softfocus_complain(subject,
                           "its value is out of range ('softfocus focal-loss --help' has the ranges)");
        return STATUS_USAGE;
    default:
        return softfocus_complain(subject, "%s", softfocus_status_string(status));
    }
}

/* ---- The command --------------------------------------------------------------------------------------- */

static int run(request *r, work *w)
{
    softfocus_targets targets;
    if (!softfocus_load_logits(r->logits, r->axis, &w->z) || !load_targets(r, w, &targets) ||
        !load_weights(r, w) || !allocate_outputs(r, w))
        return STATUS_FAILED;

    softfocus_error error;
    softfocus_context context = softfocus_run_context(&r->run, &error);
    softfocus_tensor z = softfocus_logits_tensor(&w->z, w->z.array.data);
    const softfocus_tensor *grad = w->grad != NULL ? &z : NULL;
    softfocus_status status =
        r->sigmoid ? softfocus_sigmoid_focal_loss(&context, &z, &targets, &r->focal, w->loss, grad)
                   : softfocus_softmax_focal_loss(&context, &z, &targets, &r->focal, w->loss, grad);
    return status == SOFTFOCUS_OK ? deliver(r, w) : refused(r, w, status, &error);
}

int softfocus_command_focal_loss(int argc, char **argv)
{
    request r = {.focal = softfocus_focal_defaults()};
    softfocus_parse_command_line(&argp, argc, argv, &r);

    work w = {0};
    int status = run(&r, &w);
    softfocus_npy_free(&w.z.array);
    softfocus_npy_free(&w.targets);
    softfocus_npy_free(&w.weight_array);
    free(w.weights);
    free(w.loss);
    return status;
}
