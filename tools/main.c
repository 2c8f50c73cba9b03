/* The program softfocus: finds the command in the command line and runs it. The commands are in cmd_*.c. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "softfocus/softfocus.h"

/* In the order of --help. */
static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"info", softfocus_command_info, "this CPU, the ISAs of this build, and which one is used and why"},
    {"log-softmax", softfocus_command_log_softmax, "log-softmax of a .npy array"},
    {"focal-loss", softfocus_command_focal_loss, "focal loss of .npy logits and targets, and its gradient"},
    {"check", softfocus_command_check, "hold every ISA that this CPU has against the reference"},
    {"bench", softfocus_command_bench, "time every kernel on every ISA that this CPU has"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* Where the command is in the command line. */
typedef struct choice {
    const struct command *command;
    int index;
} choice;

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "softfocus %s\n", SOFTFOCUS_VERSION_STRING);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    choice *chosen = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < COMMANDS; i++)
            if (strcmp(argument, commands[i].name) == 0)
                chosen->command = &commands[i];
        if (chosen->command == NULL)
            softfocus_usage_error(state, "there is no command '%s'", argument);
        chosen->index = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        softfocus_usage_error(state, "a command is expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Puts the list of commands, made from the table above, before the options in --help. */
static char *filter_help(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_PRE_DOC)
        return (char *)(uintptr_t)text;
    size_t size;
    char *help = NULL;
    FILE *stream = open_memstream(&help, &size);
    if (stream == NULL)
        return NULL;
    fprintf(stream, "%s\n\nCommands:\n", text);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-12s %s\n", commands[i].name, commands[i].what);
    fclose(stream);
    return help; /* argp frees it */
}

static const struct argp argp = {
    .parser = parse_option,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc = "Log-softmax and focal loss on the CPU.\v"
           "'softfocus COMMAND --help' says what a command takes.\n\n"
           "The environment variable SOFTFOCUS_ISA names the ISA to use (scalar, sse, avx2, avx512, neon) in "
           "place of the best one that this CPU has.\n\n"
           "The exit status is 0 for success, 1 for a failure, and 2 for a command line that makes no sense.",
    .help_filter = filter_help,
};

/* A standard stream that is closed stays unusable, but its number is taken: no file or pipe of ours is to get it and
   be read or written as that stream. It is taken by a folder, which is not written to by the name /dev/stdout either. */
static void hold_closed_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)!open("/", O_PATH); /* the lowest number is free */
}

/* Output that did not get out is a failure: a full disk shows up only here. Run by exit, since argp ends the program
   itself after --help and --version. Where a failure has been told, this is a part of it. */
static void close_output(void)
{
    errno = 0;
    if (!(ferror(stdout) | fclose(stdout)) || softfocus_has_complained())
        return;
    softfocus_complain("standard output", "%s", errno != 0 ? strerror(errno) : "it could not be written to");
    _exit(STATUS_FAILED);
}

int main(int argc, char **argv)
{
    hold_closed_streams();
    if (atexit(close_output) != 0)
        return softfocus_complain(NULL, "%s", strerror(ENOMEM));
    argp_program_version_hook = print_version;
    argp_err_exit_status = STATUS_USAGE;
    char program[] = "softfocus"; /* getopt's messages start with argv[0], whatever path it was called by */
    argv[0] = program;

    choice chosen = {0};
    error_t error = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &chosen);
    if (error != 0)
        return softfocus_complain(NULL, "%s", strerror(error));

    char name[64];
    snprintf(name, sizeof name, "%s %s", program, chosen.command->name);
    argv[chosen.index] = name;
    return chosen.command->run(argc - chosen.index, argv + chosen.index);
}
