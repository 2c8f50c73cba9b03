/* Loading .npy files: called by the commands that read arrays. The bytes are judged by npy.c. */
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below this, reading costs less than setting up a mapping and its page faults. */
enum { MAP_FROM = 1 << 20 };

/* What a stream is read in at first: any header that NumPy writes, and small arrays whole. */
enum { FIRST_READ = 1 << 16 };

static bool fail_errno(npy_problem *problem)
{
    snprintf(problem->text, sizeof problem->text, "%s", strerror(errno));
    return false;
}

/* Fills bytes[*size, limit) as far as the stream goes. */
static bool read_up_to(int file, unsigned char *bytes, size_t *size, size_t limit, bool *at_end)
{
    while (*size < limit) {
        ssize_t got = read(file, bytes + *size, limit - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0) {
            *at_end = true;
            break;
        }
        *size += (size_t)got;
    }
    return true;
}

/* Reads what the header asks for and one byte more, so that a byte too many is seen and an endless stream is
   not read for ever. The buffer at most doubles with each step: a header that promises terabytes costs no
   memory that the stream does not fill. */
static bool read_stream(int file, npy_array *array, size_t *size, npy_problem *problem)
{
    unsigned char *bytes = NULL;
    bool at_end = false;
    size_t wanted = FIRST_READ - 1;
    size_t capacity = 0;
    for (*size = 0; !at_end && wanted >= *size;) {
        size_t larger = capacity > 0 && wanted >= 2 * capacity ? 2 * capacity : wanted + 1;
        unsigned char *grown = realloc(bytes, larger);
        if (grown == NULL || !read_up_to(file, grown, size, larger, &at_end)) {
            fail_errno(problem);
            free(grown == NULL ? bytes : grown);
            return false;
        }
        bytes = grown;
        capacity = larger;
        wanted = softfocus_npy_wanted(bytes, *size);
    }
    array->block = bytes;
    return true;
}

/* False: not a file to map; nothing has happened. The mapping is private: writing to it changes no file. */
static bool map_file(int file, npy_array *array, size_t *size)
{
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < MAP_FROM)
        return false;
    void *block = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    if (block == MAP_FAILED)
        return false;
    array->block = block;
    array->mapped_bytes = *size = (size_t)status.st_size;
    return true;
}

/* The block starts on a boundary of 16 bytes or more. NumPy pads headers to a multiple of 16 or 64; other
   writers need not. */
static void align_data(npy_array *array)
{
    unsigned char *data = (unsigned char *)array->block + array->header.data_offset;
    if (array->header.data_offset % softfocus_npy_dtype_size(array->header.dtype) != 0)
        data = memmove(array->block, data, array->header.data_bytes);
    array->data = data;
}

bool softfocus_npy_load(const char *path, npy_array *array, npy_problem *problem)
{
    *array = (npy_array){0};
    bool is_stdin = strcmp(path, "-") == 0;
    int file = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail_errno(problem);
    size_t size = 0;
    bool good = (!is_stdin && map_file(file, array, &size)) || read_stream(file, array, &size, problem);
    if (!is_stdin)
        close(file);
    good = good && softfocus_npy_parse(array->block, size, &array->header, problem);
    if (good)
        align_data(array);
    else
        softfocus_npy_free(array);
    return good;
}

void softfocus_npy_free(npy_array *array)
{
    if (array->mapped_bytes > 0)
        munmap(array->block, array->mapped_bytes);
    else
        free(array->block);
    *array = (npy_array){0};
}
