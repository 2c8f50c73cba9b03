/* NumPy's .npy arrays: parsing from memory, headers, loading. For the program softfocus alone; the library
 * knows no files.
 *
 * Read: format versions 1.0, 2.0 and 3.0, dtypes '<f4', '<i4' and '<i8', C and Fortran order, 0 to 64
 * dimensions. Written: version 1.0. All else is a sentence in npy_problem. */
#ifndef SOFTFOCUS_TOOLS_NPY_H
#define SOFTFOCUS_TOOLS_NPY_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NPY_MAX_DIMS = 64,        /* NumPy 2's own limit (NumPy 1: 32) */
    NPY_MAX_HEADER = 1 << 20, /* NumPy refuses headers beyond 10,000 bytes; a plain array takes about 100 */
    NPY_MAX_WRITTEN_HEADER = 2048,   /* 64 dimensions of 20 digits and a comma, and 60 bytes around them */
    NPY_MAX_SHAPE_TEXT = 64 * 22 + 3 /* the same as text: digits, comma and space, parentheses, the end */
};

typedef enum npy_dtype { NPY_F4, NPY_I4, NPY_I8 } npy_dtype;

/* What a header says. count and data_bytes are checked: they fit, and data_offset + data_bytes does too. */
typedef struct npy_header {
    npy_dtype dtype;
    bool fortran_order;
    size_t ndim;
    size_t shape[NPY_MAX_DIMS];
    size_t count;       /* elements */
    size_t data_offset; /* bytes before the first element */
    size_t data_bytes;
} npy_header;

/* What is wrong, as the part of a sentence that follows the file's name. */
typedef struct npy_problem {
    char text[256];
} npy_problem;

/* The whole file lies in memory: checks everything and fills *header. The elements are bytes +
   header->data_offset, without alignment. On failure *header is not to be used. */
bool softfocus_npy_parse(const void *bytes, size_t size, npy_header *header, npy_problem *problem);

/* How many bytes the file has to have, as far as its first `size` bytes tell; 0 where they are malformed and
   reading on is of no use. For streams. */
size_t softfocus_npy_wanted(const void *bytes, size_t size);

/* Writes a version 1.0 header for dtype, fortran_order, ndim and shape into text[NPY_MAX_WRITTEN_HEADER];
   returns its length, a multiple of 64 as NumPy's. */
size_t softfocus_npy_format_header(const npy_header *header, char *text);

const char *softfocus_npy_dtype_name(npy_dtype dtype); /* "f4", "i4", "i8" */
size_t softfocus_npy_dtype_size(npy_dtype dtype);

/* "(3, 4)" into text[NPY_MAX_SHAPE_TEXT]; returns text. */
const char *softfocus_npy_shape_text(size_t ndim, const size_t *shape, char *text);

/* An array in memory of its own: data may be written to and is aligned for its dtype. */
typedef struct npy_array {
    npy_header header;
    void *data;          /* header.count elements; never NULL */
    void *block;         /* what data lies in */
    size_t mapped_bytes; /* block is a private mapping of so many bytes; 0: it is from malloc */
} npy_array;

/* Loads a file; "-" is standard input. Regular files of 1 MiB and more are mapped, others (pipes too) are
   read. */
bool softfocus_npy_load(const char *path, npy_array *array, npy_problem *problem);
void softfocus_npy_free(npy_array *array);

#endif
