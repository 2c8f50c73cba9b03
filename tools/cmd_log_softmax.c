/* softfocus log-softmax IN.npy -o OUT.npy: called by main.c. */
#include "classes.h"
#include "command.h"
#include "run_options.h"
#include "save.h"

typedef struct request {
    const char *in, *out;
    axis_option axis;
    run_options run;
} request;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &r->run;
        return 0;
    case 'o':
        r->out = softfocus_parse_output(state, "--output", argument);
        return 0;
    case 'x':
        r->axis = softfocus_parse_axis(state, argument);
        return 0;
    case ARGP_KEY_ARG:
        if (r->in != NULL)
            softfocus_usage_error(state, "one file is expected; '%s' is a second one", argument);
        r->in = argument;
        return 0;
    case ARGP_KEY_END:
        if (r->in == NULL)
            softfocus_usage_error(state, "a .npy file of logits is expected");
        if (r->out == NULL)
            softfocus_usage_error(state, "-o OUT.npy is expected: where to write the result");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"output", 'o', "OUT.npy", 0, "Where to write the result (- for standard output); needed", 0},
    {"axis", 'x', "N", 0, AXIS_OPTION_HELP, 0},
    {0},
};

static const struct argp_child children[] = {{.argp = &softfocus_run_options_argp}, {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "IN.npy",
    .doc = "Log-softmax of a .npy array: each value less the logarithm of the sum of the exponentials along "
           "the axis of classes.\v"
           "IN.npy holds little-endian f4 in C or Fortran order (- for standard input); OUT.npy gets the "
           "same shape and order, and is written whole or not at all.",
    .children = children,
};

int softfocus_command_log_softmax(int argc, char **argv)
{
    request r = {0};
    softfocus_parse_command_line(&argp, argc, argv, &r);

    int status = STATUS_FAILED;
    logits z;
    if (softfocus_load_logits(r.in, r.axis, &z)) {
        softfocus_error error;
        softfocus_context context = softfocus_run_context(&r.run, &error);
        /* In place: the memory is ours, even where it is a mapping. */
        softfocus_tensor tensor = softfocus_logits_tensor(&z, z.array.data);
        softfocus_status answer = softfocus_log_softmax(&context, &tensor, &tensor);
        npy_header header = softfocus_header_like_logits(&z);
        result log_probs = {r.out, &header, z.array.data, header.data_bytes};
        status = answer == SOFTFOCUS_OK ? softfocus_save(&log_probs, 1)
                                        : softfocus_complain(r.in, "%s", softfocus_status_string(answer));
    }
    softfocus_npy_free(&z.array);
    return status;
}
