/* Text tables. See table.h. */
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct table {
    const char *columns;
    size_t column_count;
    int *widths;
    char **cells;
    size_t count;
};

table *softfocus_table_new(const char *columns)
{
    table *t = softfocus_tool_allocate(1, sizeof *t);
    t->columns = columns;
    t->column_count = strlen(columns);
    t->widths = softfocus_tool_allocate(t->column_count, sizeof *t->widths);
    return t;
}

void softfocus_table_cell(table *t, const char *format, ...)
{
    char *cell = NULL;
    va_list arguments;
    va_start(arguments, format);
    int width = vasprintf(&cell, format, arguments);
    va_end(arguments);
    char **cells = realloc(t->cells, (t->count + 1) * sizeof *cells);
    if (width < 0 || cells == NULL)
        exit(softfocus_complain(NULL, "out of memory"));
    size_t column = t->count % t->column_count;
    if (width > t->widths[column])
        t->widths[column] = width;
    t->cells = cells;
    t->cells[t->count++] = cell;
}

void softfocus_table_print(table *t, FILE *stream)
{
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->column_count;
        int last = column + 1 == t->column_count;
        if (t->columns[column] == 'r')
            fprintf(stream, "%*s", t->widths[column], t->cells[i]);
        else
            fprintf(stream, "%-*s", last ? 0 : t->widths[column],
                    t->cells[i]); /* no spaces at a line's end */
        fputs(last ? "\n" : "  ", stream);
        free(t->cells[i]);
    }
    free(t->cells);
    free(t->widths);
    free(t);
}
