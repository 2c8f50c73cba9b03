/* The shapes to time: all numbers of classes and places of the class axis that users have, from one row to many, in the
 * caches and beyond them. No case needs more than 2 GB (its buffers, and what they held at first). `softfocus-bench --quick`
 * leaves out what is larger than the second-level cache or so. */
#include "instance.h"

const softfocus_case_shape softfocus_case_shapes[] = {
    /* Few classes. */
    {"rows:1/classes:2", 1, 2, 1},
    {"rows:4096/classes:2", 4096, 2, 1},
    {"rows:65536/classes:2", 65536, 2, 1},
    {"rows:65536/classes:4", 65536, 4, 1},
    {"rows:8192/classes:8", 8192, 8, 1},
    {"rows:65536/classes:8", 65536, 8, 1},
    /* A row fits in registers. */
    {"rows:3072/classes:19", 3072, 19, 1},
    {"rows:3072/classes:21", 3072, 21, 1},
    {"rows:65536/classes:21", 65536, 21, 1},
    {"rows:800/classes:80", 800, 80, 1},
    {"rows:65536/classes:80", 65536, 80, 1},
    {"rows:720/classes:91", 720, 91, 1},
    {"rows:65536/classes:91", 65536, 91, 1},
    /* A row fits in the first-level cache. */
    {"rows:1/classes:1000", 1, 1000, 1},
    {"rows:64/classes:1000", 64, 1000, 1},
    {"rows:1024/classes:1000", 1024, 1000, 1},
    {"rows:65536/classes:1000", 65536, 1000, 1},
    /* Vocabularies. */
    {"rows:1/classes:32000", 1, 32000, 1},
    {"rows:512/classes:32000", 512, 32000, 1},
    {"rows:1/classes:50257", 1, 50257, 1},
    {"rows:16/classes:50257", 16, 50257, 1},
    {"rows:512/classes:50257", 512, 50257, 1},
    {"rows:1/classes:131072", 1, 131072, 1},
    {"rows:128/classes:131072", 128, 131072, 1},
    {"rows:1/classes:256000", 1, 256000, 1},
    {"rows:64/classes:256000", 64, 256000, 1},
    /* The class axis in the middle: segmentation and detection. */
    {"images:8/classes:2/pixels:65536", 8, 2, 65536},
    {"images:16/classes:2/pixels:524288", 16, 2, 524288},
    {"images:4/classes:19/pixels:65536", 4, 19, 65536},
    {"images:64/classes:91/pixels:100", 64, 91, 100},
    {"images:4/classes:150/pixels:4096", 4, 150, 4096},
    /* The class axis first. */
    {"images:1/classes:8/pixels:65536", 1, 8, 65536},
    {"images:1/classes:80/pixels:16384", 1, 80, 16384},
    {"images:1/classes:1000/pixels:1024", 1, 1000, 1024},
};
_Static_assert(sizeof softfocus_case_shapes / sizeof softfocus_case_shapes[0] == SOFTFOCUS_CASE_SHAPE_COUNT, "all of them");

/* 2^12 to 2^26 elements, whose place does not matter to this one. */
const softfocus_case_shape softfocus_case_sigmoid_shapes[] = {
    {"rows:64/classes:64", 64, 64, 1},
    {"rows:256/classes:64", 256, 64, 1},
    {"rows:1024/classes:64", 1024, 64, 1},
    {"rows:4096/classes:64", 4096, 64, 1},
    {"rows:1024/classes:1000", 1024, 1000, 1},
    {"rows:16384/classes:64", 16384, 64, 1},
    {"rows:65536/classes:64", 65536, 64, 1},
    {"rows:262144/classes:64", 262144, 64, 1},
    {"rows:1048576/classes:64", 1048576, 64, 1},
};
_Static_assert(sizeof softfocus_case_sigmoid_shapes / sizeof softfocus_case_sigmoid_shapes[0] ==
                   SOFTFOCUS_CASE_SIGMOID_SHAPE_COUNT,
               "all of them");
