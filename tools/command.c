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

/* ---- What would not print ------------------------------------------------------------------------------ */

/* The bytes of the character that text begins with; 0: it is no UTF-8, or a control character. */
static size_t printable_bytes(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    if (byte[0] < 0x80)
        return byte[0] >= 0x20 && byte[0] != 0x7f;
    size_t length = byte[0] < 0xc2 || byte[0] > 0xf4 ? 0 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < length; i++)
        if ((byte[i] & 0xc0) != 0x80) /* the end of the text too */
            return 0;
    /* Control characters (0x80 to 0x9f), what has a shorter form, surrogates, and what is past U+10FFFF. */
    if ((byte[0] == 0xc2 && byte[1] < 0xa0) || (byte[0] == 0xe0 && byte[1] < 0xa0) ||
        (byte[0] == 0xed && byte[1] > 0x9f) || (byte[0] == 0xf0 && byte[1] < 0x90) ||
        (byte[0] == 0xf4 && byte[1] > 0x8f))
        return 0;
    return length;
}

char *softfocus_printable(const char *text)
{
    size_t size = 4 * strlen(text) + 1; /* \xff for each byte */
    char *copy = malloc(size);
    if (copy == NULL) { /* softfocus_complain would come back here */
        fprintf(stderr, "softfocus: %s\n", strerror(ENOMEM));
        exit(STATUS_FAILED);
    }
    char *to = copy;
    while (*text != '\0') {
        size_t length = printable_bytes(text);
        if (length > 0) {
            memcpy(to, text, length);
            to += length;
            text += length;
            continue;
        }
        if (*text == '\n' || *text == '\t')
            to += snprintf(to, 3, "\\%c", *text == '\n' ? 'n' : 't');
        else
            to += snprintf(to, 5, "\\x%02x", (unsigned)(unsigned char)*text);
        text++;
    }
    *to = '\0';
    return copy;
}

/* ---- Messages ------------------------------------------------------------------------------------------ */

static bool complained;

__attribute__((format(printf, 1, 0))) static char *format_printable(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        return softfocus_printable(format);
    char *printable = softfocus_printable(text);
    free(text);
    return printable;
}

int softfocus_complain(const char *subject, const char *format, ...)
{
    complained = true;
    va_list arguments;
    va_start(arguments, format);
    char *what = format_printable(format, arguments);
    va_end(arguments);
    if (subject == NULL) {
        fprintf(stderr, "softfocus: %s\n", what);
    } else {
        char *name = softfocus_printable(strcmp(subject, "-") == 0 ? "standard input" : subject);
        fprintf(stderr, "softfocus: %s: %s\n", name[0] != '\0' ? name : "''", what);
        free(name);
    }
    free(what);
    return STATUS_FAILED;
}

bool softfocus_has_complained(void)
{
    return complained;
}

void softfocus_usage_error(const struct argp_state *state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *what = format_printable(format, arguments);
    va_end(arguments);
    argp_error(state, "%s", what);
    free(what);
}

/* ---- Values and JSON ----------------------------------------------------------------------------------- */

double softfocus_parse_double(const struct argp_state *state, const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0')
        softfocus_usage_error(state, "%s: '%s' is not a number", option, text);
    return value;
}

int64_t softfocus_parse_integer(const struct argp_state *state, const char *option, const char *text,
                                int64_t least, int64_t most)
{
    char *end;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (end == text || *end != '\0')
        softfocus_usage_error(state, "%s: '%s' is not a whole number", option, text);
    if (errno == ERANGE || value < least || value > most)
        softfocus_usage_error(state, "%s: %s is not between %" PRId64 " and %" PRId64, option, text, least, most);
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
    char *text = object != NULL ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (text == NULL)
        return softfocus_complain(NULL, "the JSON could not be made");
    int status = puts(text) != EOF ? 0 : softfocus_complain("standard output", "%s", strerror(errno));
    free(text);
    return status;
}
