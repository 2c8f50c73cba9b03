/* The shapes to time: one or more of each regime in which a kernel works differently. */
#include "instance.h"

const softfocus_case_shape softfocus_case_shapes[] = {
    /* Few classes: one lane per position. */
    {"rows:65536/classes:2", 65536, 2, 1},
    {"rows:32768/classes:4", 32768, 4, 1},
    /* A row fits in registers. */
    {"rows:16384/classes:10", 16384, 10, 1},
    {"rows:4096/classes:91", 4096, 91, 1},
    /* A row fits in the first-level cache. */
    {"rows:1024/classes:1000", 1024, 1000, 1},
    {"rows:256/classes:4096", 256, 4096, 1},
    /* Vocabularies. */
    {"rows:32/classes:50257", 32, 50257, 1},
    {"rows:8/classes:262144", 8, 262144, 1},
    /* Classes strided: segmentation and detection. */
    {"images:8/classes:2/pixels:65536", 8, 2, 65536},
    {"images:8/classes:19/pixels:16384", 8, 19, 16384},
    {"images:4/classes:150/pixels:4096", 4, 150, 4096},
    /* Larger than any cache. */
    {"rows:65536/classes:1000", 65536, 1000, 1},
};
