/* Writing results whole or not at all. See save.h. */
#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

/* A result on its way. */
typedef struct destination {
    char name[PATH_MAX];      /* absolute, links followed */
    char temporary[PATH_MAX]; /* empty: written to directly, or renamed already */
} destination;

/* folder/base, or base alone where it is absolute. False where that is too long: errno says so. */
static bool join(const char *folder, const char *base, char path[PATH_MAX])
{
    const char *slash = strcmp(folder, "/") == 0 ? "" : "/";
    int length = base[0] == '/' ? snprintf(path, PATH_MAX, "%s", base)
                                : snprintf(path, PATH_MAX, "%s%s%s", folder, slash, base);
    errno = ENAMETOOLONG;
    return length < PATH_MAX;
}

/* The path that a name will have, whether or not it is there yet; only its folder has to be. A link to what is not
   there yet is followed too; where links go in a circle, realpath says so. */
static bool resolve(const char *path, char name[PATH_MAX])
{
    char at[PATH_MAX];
    errno = ENAMETOOLONG;
    if (snprintf(at, sizeof at, "%s", path) >= (int)sizeof at)
        return false;
    for (;;) {
        char copy[PATH_MAX], folder[PATH_MAX], target[PATH_MAX];
        if (realpath(at, name) != NULL)
            return true;
        size_t size = strlen(at);
        if (errno != ENOENT || size == 0 || at[size - 1] == '/') /* a folder that is missing */
            return false;
        memcpy(copy, at, size + 1);
        if (realpath(dirname(copy), folder) == NULL)
            return false;
        memcpy(copy, at, size + 1); /* dirname has cut it */
        if (!join(folder, basename(copy), name))
            return false;
        ssize_t length = readlink(name, target, sizeof target - 1);
        if (length < 0)
            return true;
        target[length] = '\0';
        if (!join(folder, target, at))
            return false;
    }
}

const char *softfocus_parse_output(const struct argp_state *state, const char *option, const char *path)
{
    if (path[0] == '\0')
        softfocus_usage_error(state, "%s: the file's name is empty", option);
    return path;
}

bool softfocus_is_stdout(const char *path)
{
    struct stat out, status;
    if (strcmp(path, "-") == 0)
        return true;
    if (fstat(STDOUT_FILENO, &out) != 0 || stat(path, &status) != 0)
        return false;
    /* Not /dev/null and its like: whoever opens them has one of their own, and nothing is mixed there. */
    return out.st_dev == status.st_dev && out.st_ino == status.st_ino &&
           (!S_ISCHR(out.st_mode) || isatty(STDOUT_FILENO));
}

bool softfocus_same_file(const char *a, const char *b)
{
    char first[PATH_MAX], second[PATH_MAX];
    if (strcmp(a, b) == 0 || (softfocus_is_stdout(a) && softfocus_is_stdout(b)))
        return true;
    return resolve(a, first) && resolve(b, second) && strcmp(first, second) == 0;
}

static bool write_all(int file, const void *bytes, size_t size)
{
    for (const char *at = bytes; size > 0;) {
        ssize_t written = write(file, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_result(int file, const result *r)
{
    char header[NPY_MAX_WRITTEN_HEADER];
    size_t length = r->header != NULL ? softfocus_npy_format_header(r->header, header) : 0;
    return write_all(file, header, length) && write_all(file, r->data, r->size);
}

/* A new file beside `d->name`, with the rights that a file there has or would get. -1: errno says why not. */
static int open_temporary(destination *d, const struct stat *existing)
{
    if (existing != NULL && access(d->name, W_OK) != 0) /* renaming would not ask */
        return -1;
    mode_t mask = umask(0);
    umask(mask);
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", d->name);
    if (snprintf(d->temporary, sizeof d->temporary, "%s/.softfocus-XXXXXX", dirname(copy)) >=
        (int)sizeof d->temporary) {
        d->temporary[0] = '\0';
        errno = ENAMETOOLONG;
        return -1;
    }
    int file = mkostemp(d->temporary, O_CLOEXEC);
    if (file < 0)
        d->temporary[0] = '\0';
    else
        (void)fchmod(file, existing != NULL ? existing->st_mode & 0777 : 0666 & ~mask);
    return file;
}

/* What a result is written to: a temporary file, or what is there and no regular file. -1: errno says why not. */
static int open_destination(const char *path, destination *d)
{
    d->temporary[0] = '\0';
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode))
        return open(path, O_WRONLY | O_CLOEXEC);
    return resolve(path, d->name) ? open_temporary(d, exists ? &status : NULL) : -1;
}

/* Writes one result under its temporary name. */
static bool prepare(const result *r, destination *d)
{
    d->temporary[0] = '\0';
    if (softfocus_is_stdout(r->path))
        return fflush(stdout) == 0 && write_result(STDOUT_FILENO, r);
    int file = open_destination(r->path, d);
    if (file < 0)
        return false;
    bool written = write_result(file, r);
    int error = errno;
    bool closed = close(file) == 0; /* where a network's file system says that it is full */
    if (!written)
        errno = error;
    return written && closed;
}

static int complain(const char *path)
{
    const char *reason = strerror(errno);
    return softfocus_complain(strcmp(path, "-") == 0 ? "standard output" : path, "%s", reason);
}

bool softfocus_can_save(const char *path)
{
    struct stat status;
    if (softfocus_is_stdout(path))
        return softfocus_complain(path, "standard output is this file, too"), false;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) { /* opening a pipe would wait for its reader */
        errno = EISDIR;
        return (!S_ISDIR(status.st_mode) && access(path, W_OK) == 0) || (complain(path), false);
    }
    destination *d = softfocus_tool_allocate(1, sizeof *d);
    int file = open_destination(path, d);
    bool good = file >= 0 || (complain(path), false);
    if (good)
        close(file);
    if (d->temporary[0] != '\0')
        unlink(d->temporary);
    free(d);
    return good;
}

int softfocus_save(const result *results, size_t count)
{
    destination *destinations = softfocus_tool_allocate(count, sizeof *destinations);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        if (results[i].path != NULL && !prepare(&results[i], &destinations[i]))
            status = complain(results[i].path);
    for (size_t i = 0; i < count && status == 0; i++) {
        if (destinations[i].temporary[0] == '\0')
            continue;
        if (rename(destinations[i].temporary, destinations[i].name) == 0)
            destinations[i].temporary[0] = '\0';
        else
            status = softfocus_complain(results[i].path, "%s", strerror(errno));
    }
    for (size_t i = 0; i < count; i++)
        if (destinations[i].temporary[0] != '\0')
            unlink(destinations[i].temporary);
    free(destinations);
    return status;
}
