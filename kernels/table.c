/* The table of one ISA's kernels, complete by construction: a row of kernels.def whose function is missing does not
 * link. dispatch/ finds the tables by name, through isa.def. */
#include "kernels/instance.h"

extern const struct softfocus_kernels SOFTFOCUS_INSTANCE(kernels);

const struct softfocus_kernels SOFTFOCUS_INSTANCE(kernels) = {
#define KERNEL(name, arguments) .name = SOFTFOCUS_INSTANCE(name),
#include "kernels/kernels.def"
#undef KERNEL
};
