/* cases: every kernel of the library as something that can be made, run, checked and timed. One internal
 * library, used by the tests (tests/test_cases.c), by `softfocus check` (tools/) and by the benchmark
 * (bench/), so that what one of them finds the others find too: a new kernel is one file here, named as its row in
 * kernels/kernels.def.
 *
 *     softfocus_case_spec spec = softfocus_case_spec_defaults(softfocus_case_kernel_find("log_softmax"));
 *     spec.outer = 1024, spec.classes = 1000;
 *     softfocus_case *instance = softfocus_case_make(&spec);
 *     softfocus_case_report report;
 *     if (softfocus_case_run(instance, &context) == SOFTFOCUS_OK) // one call of the public API
 *         softfocus_case_check(instance, 1.0, &report);           // against the oracle
 *     softfocus_case_free(instance);
 *
 * The oracle (oracle.h) is computed at the first check of an instance and kept, so that all ISAs share it.
 * All buffers lie between guard pages (buffers.h): a stray access is a crash. Nothing here is thread-safe
 * but softfocus_case_run on different instances. When memory runs out the process ends with a message. */
#ifndef SOFTFOCUS_CASES_H
#define SOFTFOCUS_CASES_H

#include <stddef.h>
#include <stdint.h>

#include "softfocus/softfocus.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Kernels ------------------------------------------------------------------------------------------- */

/* A shape worth timing. `name` is what a benchmark's name ends with: "rows:1024/classes:1000" (inner of 1) or
   "images:8/classes:19/pixels:16384". */
typedef struct softfocus_case_shape {
    const char *name;
    size_t outer, classes, inner;
} softfocus_case_shape;

/* One kernel, constant. `name` is that of the public function without its prefix: "log_softmax",
   "log_softmax_backward", "softmax_focal_loss", "sigmoid_focal_loss". */
typedef struct softfocus_case_kernel {
    const char *name;
    int has_gradient;  /* spec.gradient means something: with and without are two things to time */
    int has_options;   /* gamma, alpha, reduction, class_weight, normalizer and targets mean something */
    int index_targets; /* class indices: ignore_index and index_type mean something */
    int in_place_ways; /* how many inputs the tensor output may be in place on */
    const softfocus_case_shape *shapes; /* to time, from few classes in cache to out of cache */
    size_t shape_count;
    const struct softfocus_case_methods *methods; /* for cases.c alone */
} softfocus_case_kernel;

size_t softfocus_case_kernel_count(void);
const softfocus_case_kernel *softfocus_case_kernel_at(size_t i);           /* NULL past the end */
const softfocus_case_kernel *softfocus_case_kernel_find(const char *name); /* NULL: none of that name */

/* ---- Specifications ------------------------------------------------------------------------------------ */

typedef enum softfocus_case_layout {
    SOFTFOCUS_LAYOUT_CONTIGUOUS, /* C order: rows where inner is 1, else NCHW */
    SOFTFOCUS_LAYOUT_PADDED,     /* C order, with a gap after each row of classes (inner 1) or of inner */
    SOFTFOCUS_LAYOUT_CLASS_INNERMOST, /* NHWC seen as [N, C, H * W] */
    SOFTFOCUS_LAYOUT_TRANSPOSED,      /* classes outermost */
    SOFTFOCUS_LAYOUT_REVERSED,        /* C order with every stride negative */
    SOFTFOCUS_LAYOUT_STRIDED,         /* a gap after each element, and the class stride negative */
    SOFTFOCUS_LAYOUT_COUNT
} softfocus_case_layout;

typedef enum softfocus_case_logits {
    SOFTFOCUS_LOGITS_NORMAL,   /* N(0, scale^2) */
    SOFTFOCUS_LOGITS_EQUAL,    /* all of a position equal: ties everywhere */
    SOFTFOCUS_LOGITS_GAPS,     /* one class leads by 10 to 110: p -> 1, and subnormal results */
    SOFTFOCUS_LOGITS_DISJOINT, /* around +2e4 and -2e4, in classes that no vector lane shares */
    SOFTFOCUS_LOGITS_LARGE,    /* around 4e4, 1e6 or 1e8, where neighbouring float32 differ by 8 */
    SOFTFOCUS_LOGITS_HUGE,     /* among them +3e38 and -3e38 */
    SOFTFOCUS_LOGITS_SPECIAL,  /* NaN, +inf, -inf and positions of -inf alone, among ordinary positions */
    SOFTFOCUS_LOGITS_MASKED,   /* most classes at -inf, -1e9 or -1e4, as masks make them, and at least one not */
    SOFTFOCUS_LOGITS_ONE_NAN,  /* one NaN and one maximum per position: all pairs of places in turn */
    SOFTFOCUS_LOGITS_MANY_NAN, /* NaN of any bits among ordinary logits, in some positions none and in some several */
    SOFTFOCUS_LOGITS_UNIFORM,  /* of [-2 scale, 2 scale): made in a fifth of the time, for cases of millions */
    SOFTFOCUS_LOGITS_TIE, /* as UNIFORM; with HARD targets, alpha and gamma off, the bits of a sum of losses show the order
                             in which it was formed */
    SOFTFOCUS_LOGITS_COUNT
} softfocus_case_logits;

typedef enum softfocus_case_targets {
    SOFTFOCUS_TARGETS_RANDOM,  /* sigmoid: 0 or 1 */
    SOFTFOCUS_TARGETS_EASY,    /* the argmax; sigmoid: 1 where the logit is positive */
    SOFTFOCUS_TARGETS_HARD,    /* the argmin; sigmoid: 1 where the logit is negative */
    SOFTFOCUS_TARGETS_SOFT,    /* sigmoid alone: in [0, 1], some exactly 0 or 1 (index targets: as RANDOM) */
    SOFTFOCUS_TARGETS_BETWEEN, /* sigmoid alone: in (0, 1), some next to an end (index targets: as RANDOM) */
    SOFTFOCUS_TARGETS_IGNORED, /* index targets: about a third is ignore_index (dense: as RANDOM) */
    SOFTFOCUS_TARGETS_ALL_IGNORED, /* index targets: all of it (dense: as RANDOM) */
    SOFTFOCUS_TARGETS_COUNT
} softfocus_case_targets;

/* What an instance is made from, and all that decides its values. */
typedef struct softfocus_case_spec {
    const softfocus_case_kernel *kernel;
    size_t outer, classes, inner;
    softfocus_case_layout input_layout, output_layout; /* in place: output_layout is not looked at */
    int in_place;                                      /* 0, or on which input (1 .. kernel->in_place_ways) */
    size_t misalignment; /* float32 elements between a 64-byte boundary and the data; guard_front only */
    int guard_front;     /* 1: data begin at the front guard page; 0: data end at the back one */
    softfocus_case_logits logits;
    double scale; /* of NORMAL and UNIFORM */
    size_t tie;   /* of TIE: the position that it begins with */
    softfocus_case_targets targets;
    softfocus_index_type index_type;
    int gradient; /* ask for the gradient too */
    softfocus_reduction reduction;
    double gamma, alpha, normalizer;
    int class_weight; /* 1: random weights, some of them 0 */
    uint64_t seed;
} softfocus_case_spec;

/* 64 x 10 x 1, contiguous, logits N(0, 1), random targets (I64), with gradient where there is one, NONE,
   gamma 2, alpha 0.25, no class weights, no normalizer, seed 1. */
softfocus_case_spec softfocus_case_spec_defaults(const softfocus_case_kernel *kernel);

/* One line that says everything in a spec, into text[size], cut where it does not fit. Returns text. */
const char *softfocus_case_describe(const softfocus_case_spec *spec, char *text, size_t size);

/* What a benchmark counts: outer * classes * inner; and the bytes that a call must at least read and
   write. */
size_t softfocus_case_elements(const softfocus_case_spec *spec);
size_t softfocus_case_bytes(const softfocus_case_spec *spec);

/* ---- Instances ----------------------------------------------------------------------------------------- */

typedef struct softfocus_case softfocus_case;

softfocus_case *softfocus_case_make(const softfocus_case_spec *spec);
void softfocus_case_free(softfocus_case *instance);

/* One call of the public function. May be called over and over; in place it then works on its own result,
   so call softfocus_case_reset before a run that is to be checked (a new instance needs none). */
softfocus_status softfocus_case_run(softfocus_case *instance, const softfocus_context *context);

/* The same call on a part of the batch, [first, first + count) of outer; or of inner where outer is 1 (the
   sigmoid loss, whose loss is contiguous over the classes too: only where classes is 1). For reduction
   NONE. */
softfocus_status softfocus_case_run_part(softfocus_case *instance, const softfocus_context *context,
                                         size_t first, size_t count);

/* Inputs as they were made, and a pattern in every byte of every output. */
void softfocus_case_reset(softfocus_case *instance);

/* Whether the last run has changed memory that is no element of an output: gaps between elements, inputs, what lies beside.
 */
int softfocus_case_has_stray_write(const softfocus_case *instance);

/* What a check found for one output. Errors are in `unit`: "ulp" of the correctly rounded float32 result,
   or, where the bound is not relative to the result, "eps", multiples of 2^-24 * (|g_c| + p_c * sum
   |g_k|). */
typedef struct softfocus_case_output_report {
    const char *name;    /* "log_probs", "loss", "grad", "grad_logits" */
    const char *unit;
    double worst, bound; /* worst is infinite where only one of the two is NaN, or infinite */
    size_t position, class_index; /* of the worst */
    float got;
    double expected;
} softfocus_case_output_report;

enum { SOFTFOCUS_CASE_MAX_OUTPUTS = 2 };

typedef struct softfocus_case_report {
    int ok;         /* 1: every output within its bound, and nothing written that should not have been */
    char text[768]; /* one line: the worst of each output, or what is wrong and where, with the spec */
    size_t output_count;
    softfocus_case_output_report outputs[SOFTFOCUS_CASE_MAX_OUTPUTS];
} softfocus_case_report;

/* Compares what the last run wrote with the oracle; every bound is multiplied by `slack` (1.0: what the
   documentation says). Returns report->ok. */
int softfocus_case_check(softfocus_case *instance, double slack, softfocus_case_report *report);

/* The same against values from another run (of another ISA) in place of the oracle's; errors are still
   counted in the units above. `reference` is what softfocus_case_output gave for each output, one after
   the other. */
int softfocus_case_check_against(softfocus_case *instance, const float *reference, double slack,
                                 softfocus_case_report *report);

/* The outputs of the last run, gathered in C order, one output after the other: how many values, and the
   values. */
size_t softfocus_case_output_size(const softfocus_case *instance);
void softfocus_case_output(const softfocus_case *instance, float *values);

const softfocus_case_spec *softfocus_case_spec_of(const softfocus_case *instance);

/* ---- The specs to test --------------------------------------------------------------------------------- */

/* Specs come in groups ("sizes", "layouts", "logits", ...), each the same for every kernel as far as it
   applies. A group visits each of its specs for a kernel once, in a fixed order; the seed decides the
   values only. */
typedef void softfocus_case_visit(void *argument, const softfocus_case_spec *spec);

typedef struct softfocus_case_group {
    const char *name;
    const char *what; /* a sentence */
    void (*each)(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                 void *argument);
} softfocus_case_group;

size_t softfocus_case_group_count(void);
const softfocus_case_group *softfocus_case_group_at(size_t i); /* NULL past the end */

#ifdef __cplusplus
}
#endif

#endif
