/* The CPU's name, for reports. */
#ifndef SOFTFOCUS_TOOLS_CPU_MODEL_H
#define SOFTFOCUS_TOOLS_CPU_MODEL_H

enum { CPU_MODEL_SIZE = 256 };

/* As Linux gives it (Arm kernels: maker and part by number); "unknown" where it does not. */
void softfocus_cpu_model(char name[CPU_MODEL_SIZE]);

#endif
