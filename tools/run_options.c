/* --isa and --threads. See run_options.h. */
#include "run_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "threads.h"

const softfocus_isa *softfocus_parse_isa(const struct argp_state *state, const char *name)
{
    const softfocus_isa *isa = softfocus_isa_find(name);
    if (isa == NULL) {
        char names[128] = "";
        for (size_t i = 0; i < softfocus_isa_count(); i++) {
            size_t length = strlen(names);
            snprintf(names + length, sizeof names - length, "%s%s", i == 0 ? "" : ", ",
                     softfocus_isa_name(softfocus_isa_at(i)));
        }
        softfocus_usage_error(state, "--isa: this build has no ISA '%s' (it has %s)", name, names);
    } else if (!softfocus_isa_supported(isa)) {
        exit(softfocus_complain("--isa", "this CPU has no %s ('softfocus info' says what is missing)", name));
    }
    return isa;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    run_options *options = state->input;
    switch (key) {
    case 'i':
        options->isa = softfocus_parse_isa(state, argument);
        return 0;
    case 't':
        options->threads =
            (size_t)softfocus_parse_integer(state, "--threads", argument, 1, SOFTFOCUS_MAX_THREADS);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"isa", 'i', "NAME", 0,
     "The ISA to use: scalar, sse, avx2, avx512 or neon (default: the best one of this CPU)", 1},
    {"threads", 't', "N", 0, "Threads to use (default: one per CPU); the result is the same to the last bit",
     1},
    {0},
};

const struct argp softfocus_run_options_argp = {.options = options, .parser = parse_option};

softfocus_context softfocus_run_context(const run_options *run, softfocus_error *error)
{
    *error = softfocus_error_defaults();
    softfocus_context context = softfocus_context_defaults();
    context.isa = run->isa;
    context.threads = run->threads > 0 ? run->threads : softfocus_threads_available();
    context.parallel_for = softfocus_threads_parallel_for;
    context.pool = (void *)(uintptr_t)context.threads;
    context.error = error;
    return context;
}
