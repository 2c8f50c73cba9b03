/* --isa and --threads, for the commands that run kernels, and the messages for what the library refuses. */
#ifndef SOFTFOCUS_TOOLS_RUN_OPTIONS_H
#define SOFTFOCUS_TOOLS_RUN_OPTIONS_H

#include <argp.h>

#include "softfocus/softfocus.h"

typedef struct run_options {
    const softfocus_isa *isa; /* NULL: the default */
    size_t threads;           /* 0: as many as this process has CPUs */
} run_options;

/* A child for a command's argp; its input is a run_options, zero at first. */
extern const struct argp softfocus_run_options_argp;

/* --isa alone, for a command that takes its own threads or none: its value, or the end of the program. */
const softfocus_isa *softfocus_parse_isa(const struct argp_state *state, const char *name);

/* A context for one call. `error` receives what was wrong. */
softfocus_context softfocus_run_context(const run_options *run, softfocus_error *error);

#endif
