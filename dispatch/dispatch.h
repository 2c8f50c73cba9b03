/* The ISAs of this build. Used by api.c, and by `softfocus info` for what an ISA needs. */
#ifndef SOFTFOCUS_DISPATCH_DISPATCH_H
#define SOFTFOCUS_DISPATCH_DISPATCH_H

#include "dispatch/cpu.h"
#include "kernels/kernels.h"

struct softfocus_isa {
    const char *name;
    uint32_t features; /* that it needs: a set of softfocus_cpu_feature */
    const struct softfocus_kernels *f32;
};

#endif
