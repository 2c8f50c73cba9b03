/* softfocus/adaptors/tbb.hpp in a second file of the program, for test_tbb.cc. */
#include "softfocus/adaptors/tbb.hpp"

bool functions_of_other_file();

bool functions_of_other_file()
{
    softfocus_context (*volatile make)() = softfocus_tbb_context;
    return make().parallel_for == softfocus_tbb_parallel_for;
}
