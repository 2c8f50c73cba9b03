/* Text tables with columns as wide as they need to be. For the commands that report. */
#ifndef SOFTFOCUS_TOOLS_TABLE_H
#define SOFTFOCUS_TOOLS_TABLE_H

#include <stdio.h>

typedef struct table table;

/* One character per column: 'l' or 'r', the side that its cells keep to. */
table *softfocus_table_new(const char *columns);

/* The next cell, in rows from left to right. */
__attribute__((format(printf, 2, 3))) void softfocus_table_cell(table *t, const char *format, ...);

/* Prints and frees it. */
void softfocus_table_print(table *t, FILE *stream);

#endif
