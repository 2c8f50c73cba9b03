/* softfocus info: this CPU, the ISAs of this build, and which one a call uses and why. Called by main.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "cpu_model.h"
#include "dispatch/cpu.h"
#include "softfocus/softfocus.h"
#include "table.h"

enum { TEXT_SIZE = 256 };

/* ---- Features ------------------------------------------------------------------------------------------ */

/* Every feature that matters to an ISA, and what each ISA needs: the dispatcher's own lists. The program is
   linked with the shared library, which does not export them, and so it is built with them. */
static const struct {
    uint32_t feature;
    const char *name;
} feature_names[] = {
#define FEATURE(constant, name, bit) {SOFTFOCUS_CPU_##constant, name},
    SOFTFOCUS_CPU_FEATURES(FEATURE)
#undef FEATURE
};

static const struct {
    const char *isa;
    uint32_t features;
} needs[] = {
#define ISA(name, features) {#name, features},
#include "dispatch/isa.def"
#undef ISA
};

static uint32_t needed_features(const softfocus_isa *isa)
{
    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++)
        if (strcmp(needs[i].isa, softfocus_isa_name(isa)) == 0)
            return needs[i].features;
    return 0;
}

static uint32_t missing_features(const softfocus_isa *isa)
{
    return needed_features(isa) & ~softfocus_cpu_features();
}

/* The names of a set. */
static json_t *feature_list(uint32_t features)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof feature_names / sizeof feature_names[0]; i++)
        if (features & feature_names[i].feature)
            json_array_append_new(list, json_string(feature_names[i].name));
    return list;
}

/* The same with spaces between them; `none` for the empty set. */
static const char *feature_text(uint32_t features, const char *none, char text[TEXT_SIZE])
{
    size_t length = 0;
    snprintf(text, TEXT_SIZE, "%s", features == 0 ? none : "");
    for (size_t i = 0; i < sizeof feature_names / sizeof feature_names[0] && length < TEXT_SIZE; i++)
        if (features & feature_names[i].feature)
            length += (size_t)snprintf(text + length, TEXT_SIZE - length, "%s%s", length > 0 ? " " : "",
                                       feature_names[i].name);
    return text;
}

/* ---- The choice ---------------------------------------------------------------------------------------- */

/* Why the default is what it is, from malloc; NULL: no memory. The dispatcher ignores a SOFTFOCUS_ISA that it
   cannot follow; here it is said. `name` is what is printed of it. */
static char *explain(const char *wanted, const char *name)
{
    char *why = NULL;
    int length;
    const char *best = "the best one that this CPU supports";
    const softfocus_isa *named = softfocus_isa_find(wanted);
    if (wanted == NULL || wanted[0] == '\0') {
        length = asprintf(&why, "%s", best);
    } else if (named == NULL) {
        length = asprintf(&why, "%s; SOFTFOCUS_ISA=%s is ignored: this build has no ISA of that name", best, name);
    } else if (!softfocus_isa_supported(named)) {
        char missing[TEXT_SIZE];
        length = asprintf(&why, "%s; SOFTFOCUS_ISA=%s is ignored: this CPU lacks %s", best, name,
                          feature_text(missing_features(named), "nothing", missing));
    } else {
        length = asprintf(&why, "named by SOFTFOCUS_ISA");
    }
    return length >= 0 ? why : NULL;
}

/* ---- The reports --------------------------------------------------------------------------------------- */

static int print_json(const char *cpu, const char *wanted, const char *why)
{
    json_t *isas = json_array();
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        json_array_append_new(isas, json_pack("{s:s, s:b, s:o, s:o}", "name", softfocus_isa_name(isa),
                                              "supported", softfocus_isa_supported(isa), "needs",
                                              feature_list(needed_features(isa)), "missing",
                                              feature_list(missing_features(isa))));
    }
    return softfocus_print_json(
        json_pack("{s:s, s:s, s:o, s:o, s:s, s:s?, s:s}", "version", SOFTFOCUS_VERSION_STRING, "cpu_model",
                  cpu, "features", feature_list(softfocus_cpu_features()), "isas", isas, "chosen",
                  softfocus_isa_name(softfocus_isa_default()), "environment", wanted, "why", why));
}

static void print_text(const char *cpu, const char *why)
{
    char text[TEXT_SIZE];
    printf("softfocus %s\nCPU:      %s\nfeatures: %s\n\nISAs of this build, best first:\n",
           SOFTFOCUS_VERSION_STRING, cpu,
           feature_text(softfocus_cpu_features(), "none that an ISA needs", text));
    table *t = softfocus_table_new("lll");
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        softfocus_table_cell(t, "  %s", softfocus_isa_name(isa));
        if (softfocus_isa_supported(isa))
            softfocus_table_cell(t, "supported");
        else
            softfocus_table_cell(t, "not supported: this CPU lacks %s",
                                 feature_text(missing_features(isa), "nothing", text));
        softfocus_table_cell(t, "(needs %s)", feature_text(needed_features(isa), "nothing", text));
    }
    softfocus_table_print(t, stdout);
    printf("\nused: %s (%s)\n", softfocus_isa_name(softfocus_isa_default()), why);
}

/* ---- The command --------------------------------------------------------------------------------------- */

enum { OPTION_JSON = 256 };

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    bool *json = state->input;
    switch (key) {
    case OPTION_JSON:
        *json = true;
        return 0;
    case ARGP_KEY_ARG:
        softfocus_usage_error(state, "'%s' is one argument too many", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {{"json", OPTION_JSON, NULL, 0, "Print JSON", 0}, {0}};

static const struct argp argp = {
    .options = options,
    .parser = parse_option,
    .doc = "Say what this CPU has, which ISAs this build has kernels for, and which of them is used and why.",
};

int softfocus_command_info(int argc, char **argv)
{
    bool json = false;
    softfocus_parse_command_line(&argp, argc, argv, &json);

    char cpu[CPU_MODEL_SIZE];
    softfocus_cpu_model(cpu);
    const char *wanted = getenv("SOFTFOCUS_ISA");
    char *name = wanted != NULL ? softfocus_printable(wanted) : NULL; /* any bytes may be in it */
    char *why = explain(wanted, name);
    int status = 0;
    if (why == NULL)
        status = softfocus_complain(NULL, "%s", strerror(ENOMEM));
    else if (json)
        status = print_json(cpu, name, why);
    else
        print_text(cpu, why);
    free(why);
    free(name);
    return status;
}
