/* A sentence for each status. */
#include "softfocus/softfocus.h"

const char *softfocus_status_string(softfocus_status status)
{
    switch (status) {
    case SOFTFOCUS_OK:
        return "The call succeeded.";
    case SOFTFOCUS_ERROR_NULL_POINTER:
        return "A required pointer is NULL.";
    case SOFTFOCUS_ERROR_STRUCT_SIZE:
        return "A struct's size field is not one that this version of the library knows.";
    case SOFTFOCUS_ERROR_SHAPE:
        return "Shapes differ where they must agree, a shape has no classes, or its number of elements overflows.";
    case SOFTFOCUS_ERROR_STRIDE:
        return "A tensor's strides make it overlap itself or leave the address space.";
    case SOFTFOCUS_ERROR_OVERLAP:
        return "An output overlaps an input or another output, and is not exactly in place.";
    case SOFTFOCUS_ERROR_DTYPE:
        return "A dtype is unknown, or dtypes differ where they must agree.";
    case SOFTFOCUS_ERROR_INDEX_TYPE:
        return "The targets' index type is unknown.";
    case SOFTFOCUS_ERROR_REDUCTION:
        return "The reduction is none of none, mean and sum.";
    case SOFTFOCUS_ERROR_OPTION:
        return "An option is out of its range, or two that exclude each other are given.";
    case SOFTFOCUS_ERROR_TARGET:
        return "A target is neither a class index nor the ignore_index.";
    case SOFTFOCUS_ERROR_CLASS_WEIGHT:
        return "A class weight that is used is negative, infinite or NaN.";
    case SOFTFOCUS_ERROR_ISA:
        return "This CPU or its operating system does not support the ISA, or it is none of this build's.";
    case SOFTFOCUS_ERROR_UNSUPPORTED:
        return "The request is valid, but this version of the library does not implement it.";
    }
    return "This is not a status of the library.";
}
