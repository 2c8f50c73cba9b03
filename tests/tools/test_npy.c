/* tools/npy.h: what is read, what is refused and with which words, from memory, from files and from pipes.
   Run by meson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/npy.h"

/* A file made by hand. */
typedef struct bytes {
    unsigned char at[4096];
    size_t size;
} bytes;

enum { GOOD_ELEMENTS = 24 }; /* of shape (2, 3), f4 */
static const char good_header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";

static bytes make(int version, const char *header, size_t data_size)
{
    bytes b = {.size = version == 1 ? 10 : 12};
    size_t length = strlen(header);
    memcpy(b.at, "\x93NUMPY", 6);
    b.at[6] = (unsigned char)version;
    for (size_t i = 8; i < b.size; i++)
        b.at[i] = (unsigned char)(length >> (8 * (i - 8)));
    memcpy(b.at + b.size, header, length);
    b.size += length;
    for (size_t i = 0; i < data_size; i++)
        b.at[b.size++] = (unsigned char)i;
    return b;
}

/* Parses a copy that ends where the heap's block does, so that valgrind and the address sanitizer see a read
   too far. */
static bool parse(const bytes *b, npy_header *header, npy_problem *problem)
{
    unsigned char *copy = malloc(b->size > 0 ? b->size : 1);
    assert_non_null(copy);
    memcpy(copy, b->at, b->size);
    bool good = softfocus_npy_parse(copy, b->size, header, problem);
    free(copy);
    return good;
}

static void assert_good(const bytes *b, npy_header *header)
{
    npy_problem problem;
    if (!parse(b, header, &problem))
        fail_msg("refused: %s", problem.text);
}

/* Refused, with `words` in what is said. */
static void assert_refused(const bytes *b, const char *words)
{
    npy_header header;
    npy_problem problem;
    if (parse(b, &header, &problem))
        fail_msg("accepted, where '%s' was due", words);
    if (strstr(problem.text, words) == NULL)
        fail_msg("'%s' has no '%s'", problem.text, words);
}

static void assert_header_refused(const char *text, const char *words)
{
    bytes b = make(1, text, GOOD_ELEMENTS);
    assert_refused(&b, words);
}

/* ---- What is read -------------------------------------------------------------------------------------- */

static void test_versions(void **state)
{
    (void)state;
    for (int version = 1; version <= 3; version++) {
        bytes b = make(version, good_header, GOOD_ELEMENTS);
        npy_header header;
        assert_good(&b, &header);
        assert_int_equal(header.dtype, NPY_F4);
        assert_false(header.fortran_order);
        assert_int_equal(header.ndim, 2);
        assert_int_equal(header.shape[0], 2);
        assert_int_equal(header.shape[1], 3);
        assert_int_equal(header.count, 6);
        assert_int_equal(header.data_bytes, 24);
        assert_int_equal(header.data_offset, b.size - 24);
    }
}

/* Other ways to write a header that mean the same, as other writers of the format do. */
static void test_spellings(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        " { 'fortran_order' : False , 'shape' : ( 2 , 3 , ) , 'descr' : '<f4' , } \n\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0000000000000000000000002, 3)}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bytes b = make(1, texts[i], GOOD_ELEMENTS);
        npy_header header;
        assert_good(&b, &header);
        assert_int_equal(header.count, 6);
    }
}

static void test_dtypes_orders_and_shapes(void **state)
{
    (void)state;
    npy_header header;
    bytes b = make(1, "{'descr': '<i4', 'fortran_order': True, 'shape': (), }", 4);
    assert_good(&b, &header);
    assert_int_equal(header.dtype, NPY_I4);
    assert_true(header.fortran_order);
    assert_int_equal(header.ndim, 0);
    assert_int_equal(header.count, 1);

    b = make(2, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", 24);
    assert_good(&b, &header);
    assert_int_equal(header.dtype, NPY_I8);
    assert_int_equal(header.ndim, 1);

    b = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 0, 7), }", 0);
    assert_good(&b, &header);
    assert_int_equal(header.count, 0);
}

/* ---- What is refused ----------------------------------------------------------------------------------- */

static void test_prefix_refused(void **state)
{
    (void)state;
    bytes b = {.size = 0};
    assert_refused(&b, "empty file");
    b = (bytes){.at = "hello, world", .size = 12};
    assert_refused(&b, "not a .npy file");
    b = (bytes){.at = "PK\3\4 and so on", .size = 12};
    assert_refused(&b, ".npz archive");
    b = make(1, good_header, GOOD_ELEMENTS);
    b.at[6] = 4;
    assert_refused(&b, "version 4.0");
    b = make(1, good_header, GOOD_ELEMENTS);
    b.at[7] = 1;
    assert_refused(&b, "version 1.1");
    b = make(2, good_header, GOOD_ELEMENTS);
    b.at[11] = 0xff;
    assert_refused(&b, "length is given as");
}

static void test_sizes_refused(void **state)
{
    (void)state;
    bytes whole = make(1, good_header, GOOD_ELEMENTS);
    for (size_t size = 1; size < whole.size; size++) {
        bytes b = whole;
        b.size = size;
        assert_refused(&b, "truncated");
    }
    bytes b = whole;
    b.at[b.size++] = 0;
    assert_refused(&b, "1 bytes too many");
}

static void test_headers_refused(void **state)
{
    (void)state;
#define DESCR "'descr': '<f4', "
#define ORDER "'fortran_order': False, "
#define SHAPE "'shape': (2, 3), "
    static const struct {
        const char *text, *words;
    } headers[] = {
        {"", "'{' is expected"},
        {"[]", "'{' is expected"},
        {"{", "a string is expected"},
        {"{}", "key 'descr' is missing"},
        {"{" ORDER SHAPE "}", "key 'descr' is missing"},
        {"{" DESCR SHAPE "}", "key 'fortran_order' is missing"},
        {"{" DESCR ORDER "}", "key 'shape' is missing"},
        {"{" DESCR ORDER SHAPE DESCR "}", "key 'descr' is there twice"},
        {"{" DESCR ORDER SHAPE SHAPE "}", "key 'shape' is there twice"},
        {"{" DESCR ORDER SHAPE "'extra': 1}", "unknown key 'extra'"},
        {"{" DESCR ORDER SHAPE "} x", "only spaces may follow"},
        {"{" DESCR ORDER SHAPE, "a string is expected"},
        {"{'descr", "a string has no end"},
        {"{'descr' '<f4'}", "':' is expected"},
        {"{'descr': '<f4' 'shape': (1,)}", "a comma is expected"},
        {"{'descr': 4}", "a string is expected"},
        {"{'d\\x65scr': '<f4'}", "printable ASCII"},
        {"{'descr\33[2J': '<f4'}", "printable ASCII"},
        {"{'descr': 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz'}", "too long"},
        {"{'descr': [('x', '<f4')], " ORDER SHAPE "}", "structured"},
        {"{'descr': '>f4', " ORDER SHAPE "}", "big endian"},
        {"{'descr': '<f8', " ORDER SHAPE "}", "'<f8' is not supported"},
        {"{'descr': '|O', " ORDER SHAPE "}", "'|O' is not supported"},
        {"{'descr': '', " ORDER SHAPE "}", "'' is not supported"},
        {"{" DESCR "'fortran_order': 0, " SHAPE "}", "True or False"},
        {"{" DESCR "'fortran_order': Falsehood, " SHAPE "}", "a comma is expected"},
        {"{" DESCR ORDER "'shape': 6}", "a tuple is expected"},
        {"{" DESCR ORDER "'shape': [2, 3]}", "a tuple is expected"},
        {"{" DESCR ORDER "'shape': (6)}", "a tuple of one has a comma"},
        {"{" DESCR ORDER "'shape': (,)}", "a dimension is expected"},
        {"{" DESCR ORDER "'shape': (2 3)}", "a comma is expected"},
        {"{" DESCR ORDER "'shape': (2, -3)}", "negative"},
        {"{" DESCR ORDER "'shape': (2, 3.0)}", "a comma is expected"},
        {"{" DESCR ORDER "'shape': (2, x)}", "a dimension is expected"},
        {"{" DESCR ORDER "'shape': (2, 3", "a comma is expected"},
        {"{" DESCR ORDER "'shape': (2, 3,", "a dimension is expected"},
        {"{" DESCR ORDER "'shape': (9223372036854775808,)}", "too large"},
        {"{" DESCR ORDER "'shape': (99999999999999999999999999,)}", "too large"},
        {"{" DESCR ORDER "'shape': (9223372036854775807,)}", "too large"},
        {"{" DESCR ORDER "'shape': (4294967296, 4294967296)}", "too large"},
        {"{" DESCR ORDER "'shape': (0, 4294967296, 4294967296)}", "too large"},
        {"{" DESCR ORDER "'shape': (2305843009213693952, 8)}", "too large"},
        {"{" DESCR ORDER "'shape': (1000000000000,)}", "truncated"},
    };
#undef DESCR
#undef ORDER
#undef SHAPE
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        assert_header_refused(headers[i].text, headers[i].words);
}

/* A header that breaks off anywhere, with its length saying so. */
static void test_cut_headers_refused(void **state)
{
    (void)state;
    char text[sizeof good_header];
    size_t end = strcspn(good_header, "}");
    for (size_t length = 0; length <= end; length++) {
        memcpy(text, good_header, length);
        text[length] = '\0';
        bytes b = make(1, text, 0);
        npy_header header;
        npy_problem problem;
        assert_false(parse(&b, &header, &problem));
    }
}

static void test_dimensions(void **state)
{
    (void)state;
    for (size_t ndim = 64; ndim <= 65; ndim++) {
        char text[1024] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
        for (size_t i = 0; i < ndim; i++)
            strcat(text, "1, ");
        strcat(text, ")}");
        bytes b = make(1, text, 4);
        npy_header header;
        if (ndim == 64)
            assert_good(&b, &header);
        else
            assert_refused(&b, "more than 64 dimensions");
    }
}

/* ---- What is written ----------------------------------------------------------------------------------- */

static void test_headers_round(void **state)
{
    (void)state;
    npy_header many = {.dtype = NPY_F4, .ndim = 64};
    for (size_t i = 0; i < 64; i++)
        many.shape[i] = i == 0 ? 0 : 1;
    const npy_header headers[] = {
        {.dtype = NPY_F4},
        {.dtype = NPY_I4, .ndim = 1, .shape = {5}},
        {.dtype = NPY_I8, .fortran_order = true, .ndim = 3, .shape = {5, 0, 1234567}},
        many};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char text[NPY_MAX_WRITTEN_HEADER];
        bytes b = {.size = softfocus_npy_format_header(&headers[i], text)};
        assert_int_equal(b.size % 64, 0);
        memcpy(b.at, text, b.size);
        assert_int_equal(b.at[b.size - 1], '\n');
        size_t elements = i == 0 ? 4 : i == 1 ? 20 : 0;
        memset(b.at + b.size, 0, elements);
        b.size += elements;
        npy_header read;
        assert_good(&b, &read);
        assert_int_equal(read.dtype, headers[i].dtype);
        assert_int_equal(read.fortran_order, headers[i].fortran_order);
        assert_int_equal(read.ndim, headers[i].ndim);
        assert_memory_equal(read.shape, headers[i].shape, sizeof read.shape);
    }
}

/* The longest header that there is fits. */
static void test_longest_header(void **state)
{
    (void)state;
    npy_header header = {.dtype = NPY_F4, .ndim = 64};
    for (size_t i = 0; i < 64; i++)
        header.shape[i] = SIZE_MAX;
    char text[NPY_MAX_WRITTEN_HEADER];
    size_t size = softfocus_npy_format_header(&header, text);
    assert_true(size <= sizeof text);
    assert_non_null(strstr(text + 10, "18446744073709551615), }"));
}

/* ---- Loading ------------------------------------------------------------------------------------------- */

/* How a stream is read on: what is wanted never shrinks while good bytes come in, and ends at the file's
   size. */
static void test_wanted(void **state)
{
    (void)state;
    bytes b = make(2, good_header, GOOD_ELEMENTS);
    size_t before = 0;
    for (size_t size = 0; size <= b.size; size++) {
        size_t wanted = softfocus_npy_wanted(b.at, size);
        assert_true(wanted >= before && wanted <= b.size && (wanted > size || size == b.size));
        before = wanted;
    }
    assert_int_equal(before, b.size);
    assert_int_equal(softfocus_npy_wanted("garbage.....", 12), 0);
}

/* A file of `size` bytes in memory (memfd) under a path of its own. */
static int make_file(const void *head, size_t head_size, size_t size, char path[32])
{
    int file = memfd_create("npy", 0);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    assert_int_equal(pwrite(file, head, head_size, 0), head_size);
    snprintf(path, 32, "/proc/self/fd/%d", file);
    return file;
}

/* Small files are read, large ones mapped; a header of any length may stand before the elements. */
static void test_load(void **state)
{
    (void)state;
    for (size_t elements = 8; elements <= 1 << 20; elements <<= 17) {
        for (size_t padding = 0; padding < 8; padding++) {
            char text[256], path[32];
            snprintf(text, sizeof text, "{'descr': '<i8', 'fortran_order': False, 'shape': (%zu,), }%*s",
                     elements, (int)padding, "");
            bytes b = make(1, text, 0);
            int64_t first = 0x0123456789abcdef;
            memcpy(b.at + b.size, &first, sizeof first);
            int file = make_file(b.at, b.size + sizeof first, b.size + 8 * elements, path);
            npy_array array;
            npy_problem problem;
            if (!softfocus_npy_load(path, &array, &problem))
                fail_msg("%s", problem.text);
            assert_int_equal((uintptr_t)array.data % 8, 0);
            int64_t *data = array.data;
            assert_true(data[0] == first);
            assert_true(data[elements - 1] == 0);
            data[0] = data[elements - 1] = 1; /* the file is not changed by it */
            int64_t kept;
            assert_int_equal(pread(file, &kept, sizeof kept, (off_t)b.size), sizeof kept);
            assert_true(kept == first);
            assert_int_equal(array.mapped_bytes > 0, elements > 8);
            softfocus_npy_free(&array);
            softfocus_npy_free(&array); /* harmless */
            close(file);
        }
    }
}

static void assert_load_refused(const char *path, const char *words)
{
    npy_array array;
    npy_problem problem;
    assert_false(softfocus_npy_load(path, &array, &problem));
    if (strstr(problem.text, words) == NULL)
        fail_msg("'%s' has no '%s'", problem.text, words);
    assert_null(array.block);
}

static void test_load_refused(void **state)
{
    (void)state;
    assert_load_refused("/nonexistent/x.npy", "No such file");
    assert_load_refused("/", "Is a directory");
    assert_load_refused("/dev/null", "empty file");
    assert_load_refused("/dev/zero", "not a .npy file"); /* and is not read for ever */

    char path[32];
    bytes b = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (262144,), }", 0);
    int file = make_file(b.at, b.size, b.size + (1 << 20) - 4, path);
    assert_load_refused(path, "truncated: 1048572 bytes of elements");
    close(file);
    file = make_file(b.at, b.size, b.size + (1 << 20) + 4, path);
    assert_load_refused(path, "4 bytes too many");
    close(file);
    /* A petabyte that is not there costs no memory. */
    b = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (250000000000000,), }", 24);
    file = make_file(b.at, b.size, b.size, path);
    assert_load_refused(path, "truncated: 24 bytes of elements");
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_dtypes_orders_and_shapes),
        cmocka_unit_test(test_prefix_refused),
        cmocka_unit_test(test_sizes_refused),
        cmocka_unit_test(test_headers_refused),
        cmocka_unit_test(test_cut_headers_refused),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_headers_round),
        cmocka_unit_test(test_longest_header),
        cmocka_unit_test(test_wanted),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_refused),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
