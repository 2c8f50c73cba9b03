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

/* Mappings that were freed, for buffers of the same size: to map, touch and unmap pages was a quarter of the time of all
   tests. To touch one is a crash, too. Not for several threads. */
enum { KEPT = 8 };

static struct {
    unsigned char *usable; /* NULL: a free place */
    size_t usable_size;
} kept[KEPT];

/* Whether it could be done. */
static int allow(unsigned char *usable, size_t usable_size, int access)
{
    return mprotect(usable, usable_size, access) == 0;
}

static unsigned char *take_kept(size_t usable_size)
{
    for (size_t i = 0; i < KEPT; i++)
        if (kept[i].usable != NULL && kept[i].usable_size == usable_size) {
            unsigned char *usable = kept[i].usable;
            kept[i].usable = NULL;
            return allow(usable, usable_size, PROT_READ | PROT_WRITE) ? usable : NULL;
        }
    return NULL;
}

static void unmap(unsigned char *usable, size_t usable_size)
{
    munmap(usable - page_size(), usable_size + 2 * page_size());
}

/* In the place of whatever has been there longest. */
static void keep(unsigned char *usable, size_t usable_size)
{
    static size_t next;
    if (kept[next].usable != NULL)
        unmap(kept[next].usable, kept[next].usable_size);
    kept[next].usable = allow(usable, usable_size, PROT_NONE) ? usable : NULL;
    kept[next].usable_size = usable_size;
    next = (next + 1) % KEPT;
}

softfocus_buffer softfocus_buffer_make(size_t size, int front, size_t offset)
{
    size_t page = page_size();
    size_t needed = size + (front ? offset : 0);
    size_t usable_size = (needed + page - 1) / page * page;
    if (usable_size == 0)
        usable_size = page;
    unsigned char *usable = take_kept(usable_size);
    if (usable == NULL) {
        unsigned char *mapping =
            mmap(NULL, usable_size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping == MAP_FAILED || !allow(mapping + page, usable_size, PROT_READ | PROT_WRITE))
            out_of_memory(size);
        usable = mapping + page;
    }
    softfocus_buffer buffer = {.size = size, .usable = usable, .usable_size = usable_size};
    buffer.data = front ? usable + offset : usable + usable_size - size;
    return buffer;
}

void softfocus_buffer_free(softfocus_buffer *buffer)
{
    if (buffer->usable != NULL)
        keep(buffer->usable, buffer->usable_size);
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
