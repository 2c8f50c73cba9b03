/* Guard pages: see buffers.h. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "buffers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes\n", size);
    exit(EXIT_FAILURE);
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

softfocus_buffer softfocus_buffer_make(size_t size, int front, size_t offset)
{
    size_t page = page_size();
    size_t needed = size + (front ? offset : 0);
    size_t usable_size = (needed + page - 1) / page * page;
    if (usable_size == 0)
        usable_size = page;
    unsigned char *mapping =
        mmap(NULL, usable_size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping + page, usable_size, PROT_READ | PROT_WRITE) != 0)
        out_of_memory(size);
    softfocus_buffer buffer = {.size = size, .usable = mapping + page, .usable_size = usable_size};
    buffer.data = front ? mapping + page + offset : mapping + page + usable_size - size;
    return buffer;
}

void softfocus_buffer_free(softfocus_buffer *buffer)
{
    if (buffer->usable != NULL)
        munmap((unsigned char *)buffer->usable - page_size(), buffer->usable_size + 2 * page_size());
    *buffer = (softfocus_buffer){0};
}

void *softfocus_allocate(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size)
        out_of_memory(SIZE_MAX);
    void *memory = malloc(count * size == 0 ? 1 : count * size);
    if (memory == NULL)
        out_of_memory(count * size);
    return memory;
}
