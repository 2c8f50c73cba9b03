/* The CPU's name, from /proc/cpuinfo. See cpu_model.h. */
#include "cpu_model.h"

#include <stdio.h>
#include <string.h>

/* The value of a line "key : value", without its newline; NULL if it has another key. */
static const char *value_of(char *line, const char *key)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0 || strspn(line + length, " \t:") == 0)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line + length + strspn(line + length, " \t:");
}

void softfocus_cpu_model(char name[CPU_MODEL_SIZE])
{
    char line[1024], implementer[64] = "", part[64] = ""; /* the flags' line is longer, and comes in pieces */
    name[0] = '\0';
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && name[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *value;
        if ((value = value_of(line, "model name")) != NULL)
            snprintf(name, CPU_MODEL_SIZE, "%s", value);
        else if ((value = value_of(line, "CPU implementer")) != NULL)
            snprintf(implementer, sizeof implementer, "%s", value);
        else if ((value = value_of(line, "CPU part")) != NULL)
            snprintf(part, sizeof part, "%s", value);
    }
    if (file != NULL)
        fclose(file);
    if (name[0] == '\0' && part[0] != '\0')
        snprintf(name, CPU_MODEL_SIZE, "implementer %s, part %s", implementer, part);
    else if (name[0] == '\0')
        snprintf(name, CPU_MODEL_SIZE, "unknown");
}
