/* Memory between two pages that may not be touched, so that a read or write past either end is a crash at
 * once. For the cases and the tests. */
#ifndef SOFTFOCUS_TESTS_BUFFERS_H
#define SOFTFOCUS_TESTS_BUFFERS_H

#include <stddef.h>

typedef struct softfocus_buffer {
    void *data; /* what was asked for */
    size_t size;
    void
        *usable; /* all bytes between the guard pages: whole pages, of which data are the first or the last */
    size_t usable_size;
} softfocus_buffer;

/* `front`: data begin `offset` bytes after the front guard page; else they end at the back one, and offset
   is not looked at. A size of 0 gives a pointer that must not be read. Contents are 0, or what a buffer was
   freed with. Ends the process when memory runs out. Not for several threads. */
softfocus_buffer softfocus_buffer_make(size_t size, int front, size_t offset);
void softfocus_buffer_free(softfocus_buffer *buffer);

/* malloc that ends the process, with a message, when memory runs out. Never NULL. */
void *softfocus_allocate(size_t count, size_t size);

#endif
