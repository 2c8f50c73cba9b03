/* Checks of what callers hand in, before anything is written. Called by api.c alone.
 *
 * Each check answers a status. `blame` names what was checked and takes the details of a failure. */
#ifndef SOFTFOCUS_DISPATCH_VALIDATE_H
#define SOFTFOCUS_DISPATCH_VALIDATE_H

#include "softfocus/softfocus.h"

/* What softfocus_error says, collected here and handed over at the end of a failed call. */
struct softfocus_blame {
    const char *argument;
    size_t position;
    int64_t value;
};

/* A struct that starts with its size, as this version knows it: copied from the caller's, with what is missing at its end
   taken from `to`, which holds the defaults. NULL for `from` is the defaults. Smaller than version 1 of it, or larger than
   ours, is an error. */
softfocus_status softfocus_take_struct(void *to, size_t size, size_t version_1_size, const void *from);

/* A tensor by itself: a shape and strides that can be, data where there are elements. */
softfocus_status softfocus_check_tensor(const softfocus_tensor *tensor, const char *name, struct softfocus_blame *blame);

/* That `other` has the shape of `tensor`. */
softfocus_status softfocus_check_shape(const softfocus_tensor *tensor, const softfocus_tensor *other, const char *name,
                                       struct softfocus_blame *blame);

/* That an output shares no memory with another tensor; with `in_place`, that or the very same elements. Both checked. */
softfocus_status softfocus_check_overlap(const softfocus_tensor *output, const softfocus_tensor *other, int in_place,
                                         const char *name, struct softfocus_blame *blame);

/* That a contiguous piece of memory shares nothing with a tensor, or with another piece. */
struct softfocus_bytes {
    uintptr_t first;
    size_t size; /* 0: none */
};
softfocus_status softfocus_check_apart(struct softfocus_bytes bytes, const softfocus_tensor *tensor, const char *name,
                                       struct softfocus_blame *blame);
softfocus_status softfocus_check_apart_bytes(struct softfocus_bytes a, struct softfocus_bytes b, const char *name,
                                             struct softfocus_blame *blame);

/* The options in their ranges, and none that this version does not implement. */
softfocus_status softfocus_check_options(const softfocus_focal_options *options, struct softfocus_blame *blame);

/* The sweep over class indices: all in range or ignored, and the weights that they name usable; the lowest bad position is
   blamed. Gives the number of positions that count, and the sum of their weights (that number where there are none). */
struct softfocus_target_sums {
    size_t count;
    double weight;
};
softfocus_status softfocus_check_index(const softfocus_targets *targets, size_t positions, size_t classes,
                                       const softfocus_focal_options *options, struct softfocus_target_sums *sums,
                                       struct softfocus_blame *blame);

/* All class weights usable: where targets are dense, each is used. */
softfocus_status softfocus_check_class_weights(const float *class_weight, size_t classes, struct softfocus_blame *blame);

#endif
