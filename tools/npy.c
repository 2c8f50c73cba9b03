/* Parsing and formatting of .npy bytes in memory; npy_file.c loads them. The format:
 *
 *     "\x93NUMPY", major, minor, header length (u16 in version 1, u32 in 2 and 3, little endian),
 *     header: a Python literal, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), },
 *             padded with spaces, '\n',
 *     the elements.
 *
 * Every byte may be hostile: nothing is read before the cursor's end has been checked, and every size that the
 * file states is checked before it is computed with. */
#include "npy.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements are used as they lie in the file: little endian"
#endif

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* Indexed by npy_dtype. */
static const struct {
    const char *descr;
    size_t size;
} dtypes[] = {{"<f4", 4}, {"<i4", 4}, {"<i8", 8}};

enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

typedef enum parse_result { PARSE_OK, PARSE_SHORT, PARSE_BAD } parse_result;

/* The header's text. */
typedef struct cursor {
    const unsigned char *file, *at, *end;
    npy_problem *problem;
} cursor;

static parse_result parse_header(const unsigned char *bytes, size_t size, npy_header *header, size_t *wanted,
                                 npy_problem *problem);

__attribute__((format(printf, 2, 3))) static bool fail(npy_problem *problem, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return false;
}

bool softfocus_npy_parse(const void *bytes, size_t size, npy_header *header, npy_problem *problem)
{
    size_t wanted;
    switch (parse_header(bytes, size, header, &wanted, problem)) {
    case PARSE_BAD:
        return false;
    case PARSE_SHORT:
        return size == 0
                   ? fail(problem, "empty file")
                   : fail(problem, "truncated in its header: %zu bytes, where %zu are needed", size, wanted);
    case PARSE_OK:
        break;
    }
    size_t present = size - header->data_offset;
    if (present < header->data_bytes)
        return fail(problem, "truncated: %zu bytes of elements, where its shape needs %zu", present,
                    header->data_bytes);
    if (present > header->data_bytes)
        return fail(problem, "%zu bytes too many after the last element (at byte %zu)",
                    present - header->data_bytes, wanted);
    return true;
}

size_t softfocus_npy_wanted(const void *bytes, size_t size)
{
    npy_header header;
    npy_problem problem;
    size_t wanted;
    return parse_header(bytes, size, &header, &wanted, &problem) == PARSE_BAD ? 0 : wanted;
}

/* ---- The header's text --------------------------------------------------------------------------------- */

static bool fail_at(const cursor *c, const char *what)
{
    return fail(c->problem, "malformed header at byte %zu: %s", (size_t)(c->at - c->file), what);
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r' || *c->at == '\n'))
        c->at++;
}

/* Skips space, then takes `wanted` if it is next. */
static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != (unsigned char)wanted)
        return false;
    c->at++;
    return true;
}

static bool take_word(cursor *c, const char *word)
{
    skip_space(c);
    size_t length = strlen(word);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* A Python string of printable ASCII without escapes, which is all that NumPy writes for plain dtypes. */
static bool parse_string(cursor *c, char *text, size_t capacity)
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return fail_at(c, "a string is expected");
    unsigned char quote = *c->at++;
    size_t length = 0;
    for (; c->at < c->end && *c->at != quote; c->at++) {
        if (*c->at < ' ' || *c->at > '~' || *c->at == '\\')
            return fail_at(c, "a string holds a character other than printable ASCII");
        if (length + 1 == capacity)
            return fail_at(c, "a string is too long");
        text[length++] = (char)*c->at;
    }
    if (c->at == c->end)
        return fail_at(c, "a string has no end");
    c->at++;
    text[length] = '\0';
    return true;
}

static bool parse_descr(cursor *c, npy_header *header)
{
    skip_space(c);
    if (c->at < c->end && *c->at == '[')
        return fail(c->problem, "structured dtypes are not supported (f4, i4 and i8 are)");
    char descr[32] = "";
    if (!parse_string(c, descr, sizeof descr))
        return false;
    for (size_t i = 0; i < DTYPES; i++) {
        if (strcmp(descr, dtypes[i].descr) == 0) {
            header->dtype = (npy_dtype)i;
            return true;
        }
        if (descr[0] == '>' && strcmp(descr + 1, dtypes[i].descr + 1) == 0)
            return fail(c->problem, "dtype '%s' is big endian; only little endian is supported", descr);
    }
    return fail(c->problem, "dtype '%s' is not supported ('<f4', '<i4' and '<i8' are)", descr);
}

static bool parse_fortran_order(cursor *c, npy_header *header)
{
    header->fortran_order = take_word(c, "True");
    return header->fortran_order || take_word(c, "False") || fail_at(c, "True or False is expected");
}

static bool parse_dimension(cursor *c, size_t *dimension)
{
    skip_space(c);
    if (c->at < c->end && *c->at == '-')
        return fail_at(c, "a dimension is negative");
    if (c->at == c->end || *c->at < '0' || *c->at > '9')
        return fail_at(c, "a dimension is expected");
    size_t value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        size_t digit = (size_t)(*c->at - '0');
        if (value > (PTRDIFF_MAX - digit) / 10)
            return fail_at(c, "a dimension is too large for this machine");
        value = value * 10 + digit;
    }
    if (c->at < c->end && *c->at == 'L') /* Python 2 wrote long integers so */
        c->at++;
    *dimension = value;
    return true;
}

static bool parse_shape(cursor *c, npy_header *header)
{
    if (!take(c, '('))
        return fail_at(c, "a tuple is expected");
    header->ndim = 0;
    bool comma = true; /* (3) is no tuple, and (3 4) nothing at all */
    while (!take(c, ')')) {
        if (!comma)
            return fail_at(c, "a comma is expected");
        if (header->ndim == NPY_MAX_DIMS)
            return fail_at(c, "more than 64 dimensions");
        if (!parse_dimension(c, &header->shape[header->ndim]))
            return false;
        header->ndim++;
        comma = take(c, ',');
    }
    return header->ndim != 1 || comma || fail_at(c, "a tuple of one has a comma");
}

/* The dictionary: these three keys, each once, in any order. */
static bool parse_dictionary(cursor *c, npy_header *header)
{
    static const struct {
        const char *key;
        bool (*parse)(cursor *, npy_header *);
    } entries[] = {{"descr", parse_descr}, {"fortran_order", parse_fortran_order}, {"shape", parse_shape}};
    enum { ENTRIES = sizeof entries / sizeof entries[0] };

    bool seen[ENTRIES] = {false};
    if (!take(c, '{'))
        return fail_at(c, "'{' is expected");
    bool comma = true;
    while (!take(c, '}')) {
        if (!comma)
            return fail_at(c, "a comma is expected");
        char key[32];
        if (!parse_string(c, key, sizeof key))
            return false;
        size_t i = 0;
        while (i < ENTRIES && strcmp(key, entries[i].key) != 0)
            i++;
        if (i == ENTRIES)
            return fail(c->problem, "malformed header: unknown key '%s'", key);
        if (seen[i])
            return fail(c->problem, "malformed header: key '%s' is there twice", key);
        seen[i] = true;
        if (!take(c, ':'))
            return fail_at(c, "':' is expected");
        if (!entries[i].parse(c, header))
            return false;
        comma = take(c, ',');
    }
    for (size_t i = 0; i < ENTRIES; i++)
        if (!seen[i])
            return fail(c->problem, "malformed header: key '%s' is missing", entries[i].key);
    skip_space(c);
    return c->at == c->end || fail_at(c, "only spaces may follow '}'");
}

/* ---- Sizes --------------------------------------------------------------------------------------------- */

/* count and data_bytes. The product leaves dimensions of 0 out at first, as NumPy's own check does: outer and
   inner sizes of an empty array are multiplied later, and have to fit as well. */
static bool measure(npy_header *header, npy_problem *problem)
{
    size_t limit = (PTRDIFF_MAX - header->data_offset) / dtypes[header->dtype].size;
    size_t product = 1;
    bool empty = false;
    for (size_t i = 0; i < header->ndim; i++) {
        if (header->shape[i] == 0)
            empty = true;
        else if (product > limit / header->shape[i])
            return fail(problem, "its shape is too large for this machine");
        else
            product *= header->shape[i];
    }
    header->count = empty ? 0 : product;
    header->data_bytes = header->count * dtypes[header->dtype].size;
    return true;
}

/* The magic, the version and the header's length: fills data_offset. */
static parse_result parse_prefix(const unsigned char *bytes, size_t size, size_t *text_offset,
                                 npy_header *header, size_t *wanted, npy_problem *problem)
{
    *wanted = sizeof magic + 4; /* with the shorter of the two length fields */
    if (memcmp(bytes, magic, size < sizeof magic ? size : sizeof magic) != 0) {
        if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0)
            fail(problem, "a .npz archive; unpack the .npy files that it holds");
        else
            fail(problem, "not a .npy file (the first bytes are not \\x93NUMPY)");
        return PARSE_BAD;
    }
    if (size < *wanted)
        return PARSE_SHORT;
    unsigned major = bytes[6], minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0) {
        fail(problem, "version %u.%u of the .npy format is not supported (1.0, 2.0 and 3.0 are)", major,
             minor);
        return PARSE_BAD;
    }
    size_t length_bytes = major == 1 ? 2 : 4;
    *wanted = *text_offset = sizeof magic + 2 + length_bytes;
    if (size < *wanted)
        return PARSE_SHORT;
    size_t length = 0;
    for (size_t i = 0; i < length_bytes; i++)
        length |= (size_t)bytes[8 + i] << (8 * i);
    if (length > NPY_MAX_HEADER) {
        fail(problem, "malformed header: its length is given as %zu bytes", length);
        return PARSE_BAD;
    }
    header->data_offset = *text_offset + length;
    return PARSE_OK;
}

static parse_result parse_header(const unsigned char *bytes, size_t size, npy_header *header, size_t *wanted,
                                 npy_problem *problem)
{
    size_t text_offset;
    *header = (npy_header){0};
    parse_result result = parse_prefix(bytes, size, &text_offset, header, wanted, problem);
    if (result != PARSE_OK)
        return result;
    *wanted = header->data_offset;
    if (size < *wanted)
        return PARSE_SHORT;
    cursor c = {bytes, bytes + text_offset, bytes + header->data_offset, problem};
    if (!parse_dictionary(&c, header) || !measure(header, problem))
        return PARSE_BAD;
    *wanted = header->data_offset + header->data_bytes;
    return PARSE_OK;
}

/* ---- Text ---------------------------------------------------------------------------------------------- */

const char *softfocus_npy_dtype_name(npy_dtype dtype)
{
    return dtypes[dtype].descr + 1;
}

size_t softfocus_npy_dtype_size(npy_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *softfocus_npy_shape_text(size_t ndim, const size_t *shape, char *text)
{
    size_t length = 0;
    text[length++] = '(';
    for (size_t i = 0; i < ndim; i++)
        length += (size_t)snprintf(text + length, NPY_MAX_SHAPE_TEXT - length, "%s%zu", i == 0 ? "" : ", ",
                                   shape[i]);
    snprintf(text + length, NPY_MAX_SHAPE_TEXT - length, ndim == 1 ? ",)" : ")");
    return text;
}

size_t softfocus_npy_format_header(const npy_header *header, char *text)
{
    enum { PREFIX = sizeof magic + 4, ALIGNMENT = 64 };

    char shape[NPY_MAX_SHAPE_TEXT];
    size_t length = PREFIX;
    length += (size_t)snprintf(text + PREFIX, NPY_MAX_WRITTEN_HEADER - PREFIX,
                               "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }",
                               dtypes[header->dtype].descr, header->fortran_order ? "True" : "False",
                               softfocus_npy_shape_text(header->ndim, header->shape, shape));
    size_t total = (length + ALIGNMENT) / ALIGNMENT * ALIGNMENT; /* room for '\n' */
    memset(text + length, ' ', total - length - 1);
    text[total - 1] = '\n';
    memcpy(text, magic, sizeof magic);
    text[6] = 1;
    text[7] = 0;
    text[8] = (char)((total - PREFIX) & 0xff);
    text[9] = (char)((total - PREFIX) >> 8);
    return total;
}
