/* What main.c and the commands share: the commands themselves, how they speak to the user, and how they end.
 *
 * A command is one file, cmd_NAME.c, with one function, and one row in main.c. It is given its own part of
 * the command line (argv[0] is "softfocus NAME", for messages) and answers the program's exit status. */
#ifndef SOFTFOCUS_TOOLS_COMMAND_H
#define SOFTFOCUS_TOOLS_COMMAND_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; success is 0. */
enum {
    STATUS_FAILED = 1, /* the work could not be done, or a check found something */
    STATUS_USAGE = 2   /* the command line makes no sense */
};

int softfocus_command_info(int argc, char **argv);
int softfocus_command_log_softmax(int argc, char **argv);
int softfocus_command_focal_loss(int argc, char **argv);
int softfocus_command_check(int argc, char **argv);
int softfocus_command_bench(int argc, char **argv);

/* argp_parse with --help and --version; a command line that makes no sense ends the program with
   STATUS_USAGE. */
void softfocus_parse_command_line(const struct argp *argp, int argc, char **argv, void *input);

/* One line on standard error: "softfocus: SUBJECT: what is wrong"; a NULL subject is left out, and "-" is
   standard input (who writes to it says so). What would not print is escaped. Returns STATUS_FAILED. */
__attribute__((format(printf, 2, 3))) int softfocus_complain(const char *subject, const char *format, ...);

/* Whether it has been called: then a failure has its line, and what follows from it needs none. */
bool softfocus_has_complained(void);

/* argp_error, with what would not print escaped. */
__attribute__((format(printf, 2, 3))) void softfocus_usage_error(const struct argp_state *state,
                                                                 const char *format, ...);

/* A copy, from malloc, in which control characters and bytes that are no UTF-8 are \n, \t or \xff: it is one
   line, moves no cursor, and may stand in JSON. */
char *softfocus_printable(const char *text);

/* The values of options; text that is none ends the program through softfocus_usage_error, naming the option. */
double softfocus_parse_double(const struct argp_state *state, const char *option, const char *text);
int64_t softfocus_parse_integer(const struct argp_state *state, const char *option, const char *text,
                                int64_t least, int64_t most);

/* Memory that is too little to be worth a plan: ends the program when there is none. */
void *softfocus_tool_allocate(size_t count, size_t size);

/* Prints an object of a command's --json, indented, and releases it. Returns the exit status. */
int softfocus_print_json(json_t *object);

#endif
