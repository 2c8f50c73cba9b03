/* Writing results: whole or not at all. For the commands that write .npy files, and for bench_roofline.c. */
#ifndef SOFTFOCUS_TOOLS_SAVE_H
#define SOFTFOCUS_TOOLS_SAVE_H

#include <argp.h>

#include "npy.h"

typedef struct result {
    const char *path; /* "-": standard output; NULL: not wanted */
    const npy_header *header; /* an array; NULL: the data alone */
    const void *data;
    size_t size; /* of the data, in bytes */
} result;

/* Writes every result under a temporary name beside its own and then renames them all, so that an error
   leaves each file as it was. What is no regular file (a pipe) is written to directly, and so is standard output by any
   name. Says what is wrong; returns the exit status. */
int softfocus_save(const result *results, size_t count);

/* Whether such a file could be written, as far as can be told before: for what takes long to make, by a command that prints
   on standard output besides. Else says what is wrong. */
bool softfocus_can_save(const char *path);

/* The value of an option that names such a file; none ends the program as softfocus_parse_integer does. */
const char *softfocus_parse_output(const struct argp_state *state, const char *option, const char *path);

/* Whether that is where standard output goes: "-", /dev/stdout, /dev/fd/1 and whatever else leads there, the plain name of
   the file that the shell has redirected it to included. All are as "-": a new file in that one's place would lose what
   others have written there, or the command itself prints. So after `-o FILE >> FILE` the result follows what was there. */
bool softfocus_is_stdout(const char *path);

/* Whether two paths name one file: then the second result would replace the first. */
bool softfocus_same_file(const char *a, const char *b);

#endif
