/* The specs to test, in groups: the same for every kernel, as far as they mean something to it. Modest on
 * purpose: one ISA's whole suite also runs under emulators that do 25 million instructions a second. */
#include "instance.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Lanes of the widest vector of float32, and the length up to which every one is tried. */
enum { LANES = 16, EVERY = 4 * LANES + 1 };

/* The forms of their own (0, 1, 2), those that a plain pow fails on (0 < gamma < 1), one that no float holds, and steep
 * ones. */
static const double gammas[] = {0.0, 0.5, 1.0, 1.5, 2.0, 2.2, 3.0, 5.0};

typedef struct walker {
    softfocus_case_visit *visit;
    void *argument;
    uint64_t seed;
    softfocus_random choices; /* the same for every seed: which spec gets what is part of the group */
} walker;

static walker begin(uint64_t seed, softfocus_case_visit *visit, void *argument)
{
    return (walker){.visit = visit, .argument = argument, .seed = seed};
}

static void emit(walker *walk, softfocus_case_spec spec)
{
    spec.seed = walk->seed++;
    walk->visit(walk->argument, &spec);
}

/* With and without gradient, where the kernel knows the difference. */
static void emit_both(walker *walk, softfocus_case_spec spec)
{
    emit(walk, spec);
    if (spec.kernel->has_gradient) {
        spec.gradient = 0;
        emit(walk, spec);
    }
}

static softfocus_case_spec shaped(const softfocus_case_kernel *kernel, size_t outer, size_t classes,
                                  size_t inner)
{
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    spec.outer = outer;
    spec.classes = classes;
    spec.inner = inner;
    return spec;
}

/* ---- sizes --------------------------------------------------------------------------------------------- */

static void emit_size(walker *walk, const softfocus_case_kernel *kernel, size_t outer, size_t classes,
                      size_t inner)
{
    softfocus_case_spec spec = shaped(kernel, outer, classes, inner);
    spec.scale = 4.0;
    spec.guard_front = (int)(walk->seed & 1);
    emit_both(walk, spec);
}

static void sizes(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                  void *argument)
{
    static const size_t few_classes[] = {1, 2, 3, 4, 5, 8};
    static const size_t wide[] = {127, 128, 129, 257, 511, 513, 1000, 1023, 1025, 2049};
    static const size_t others[][3] = {
        {3, 1000, 1},
        {2, 1001, 1},
        {1, 4099, 1},
        {1, 50257, 1},
        {1, 131077, 1},
        {2, 1000, 17},
        {1, 3001, 5},
        {2500, 3, 1},
        {1100, 10, 1},
        {3, 4, 1100},
        {2, 100, 129},
        /* More rows than a batch of them. */
        {53, 48, 1},
        {37, 80, 1},
        {35, 91, 1},
        {33, 128, 1},
        {19, 300, 1},
        /* More classes than a tile of columns has room for, more positions than lanes: of 16, 8 and 4 lanes, in one chunk.
         */
        {1, 513, 31},
        {1, 1025, 15},
        {1, 2049, 7},
    };
    walker walk = begin(seed, visit, argument);
    for (size_t n = 1; n <= EVERY; n++) {
        emit_size(&walk, kernel, 1 + n % 5, n, 1);
        emit_size(&walk, kernel, 1, n, 1 + n % 11);
        for (size_t c = 0; c < COUNT(few_classes); c++) {
            emit_size(&walk, kernel, n, few_classes[c], 1);
            emit_size(&walk, kernel, 2, few_classes[c], n);
        }
    }
    for (size_t w = 0; w < COUNT(wide); w++)
        for (size_t classes = 2; classes <= 5; classes += 3)
            emit_size(&walk, kernel, 1 + w % 2, classes, wide[w]);
    for (size_t s = 0; s < COUNT(others); s++)
        emit_size(&walk, kernel, others[s][0], others[s][1], others[s][2]);
}

/* ---- layouts ------------------------------------------------------------------------------------------- */

static const size_t layout_shapes[][3] = {
    {5, 7, 1}, {4, 33, 1}, {1, 70, 1}, {37, 3, 1}, {3, 10, 6}, {2, 3, 33}, {1, 5, 131},
};

static void layouts(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                    void *argument)
{
    walker walk = begin(seed, visit, argument);
    for (size_t s = 0; s < COUNT(layout_shapes); s++) {
        softfocus_case_spec spec =
            shaped(kernel, layout_shapes[s][0], layout_shapes[s][1], layout_shapes[s][2]);
        for (int input = 0; input < SOFTFOCUS_LAYOUT_COUNT; input++)
            for (int output = 0; output < SOFTFOCUS_LAYOUT_COUNT; output++) {
                spec.input_layout = (softfocus_case_layout)input;
                spec.output_layout = (softfocus_case_layout)output;
                spec.guard_front = (input + output) & 1;
                emit_both(&walk, spec);
            }
    }
    /* More rows than a batch of them: written beside the sums of the next, but not the gaps after them. */
    softfocus_case_spec spec = shaped(kernel, 53, 135, 1);
    spec.output_layout = SOFTFOCUS_LAYOUT_PADDED;
    emit_both(&walk, spec);
}

static void alignments(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                       void *argument)
{
    walker walk = begin(seed, visit, argument);
    for (size_t s = 0; s < COUNT(layout_shapes); s++) {
        softfocus_case_spec spec =
            shaped(kernel, layout_shapes[s][0], layout_shapes[s][1], layout_shapes[s][2]);
        spec.guard_front = 1;
        for (spec.misalignment = 0; spec.misalignment < LANES; spec.misalignment++)
            emit(&walk, spec);
    }
}

static void in_place(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                     void *argument)
{
    walker walk = begin(seed, visit, argument);
    for (size_t s = 0; s < COUNT(layout_shapes); s++) {
        softfocus_case_spec spec =
            shaped(kernel, layout_shapes[s][0], layout_shapes[s][1], layout_shapes[s][2]);
        for (spec.in_place = 1; spec.in_place <= kernel->in_place_ways; spec.in_place++)
            for (int layout = 0; layout < SOFTFOCUS_LAYOUT_COUNT; layout++) {
                spec.input_layout = spec.output_layout = (softfocus_case_layout)layout;
                spec.guard_front = layout & 1;
                emit(&walk, spec);
            }
    }
    /* Long enough for every kind of tail, and for rows that are read more than once. */
    softfocus_case_spec spec = shaped(kernel, 2, 5003, 1);
    for (spec.in_place = 1; spec.in_place <= kernel->in_place_ways; spec.in_place++)
        emit(&walk, spec);
}

/* ---- logits -------------------------------------------------------------------------------------------- */

static void emit_targets(walker *walk, softfocus_case_spec spec)
{
    static const double hard_gammas[] = {0.0, 0.5, 1.0, 2.0, 5.0};
    if (!spec.kernel->has_options) {
        emit(walk, spec);
        return;
    }
    for (int targets = 0; targets < SOFTFOCUS_TARGETS_COUNT; targets++) {
        int hides = targets == SOFTFOCUS_TARGETS_IGNORED; /* what an ignored position holds must not show */
        if (targets == SOFTFOCUS_TARGETS_ALL_IGNORED || (hides && !spec.kernel->index_targets) ||
            (spec.kernel->index_targets &&
             (targets == SOFTFOCUS_TARGETS_SOFT || targets == SOFTFOCUS_TARGETS_BETWEEN)))
            continue;
        spec.targets = (softfocus_case_targets)targets;
        for (size_t g = 0; g < COUNT(hard_gammas); g++) {
            spec.gamma = hard_gammas[g];
            emit(walk, spec);
        }
    }
}

static void logits(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                   void *argument)
{
    static const size_t shapes[][3] = {
        {5, 1, 1},   {33, 2, 1},  {16, 3, 1}, {12, 10, 1}, {8, 33, 1},
        {4, 100, 1}, {2, 700, 1}, {2, 3, 40}, {2, 19, 21},
    };
    static const double scales[] = {1.0, 5.0, 20.0};
    walker walk = begin(seed, visit, argument);
    for (size_t s = 0; s < COUNT(shapes); s++) {
        softfocus_case_spec spec = shaped(kernel, shapes[s][0], shapes[s][1], shapes[s][2]);
        for (int kind = 0; kind < SOFTFOCUS_LOGITS_ONE_NAN; kind++) {
            spec.logits = (softfocus_case_logits)kind;
            int scaled = kind == SOFTFOCUS_LOGITS_NORMAL;
            for (size_t i = scaled ? 0 : COUNT(scales) - 1; i < COUNT(scales); i++) {
                spec.scale = scales[i];
                emit_targets(&walk, spec);
            }
        }
    }
}

/* Rows longer than any block that a kernel may take them in, and NaN in every place. */
static void hard_rows(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                      void *argument)
{
    static const softfocus_case_logits kinds[] = {SOFTFOCUS_LOGITS_GAPS, SOFTFOCUS_LOGITS_DISJOINT,
                                                  SOFTFOCUS_LOGITS_HUGE, SOFTFOCUS_LOGITS_SPECIAL};
    static const size_t all_pairs_of[] = {1, 2, 3, 5, 6, 9, 18, 35, EVERY + 3};
    walker walk = begin(seed, visit, argument);
    for (size_t kind = 0; kind < COUNT(kinds); kind++) {
        softfocus_case_spec spec = shaped(kernel, 6, 5003, 1);
        spec.logits = kinds[kind];
        emit(&walk, spec);
        spec.targets = SOFTFOCUS_TARGETS_EASY;
        emit(&walk, spec);
    }
    /* Ignored positions whose logits are NaN or infinite, where there are more classes than a tile holds. */
    softfocus_case_spec ignored = shaped(kernel, 1, 330, 33);
    ignored.logits = SOFTFOCUS_LOGITS_SPECIAL;
    if (kernel->index_targets)
        ignored.targets = SOFTFOCUS_TARGETS_IGNORED;
    emit(&walk, ignored);
    for (size_t n = 0; n < COUNT(all_pairs_of); n++) {
        size_t classes = all_pairs_of[n];
        softfocus_case_spec rows = shaped(kernel, classes * classes, classes, 1);
        rows.logits = SOFTFOCUS_LOGITS_ONE_NAN;
        emit(&walk, rows);
        softfocus_case_spec columns = shaped(kernel, 1, classes, classes * classes);
        columns.logits = SOFTFOCUS_LOGITS_ONE_NAN;
        emit(&walk, columns);
    }
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void options(const softfocus_case_kernel *kernel, uint64_t seed, softfocus_case_visit *visit,
                    void *argument)
{
    /* The last: more classes than a tile holds, where a run ends with a part of a vector. The sigmoid loss, to which
       classes are nothing, has a power to form in each element, and under an emulator takes minutes: fewer of them. */
    static const size_t shapes[][3] = {{37, 10, 1}, {3, 5, 41}, {1, 130, 61}};
    static const size_t fewer_classes = 13;
    static const double alphas[] = {-1.0, 0.0, 0.25, 1.0};
    static const double normalizers[] = {0.0, 0.0, 12.5, 1e-3};
    static const softfocus_reduction reductions[] = {SOFTFOCUS_NONE, SOFTFOCUS_MEAN, SOFTFOCUS_SUM};
    walker walk = begin(seed, visit, argument);
    if (!kernel->has_options)
        return;
    for (size_t n = 0; n < COUNT(shapes) * COUNT(alphas) * COUNT(gammas) * COUNT(reductions) * 2; n++) {
        size_t rest = n;
        const size_t *shape = shapes[rest % COUNT(shapes)];
        size_t classes = kernel->index_targets ? shape[1] : shape[1] < fewer_classes ? shape[1] : fewer_classes;
        softfocus_case_spec spec = shaped(kernel, shape[0], classes, shape[2]);
        rest /= COUNT(shapes);
        spec.alpha = alphas[rest % COUNT(alphas)];
        rest /= COUNT(alphas);
        spec.gamma = gammas[rest % COUNT(gammas)];
        rest /= COUNT(gammas);
        spec.reduction = reductions[rest % COUNT(reductions)];
        rest /= COUNT(reductions);
        spec.class_weight = (int)rest;
        spec.normalizer = normalizers[softfocus_random_below(&walk.choices, COUNT(normalizers))];
        spec.targets = (softfocus_case_targets)softfocus_random_below(&walk.choices, SOFTFOCUS_TARGETS_COUNT);
        spec.index_type = softfocus_random_below(&walk.choices, 2) ? SOFTFOCUS_I64 : SOFTFOCUS_I32;
        spec.scale = 3.0;
        emit_both(&walk, spec);
    }
}

/* ---- The list ------------------------------------------------------------------------------------------ */

static const softfocus_case_group groups[] = {
    {"sizes",
     "Every number of classes, of rows and of pixels up to four vectors and one, and some long ones.", sizes},
    {"layouts", "Every pair of layouts of input and output: padded, transposed, reversed, with gaps.",
     layouts},
    {"alignments", "Data at every distance from a 64-byte boundary.", alignments},
    {"in_place", "Each output on each input that it may be in place on, in every layout.", in_place},
    {"logits", "Logits of every kind, hard ones first of all, with targets and gammas of every kind.",
     logits},
    {"hard_rows", "Hard logits in long rows, and a NaN in every place with the maximum in every other.",
     hard_rows},
    {"options", "Options of the losses against one another.", options},
};

size_t softfocus_case_group_count(void)
{
    return COUNT(groups);
}

const softfocus_case_group *softfocus_case_group_at(size_t i)
{
    return i < COUNT(groups) ? &groups[i] : NULL;
}
