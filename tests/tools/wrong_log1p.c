/* A log1p that is wrong for small numbers, as naive code has it. test_cli.py puts it in place of libm's, which
 * the oracle uses and the kernels do not: `softfocus check` has to see that the two disagree. */
#include <math.h>

__attribute__((visibility("default"))) double log1p(double x)
{
    return log(1.0 + x);
}
