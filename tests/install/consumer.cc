// The same consumer as C++: the public header must be clean there too.
#include "consumer.c"
