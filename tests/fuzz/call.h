/* One call of the public API as a fuzzer's bytes describe it: good, bad, or bad in several ways at once. For fuzz_kernels.c
 * (which makes the call and compares) alone; decode.c fills it, verdict.c says what the library has to answer. */
#ifndef SOFTFOCUS_TESTS_FUZZ_CALL_H
#define SOFTFOCUS_TESTS_FUZZ_CALL_H

#include "buffers.h"
#include "cases.h"

enum softfocus_fuzz_function { LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, SOFTMAX_FOCAL_LOSS, SIGMOID_FOCAL_LOSS, FUNCTIONS };

/* What a call reads and writes. Each lies in an arena; those of one arena may overlap. */
enum softfocus_fuzz_place {
    INPUT,  /* logits or log_probs */
    SECOND, /* grad_log_probs, or dense targets */
    OUTPUT, /* log_probs, grad_logits or grad */
    TENSORS,
    LOSS = TENSORS,
    INDEX,
    WEIGHT,
    PLACES
};

enum {
    ARENA_SIZE = 256 * 1024,  /* bytes between the guard pages: ELEMENTS_MAX in any layout, with gaps */
    ELEMENTS_MAX = 20000      /* above 16384 a call is split into several partial sums */
};

typedef struct softfocus_fuzz_call {
    enum softfocus_fuzz_function function;
    softfocus_tensor tensors[TENSORS];
    int given[TENSORS]; /* 0: NULL is passed */
    float *loss;
    softfocus_targets targets;
    int targets_given;
    softfocus_focal_options options;
    softfocus_context context; /* isa, error and parallel_for are the runner's */
    size_t error_size;
    int bogus_isa;      /* one that is none of the library's */
    int parallel;       /* compare with a run in several tasks, too */
    size_t float_mode;  /* 0: as it is; else 1 + an index into softfocus_float_modes */
    /* The bytes [first, last) of each arena that the call may touch, and some around them; first == last: none. */
    size_t first[PLACES], last[PLACES];
} softfocus_fuzz_call;

/* The arenas, made at the first call, between guard pages. */
unsigned char *softfocus_fuzz_arena(enum softfocus_fuzz_place place);

/* Fills *call and the arenas. 0: these bytes describe no call that a program could make (memory that is not there). */
int softfocus_fuzz_decode(softfocus_fuzz_call *call, const unsigned char *bytes, size_t size);

/* All that is wrong with a call, judged from softfocus.h alone and with none of the library's code. */
typedef struct softfocus_fuzz_verdict {
    unsigned statuses;   /* bit s: status s is a right answer; none: the call must succeed */
    size_t bad_position; /* with TARGET or CLASS_WEIGHT: what error.position must be */
    int64_t bad_value;
} softfocus_fuzz_verdict;

softfocus_fuzz_verdict softfocus_fuzz_judge(const softfocus_fuzz_call *call);

/* What decode and judge share. */

/* Whether an element is there at all, and all of them are float32 and lie within one of the arenas. */
int softfocus_fuzz_is_backed(const softfocus_fuzz_call *call, enum softfocus_fuzz_place tensor);
/* The shape is one that can be, and each stride exceeds the extent below it. */
int softfocus_fuzz_shape_fits(const softfocus_tensor *tensor);
int softfocus_fuzz_strides_fit(const softfocus_tensor *tensor);
/* The lowest and the highest offset of an element from data, in elements; for strides that fit. */
void softfocus_fuzz_reach(const softfocus_tensor *tensor, ptrdiff_t *lowest, ptrdiff_t *highest);
float *softfocus_fuzz_element(const softfocus_tensor *tensor, size_t outer, size_t class_index, size_t inner);
int softfocus_fuzz_is_loss(const softfocus_fuzz_call *call);
size_t softfocus_fuzz_loss_values(const softfocus_fuzz_call *call);

#endif
