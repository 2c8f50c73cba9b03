/* Arrays as the library sees them: one axis holds the classes, and the others are positions. For the commands
 * that run on .npy files.
 *
 * An array in C order is [outer, classes, inner] as it lies: outer is the product of the axes before the
 * class axis, inner that of those after it. An array in Fortran order is an array in C order with its axes
 * reversed, so that there outer and inner change places. Nothing is copied or moved for either. */
#ifndef SOFTFOCUS_TOOLS_CLASSES_H
#define SOFTFOCUS_TOOLS_CLASSES_H

#include <argp.h>
#include <stdint.h>

#include "npy.h"
#include "softfocus/softfocus.h"

/* --axis: which axis holds the classes. */
typedef struct axis_option {
    bool given;
    int64_t value; /* negative: from the end */
} axis_option;

/* For a command's table of options; the default is that of PyTorch's cross_entropy. */
#define AXIS_OPTION_HELP                                                                                     \
    "The axis that holds the classes, from 0, or from -1 for the last one (default: 1, as in PyTorch's "     \
    "cross_entropy: [N, C], [N, C, H, W]; 0 where there is one axis alone)"

axis_option softfocus_parse_axis(const struct argp_state *state, const char *text);

/* Logits, loaded. */
typedef struct logits {
    const char *path;
    npy_array array;
    size_t axis;
    size_t outer, classes, inner;
} logits;

/* Loads an f4 array and finds its class axis. Says what is wrong, and then answers false. */
bool softfocus_load_logits(const char *path, axis_option axis, logits *loaded);

/* A tensor of the logits' shape and order over other data (or their own). */
softfocus_tensor softfocus_logits_tensor(const logits *like, void *data);

/* Headers for results: of the logits' shape, and of one value per position, in the logits' order. */
npy_header softfocus_header_like_logits(const logits *like);
npy_header softfocus_header_of_positions(const logits *like);

/* "[5, 3]", the index of a position as NumPy counts, into text[NPY_MAX_SHAPE_TEXT]; returns text. */
const char *softfocus_position_text(const logits *of, size_t position, char *text);

/* Moves the elements of an array into C or Fortran order, so that two arrays can be walked together. The one
   copy that is made: only where orders differ, and never of logits. False: no memory. */
bool softfocus_set_order(npy_array *array, bool fortran_order);

#endif
