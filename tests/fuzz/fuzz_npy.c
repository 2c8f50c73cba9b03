/* Fuzzes the reader of .npy files from memory (tools/npy.c): any bytes are either refused with a sentence, or a header whose
 * fields agree with one another and with the bytes. A finding is a message and abort(). */
#include "tools/npy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void expect(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "FOUND: %s\n", what);
    abort();
}

/* Memory of exactly this size, so that a sanitizer sees a read past it. */
static unsigned char *exact_copy(const uint8_t *bytes, size_t size)
{
    unsigned char *copy = malloc(size == 0 ? 1 : size);
    if (copy == NULL)
        exit(EXIT_FAILURE);
    if (size != 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void check_header(const npy_header *header, size_t size)
{
    size_t product = 1;
    expect(header->ndim <= NPY_MAX_DIMS, "more dimensions than there can be");
    for (size_t i = 0; i < header->ndim; i++)
        product *= header->shape[i]; /* may wrap around, but then one is 0 */
    expect(header->count == product, "count is not the product of the shape");
    expect(header->data_bytes == header->count * softfocus_npy_dtype_size(header->dtype), "bytes are not count elements");
    expect(header->data_offset <= size && header->data_bytes == size - header->data_offset,
           "the elements do not end the file");
}

/* Written and read again, a header says the same. */
static void check_round_trip(const npy_header *header)
{
    char text[NPY_MAX_WRITTEN_HEADER], first_shape[NPY_MAX_SHAPE_TEXT], second_shape[NPY_MAX_SHAPE_TEXT];
    npy_problem problem;
    npy_header again;
    size_t length = softfocus_npy_format_header(header, text);
    expect(length <= sizeof text && length % 64 == 0, "a written header is too long, or no multiple of 64");
    unsigned char *whole = malloc(length + header->data_bytes);
    if (whole == NULL)
        exit(EXIT_FAILURE);
    memcpy(whole, text, length);
    memset(whole + length, 0, header->data_bytes);
    expect(softfocus_npy_parse(whole, length + header->data_bytes, &again, &problem), "a written header is refused");
    free(whole);
    expect(again.dtype == header->dtype && again.fortran_order == header->fortran_order &&
               again.count == header->count && again.data_offset == length,
           "a written header says something else");
    expect(strcmp(softfocus_npy_shape_text(header->ndim, header->shape, first_shape),
                  softfocus_npy_shape_text(again.ndim, again.shape, second_shape)) == 0,
           "a written header has another shape");
}

/* For readers of streams: every beginning of a good file asks for more, and never for more than the file. */
static void check_beginnings(const unsigned char *bytes, size_t size, size_t header_size)
{
    npy_header header;
    npy_problem problem;
    for (size_t length = 0; length < size && length <= header_size; length++) {
        unsigned char *beginning = exact_copy(bytes, length);
        size_t wanted = softfocus_npy_wanted(beginning, length);
        expect(wanted > length && wanted <= size, "a beginning asks for too little or too much");
        expect(!softfocus_npy_parse(beginning, length, &header, &problem), "a beginning passes for the whole");
        free(beginning);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    unsigned char *copy = exact_copy(bytes, size);
    npy_header header;
    npy_problem problem;
    memset(problem.text, 'x', sizeof problem.text);
    if (softfocus_npy_parse(copy, size, &header, &problem)) {
        check_header(&header, size);
        expect(softfocus_npy_wanted(copy, size) == size, "another size is wanted than the file has");
        check_round_trip(&header);
        check_beginnings(copy, size, header.data_offset);
    } else {
        const char *end = memchr(problem.text, '\0', sizeof problem.text);
        expect(end != NULL && end != problem.text, "a refusal says nothing");
        softfocus_npy_wanted(copy, size);
    }
    free(copy);
    return 0;
}
