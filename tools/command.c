/* How the commands speak to the user: messages, values of options, JSON. See command.h. */
#include "command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void softfocus_parse_command_line(const struct argp *argp, int argc, char **argv, void *input)
{
    /* Errors end in argp, with argp_err_exit_status (main.c sets it): what is returned here is memory that
       ran out. */
    error_t error = argp_parse(argp, argc, argv, 0, NULL, input);
    if (error != 0)
        exit(softfocus_complain(NULL, "%s", strerror(error)));
}

int softfocus_complain(const char *subject, const char *format, ...)
{
    fputs("softfocus: ", stderr);
    if (subject != NULL)
        fprintf(stderr, "%s: ", strcmp(subject, "-") == 0 ? "standard input" : subject);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return STATUS_FAILED;
}

double softfocus_parse_double(const struct argp_state *state, const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0')
        argp_error(state, "%s: '%s' is not a number", option, text);
    return value;
}

int64_t softfocus_parse_integer(const struct argp_state *state, const char *option, const char *text,
                                int64_t least, int64_t most)
{
    char *end;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (end == text || *end != '\0')
        argp_error(state, "%s: '%s' is not a whole number", option, text);
    if (errno == ERANGE || value < least || value > most)
        argp_error(state, "%s: %s is not between %" PRId64 " and %" PRId64, option, text, least, most);
    return value;
}

void *softfocus_tool_allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        exit(softfocus_complain(NULL, "%s", strerror(ENOMEM)));
    return memory;
}

int softfocus_print_json(json_t *object)
{
    int failed = object == NULL || json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
    putchar('\n');
    json_decref(object);
    return failed ? softfocus_complain(NULL, "the JSON could not be written") : 0;
}
