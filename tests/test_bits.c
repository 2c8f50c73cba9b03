/* Results that must have the same bits: with or without gradient, for any number of tasks, any alignment,
 * any split of a batch, any floating-point mode of the caller, in place or not, past the caches or not.
 * "softmax_focal_loss/avx2/same_bits_by_tasks" and so on. */
#include "tests.h"

#include <stdlib.h>
#include <string.h>

#include "buffers.h"
#include "cases.h"
#include "float_environment.h"
#include "kernels/kernels.h"
#include "parallel.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- One run, and its bits ----------------------------------------------------------------------------- */

typedef struct bits {
    float *values;
    size_t count;
} bits;

static void expect_ok(const softfocus_case *instance, softfocus_status status)
{
    char text[512];
    if (status != SOFTFOCUS_OK)
        softfocus_test_fail("%s (%s)", softfocus_status_string(status),
                            softfocus_case_describe(softfocus_case_spec_of(instance), text, sizeof text));
}

static bits outputs_of(const softfocus_case *instance)
{
    bits got = {.count = softfocus_case_output_size(instance)};
    got.values = softfocus_allocate(got.count, sizeof *got.values);
    softfocus_case_output(instance, got.values);
    return got;
}

static bits run_instance(softfocus_case *instance, const softfocus_context *context)
{
    softfocus_case_reset(instance);
    expect_ok(instance, softfocus_case_run(instance, context));
    return outputs_of(instance);
}

static bits run(const softfocus_case_spec *spec, const softfocus_context *context)
{
    softfocus_case *instance = softfocus_case_make(spec);
    bits got = run_instance(instance, context);
    softfocus_case_free(instance);
    return got;
}

/* The first `count` values have the same bits; frees `got`. */
static void expect_same(const softfocus_case_spec *spec, const char *how, const bits *expected, bits got,
                        size_t count)
{
    char text[512];
    int same = memcmp(expected->values, got.values, count * sizeof(float)) == 0;
    for (size_t e = 0; e < count && !same; e++)
        if (memcmp(&expected->values[e], &got.values[e], sizeof(float)) != 0)
            softfocus_test_fail("%s: value %zu is %a, was %a (%s)", how, e, (double)got.values[e],
                                (double)expected->values[e],
                                softfocus_case_describe(spec, text, sizeof text));
    free(got.values);
}

/* ---- The specs ----------------------------------------------------------------------------------------- */

static const softfocus_reduction reductions[] = {SOFTFOCUS_NONE, SOFTFOCUS_MEAN, SOFTFOCUS_SUM};
static const double gammas[] = {0.0, 1.0, 1.5, 2.0};

/* Calls `each` for every shape, reduction and gamma that means something to the kernel. Logits are those that are made
   soonest: on an emulated CPU most of the time of these tests would go into making others. */
static void for_specs(const softfocus_test *test, const size_t (*shapes)[3], size_t shape_count,
                      void (*each)(const softfocus_test *test, softfocus_case_spec spec))
{
    const softfocus_case_kernel *kernel = test->subject;
    for (size_t s = 0; s < shape_count; s++)
        for (size_t r = 0; r < (kernel->has_options ? COUNT(reductions) : 1); r++)
            for (size_t g = 0; g < (kernel->has_options ? COUNT(gammas) : 1); g++) {
                softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
                spec.outer = softfocus_test_outer(shapes[s][0], shapes[s][1], shapes[s][2]);
                spec.classes = shapes[s][1];
                spec.inner = shapes[s][2];
                spec.reduction = reductions[r];
                spec.gamma = gammas[g];
                spec.class_weight = kernel->has_options;
                spec.logits = SOFTFOCUS_LOGITS_UNIFORM;
                spec.scale = 5.0;
                spec.seed = softfocus_test_seed() + s;
                each(test, spec);
            }
}

static const size_t small_shapes[][3] = {{37, 10, 1}, {21, 2, 1}, {9, 4, 1},   {5, 65, 1},
                                         {35, 80, 1}, {3, 701, 1}, {2, 5, 41}, {1, 30, 133}};

/* ---- Gradient or not ----------------------------------------------------------------------------------- */

static void with_or_without_gradient(const softfocus_test *test, softfocus_case_spec spec)
{
    softfocus_context context = softfocus_test_context(test->isa);
    bits with = run(&spec, &context);
    spec.gradient = 0;
    bits without = run(&spec, &context);
    expect_same(&spec, "without gradient", &with, without, without.count);
    free(with.values);
}

/* A gradient in another layout than the logits, in which it may have to be worked on in another way. A sum's order may
 * follow it. */
static void with_gradient_elsewhere(const softfocus_test *test, softfocus_case_spec spec)
{
    spec.output_layout = SOFTFOCUS_LAYOUT_TRANSPOSED;
    if (spec.reduction == SOFTFOCUS_NONE)
        with_or_without_gradient(test, spec);
}

/* Where with a gradient the last batch of some tiles is filled up, by vectors of positions whose losses count once. */
static const size_t filled_shapes[][3] = {{1, 70, 230}};

static void by_gradient(const softfocus_test *test)
{
    for_specs(test, filled_shapes, COUNT(filled_shapes), with_or_without_gradient);
    for_specs(test, small_shapes, COUNT(small_shapes), with_or_without_gradient);
    for_specs(test, small_shapes, COUNT(small_shapes), with_gradient_elsewhere);
}

/* ---- Tasks --------------------------------------------------------------------------------------------- */

static void any_tasks(const softfocus_test *test, softfocus_case_spec spec)
{
    static const size_t threads[] = {1, 2, 7, 1000};
    if (spec.kernel->has_options && spec.gamma < 1.25) /* 1.5, by pow, and 2 are enough here */
        return;
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_case *instance = softfocus_case_make(&spec);
    bits alone = run_instance(instance, &context);
    for (size_t t = 0; t < COUNT(threads); t++) {
        softfocus_task_record record = {0};
        context.pool = &record;
        context.threads = threads[t];
        context.parallel_for = softfocus_parallel_reverse;
        expect_same(&spec, "tasks in reverse", &alone, run_instance(instance, &context), alone.count);
        if (threads[t] > 1 && record.tasks < 2)
            softfocus_test_fail("%zu positions with %zu threads are %zu task(s)", spec.outer * spec.inner,
                                threads[t], record.tasks);
    }
    softfocus_task_record record = {0};
    context.pool = &record;
    context.threads = 4;
    context.parallel_for = softfocus_parallel_threads;
    expect_same(&spec, "threads", &alone, run_instance(instance, &context), alone.count);
    softfocus_case_free(instance);
    free(alone.values);
}

/* Where one gamma and reduction, 2 and SUM, are enough: whether it is another. */
static int is_beside_the_point(const softfocus_case_spec *spec)
{
    return spec->kernel->has_options && (spec->gamma < 1.75 || spec->reduction != SOFTFOCUS_SUM);
}

/* The same of other logits. */
static void any_tasks_once(const softfocus_test *test, softfocus_case_spec spec, softfocus_case_logits logits)
{
    if (is_beside_the_point(&spec))
        return;
    spec.logits = logits;
    any_tasks(test, spec);
}

static void any_tasks_of_nan(const softfocus_test *test, softfocus_case_spec spec)
{
    any_tasks_once(test, spec, SOFTFOCUS_LOGITS_MANY_NAN);
}

static void any_tasks_of_uniform(const softfocus_test *test, softfocus_case_spec spec)
{
    any_tasks_once(test, spec, SOFTFOCUS_LOGITS_UNIFORM);
}

/* Enough elements to be worth several tasks, and several partial sums. */
static const size_t large_shapes[][3] = {
    {20011, 2, 1}, {5003, 10, 1}, {1301, 37, 1}, {5, 3, 3001}, {1, 5, 9001}};

/* By blocks: of several batches, whole moves or not, and of a few positions, too. */
static const size_t block_shapes[][3] = {{1, 330, 300}, {1, 62, 1100}, {3, 61, 100}, {40, 64, 9}, {70, 65, 5}};

/* Whose results go past the caches, in rows that share lines. */
static const size_t streamed_shapes[][3] = {{2301, 701, 1}};

static void by_tasks(const softfocus_test *test)
{
    for_specs(test, large_shapes, COUNT(large_shapes), any_tasks);
    for_specs(test, large_shapes, COUNT(large_shapes), any_tasks_of_nan);
    for_specs(test, block_shapes, COUNT(block_shapes), any_tasks_of_uniform);
    for_specs(test, block_shapes, COUNT(block_shapes), any_tasks_of_nan);
    for_specs(test, streamed_shapes, COUNT(streamed_shapes), any_tasks_of_uniform);
}

/* ---- Rows that threads share ---------------------------------------------------------------------------- */

/* With so many threads, which are to be asked for as often as a row has steps. */
static void share(const softfocus_case_spec *spec, softfocus_case *instance, const softfocus_test *test, size_t threads,
                  int at_once, const bits *alone)
{
    size_t steps = strcmp(spec->kernel->name, "log_softmax_backward") == 0 ? 2 : 3;
    softfocus_task_record record = {0};
    softfocus_context context = softfocus_test_context(test->isa);
    context.pool = &record;
    context.threads = threads;
    context.parallel_for = at_once ? softfocus_parallel_threads : softfocus_parallel_reverse;
    expect_same(spec, "rows shared by threads", alone, run_instance(instance, &context), alone->count);
    if (record.calls != steps * spec->outer || record.tasks < 2 * record.calls)
        softfocus_test_fail("%zu rows with %zu threads: %zu tasks in %zu calls", spec->outer, threads, record.tasks,
                            record.calls);
}

static void shared_case(const softfocus_test *test, const softfocus_case_spec *spec)
{
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_case *instance = softfocus_case_make(spec);
    bits alone = run_instance(instance, &context);
    if (spec->outer == 1)
        share(spec, instance, test, 2, 0, &alone);
    share(spec, instance, test, 13, 0, &alone);
    share(spec, instance, test, 1000, 1, &alone);
    softfocus_case_free(instance);
    free(alone.values);
}

/* Pieces that end with the row, and some elements and some groups after a whole number of them. Eight pieces, 131072 classes
   where the library is built as usual, are the least that are shared. */
static void by_shared_rows(const softfocus_test *test)
{
    enum { PIECE = SOFTFOCUS_ROW_PIECE };
    static const size_t shapes[][2] = {{1, 8 * PIECE},
                                       {1, 8 * PIECE + 1},
                                       {3, 16 * PIECE + PIECE / 2 - 335},
                                       {1, 8 * PIECE + 90},
                                       {1, 15 * PIECE + PIECE / 8 * 5}};
    static const softfocus_case_logits kinds[] = {SOFTFOCUS_LOGITS_NORMAL, SOFTFOCUS_LOGITS_EQUAL, SOFTFOCUS_LOGITS_LARGE,
                                                  SOFTFOCUS_LOGITS_MASKED, SOFTFOCUS_LOGITS_DISJOINT, SOFTFOCUS_LOGITS_GAPS,
                                                  SOFTFOCUS_LOGITS_MANY_NAN};
    const softfocus_case_kernel *kernel = test->subject;
    for (size_t s = 0; s < COUNT(shapes); s++)
        for (size_t k = 0; k < COUNT(kinds); k += s < 2 ? 1 : 3) { /* all kinds of logits once */
            softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
            spec.outer = shapes[s][0];
            spec.classes = shapes[s][1];
            spec.logits = kinds[k];
            spec.scale = 5.0;
            spec.seed = softfocus_test_seed() + s;
            spec.input_layout = k % 2 ? SOFTFOCUS_LAYOUT_PADDED : SOFTFOCUS_LAYOUT_CONTIGUOUS;
            spec.misalignment = s;
            if (!kernel->has_options) {
                if (k != COUNT(kinds) - 1 || strcmp(kernel->name, "log_softmax") == 0) /* which NaN may change elsewhere */
                    shared_case(test, &spec);
                continue;
            }
            spec.reduction = k % 2 ? SOFTFOCUS_SUM : SOFTFOCUS_NONE;
            spec.class_weight = 1;
            spec.targets = k % 3 == 2 ? SOFTFOCUS_TARGETS_IGNORED
                           : k % 3    ? SOFTFOCUS_TARGETS_EASY
                                      : SOFTFOCUS_TARGETS_RANDOM;
            for (spec.gradient = 0; spec.gradient < 2 && k != COUNT(kinds) - 1; spec.gradient++)
                shared_case(test, &spec);
        }
}

/* ---- Alignment ----------------------------------------------------------------------------------------- */

static void any_alignment(const softfocus_test *test, softfocus_case_spec spec)
{
    softfocus_context context = softfocus_test_context(test->isa);
    spec.guard_front = 1;
    bits aligned = run(&spec, &context);
    for (spec.misalignment = 1; spec.misalignment < 16; spec.misalignment++)
        expect_same(&spec, "misaligned", &aligned, run(&spec, &context), aligned.count);
    spec.guard_front = 0;
    expect_same(&spec, "at the end of a page", &aligned, run(&spec, &context), aligned.count);
    free(aligned.values);
}

static void by_alignment(const softfocus_test *test)
{
    for_specs(test, small_shapes, COUNT(small_shapes), any_alignment);
}

/* ---- Splits of a batch --------------------------------------------------------------------------------- */

static int can_split_inner(const softfocus_case_spec *spec)
{
    return spec->kernel->index_targets || !spec->kernel->has_options || spec->classes == 1;
}

static void any_split(const softfocus_test *test, softfocus_case_spec spec)
{
    if (spec.reduction != SOFTFOCUS_NONE || (spec.outer == 1 && !can_split_inner(&spec)))
        return;
    softfocus_context context = softfocus_test_context(test->isa);
    bits whole = run(&spec, &context);
    softfocus_case *instance = softfocus_case_make(&spec);
    size_t length = spec.outer == 1 ? spec.inner : spec.outer;
    for (size_t at = 1; at < length; at++) {
        softfocus_case_reset(instance);
        expect_ok(instance, softfocus_case_run_part(instance, &context, 0, at));
        expect_ok(instance, softfocus_case_run_part(instance, &context, at, length - at));
        expect_same(&spec, "split", &whole, outputs_of(instance), whole.count);
    }
    softfocus_case_free(instance);
    free(whole.values);
}

/* For kernels that do not add up what may be NaN, or give one NaN for all. */
static void any_split_of_nan(const softfocus_test *test, softfocus_case_spec spec)
{
    if (strcmp(spec.kernel->name, "softmax_focal_loss") == 0)
        return;
    spec.logits = SOFTFOCUS_LOGITS_MANY_NAN;
    any_split(test, spec);
}

static void any_split_of_one_nan(const softfocus_test *test, softfocus_case_spec spec)
{
    spec.logits = SOFTFOCUS_LOGITS_ONE_NAN;
    any_split(test, spec);
}

static void by_split(const softfocus_test *test)
{
    static const size_t shapes[][3] = {{70, 2, 1}, {67, 10, 1}, {35, 65, 1}, {5, 701, 1},
                                       {6, 5, 41}, {1, 3, 150}, {1, 1, 150}, {1, 33, 70},
                                       {1, 130, 70}, {1, 200, 33}, {1, 300, 33}};
    for_specs(test, shapes, COUNT(shapes), any_split);
    for_specs(test, shapes, COUNT(shapes), any_split_of_nan);
    for_specs(test, shapes, COUNT(shapes), any_split_of_one_nan);
}

/* ---- Floating-point modes of the caller ---------------------------------------------------------------- */

/* Runs with the mode set; the control word must be the same after. */
static bits run_in_mode(softfocus_case *instance, const softfocus_context *context,
                        const softfocus_float_mode *mode)
{
    softfocus_case_reset(instance);
    uint64_t before = softfocus_float_control();
    uint64_t control = before | mode->bits;
    softfocus_float_set_control(control);
    softfocus_status status = softfocus_case_run(instance, context);
    uint64_t after = softfocus_float_control();
    softfocus_float_set_control(before);
    expect_ok(instance, status);
    if (after != control)
        softfocus_test_fail("%s: the control word was %#llx and is %#llx", mode->name,
                            (unsigned long long)control, (unsigned long long)after);
    return outputs_of(instance);
}

static void any_mode(const softfocus_test *test, softfocus_case_spec spec)
{
    softfocus_context context = softfocus_test_context(test->isa);
    softfocus_task_record record = {0};
    spec.logits =
        spec.seed % 2 == 0 ? SOFTFOCUS_LOGITS_GAPS : SOFTFOCUS_LOGITS_NORMAL; /* subnormal results */
    softfocus_case *instance = softfocus_case_make(&spec);
    bits usual = run_instance(instance, &context);
    for (size_t m = 0; m < COUNT(softfocus_float_modes); m++) {
        const softfocus_float_mode *mode = &softfocus_float_modes[m];
        context.parallel_for = NULL;
        expect_same(&spec, mode->name, &usual, run_in_mode(instance, &context, mode), usual.count);
        context.parallel_for = softfocus_parallel_threads; /* new threads inherit the mode */
        context.pool = &record;
        context.threads = 4;
        expect_same(&spec, mode->name, &usual, run_in_mode(instance, &context, mode), usual.count);
        if (record.calls > 0 && (record.control & mode->bits) != mode->bits)
            softfocus_test_fail("%s: parallel_for was called in mode %#llx", mode->name, (unsigned long long)record.control);
    }
    softfocus_case_free(instance);
    free(usual.values);
}

/* Partial sums are added, too. */
static void any_mode_of_many(const softfocus_test *test, softfocus_case_spec spec)
{
    if (!is_beside_the_point(&spec))
        any_mode(test, spec);
}

static void by_mode(const softfocus_test *test)
{
    for_specs(test, small_shapes, COUNT(small_shapes), any_mode);
    for_specs(test, large_shapes, 1, any_mode_of_many);
}

/* ---- In place -------------------------------------------------------------------------------------------- */

/* Outputs of this size (6 MiB and more, but for the last two) go past the caches, but not in place. A normalizer of 1e-60
   makes gradients infinite, but for those of ignored rows. */
static void by_place(const softfocus_test *test)
{
    static const struct {
        size_t outer, classes, inner, misalignment;
        softfocus_case_logits logits;
        double gamma, normalizer;
    } shapes[] = {{2250, 701, 1, 3, SOFTFOCUS_LOGITS_UNIFORM, 2.0, 0.0},
                  {3080, 512, 1, 5, SOFTFOCUS_LOGITS_LARGE, 2.0, 0.0},
                  {17401, 91, 1, 1, SOFTFOCUS_LOGITS_LARGE, 2.0, 0.0},
                  {5300, 300, 1, 0, SOFTFOCUS_LOGITS_UNIFORM, 0.0, 1e-60},
                  {11, 21, 7201, 0, SOFTFOCUS_LOGITS_GAPS, 2.0, 0.0},
                  {3, 150, 3600, 0, SOFTFOCUS_LOGITS_UNIFORM, 2.0, 0.0},
                  {2800, 65, 9, 0, SOFTFOCUS_LOGITS_UNIFORM, 2.0, 0.0},
                  {3, 61, 100, 0, SOFTFOCUS_LOGITS_UNIFORM, 2.0, 0.0},
                  {9, 65, 1, 1, SOFTFOCUS_LOGITS_UNIFORM, 2.0, 0.0}};
    softfocus_context context = softfocus_test_context(test->isa);
    for (size_t s = 0; s < COUNT(shapes); s++) {
        softfocus_case_spec spec = softfocus_case_spec_defaults(test->subject);
        spec.outer = softfocus_test_outer(shapes[s].outer, shapes[s].classes, shapes[s].inner);
        spec.classes = shapes[s].classes;
        spec.inner = shapes[s].inner;
        spec.misalignment = shapes[s].misalignment;
        spec.guard_front = 1;
        spec.logits = shapes[s].logits;
        spec.gamma = shapes[s].gamma;
        spec.normalizer = shapes[s].normalizer;
        spec.reduction = spec.normalizer > 0.0 ? SOFTFOCUS_MEAN : SOFTFOCUS_NONE;
        spec.targets = SOFTFOCUS_TARGETS_IGNORED;
        spec.seed = softfocus_test_seed() + s;
        bits apart = run(&spec, &context);
        for (spec.in_place = 1; spec.in_place <= spec.kernel->in_place_ways; spec.in_place++)
            expect_same(&spec, "in place", &apart, run(&spec, &context), apart.count);
        free(apart.values);
    }
}

/* ---- Layouts --------------------------------------------------------------------------------------------- */

/* Outputs that exceed the caches, but for the last. Inputs have their classes outermost, so that all are worked on as
   columns. */
static void by_layout(const softfocus_test *test)
{
    static const size_t shapes[][3] = {{133337, 12, 1}, {3, 150, 3600}, {70, 65, 5}};
    softfocus_context context = softfocus_test_context(test->isa);
    char text[512];
    for (size_t s = 0; s < COUNT(shapes); s++) {
        softfocus_case_spec spec = softfocus_case_spec_defaults(test->subject);
        spec.outer = softfocus_test_outer(shapes[s][0], shapes[s][1], shapes[s][2]);
        spec.classes = shapes[s][1];
        spec.inner = shapes[s][2];
        spec.input_layout = spec.output_layout = SOFTFOCUS_LAYOUT_TRANSPOSED;
        spec.guard_front = 1; /* and so on a cache line */
        spec.logits = SOFTFOCUS_LOGITS_UNIFORM;
        spec.seed = softfocus_test_seed() + s;
        bits transposed = run(&spec, &context);
        for (size_t layout = 0; layout < SOFTFOCUS_LAYOUT_COUNT; layout++) {
            spec.output_layout = (softfocus_case_layout)layout;
            softfocus_case *instance = softfocus_case_make(&spec);
            expect_same(&spec, "layout", &transposed, run_instance(instance, &context), transposed.count);
            if (softfocus_case_has_stray_write(instance))
                softfocus_test_fail("a stray write (%s)", softfocus_case_describe(&spec, text, sizeof text));
            softfocus_case_free(instance);
        }
        free(transposed.values);
    }
}

/* ---- Sums ------------------------------------------------------------------------------------------------ */

static void same_sum(const softfocus_case_spec *spec, const softfocus_context *context, const char *how, const bits *sum)
{
    expect_same(spec, how, sum, run(spec, context), 1);
}

/* The order in which losses are added up is decided by shape and strides. */
static void by_sums(const softfocus_test *test)
{
    static const struct {
        size_t outer, classes, inner;
        softfocus_case_layout layout; /* of the gradient */
        size_t tie;
    } shapes[] = {{9301, 170, 1, SOFTFOCUS_LAYOUT_CONTIGUOUS, 0},
                  {5300, 300, 1, SOFTFOCUS_LAYOUT_CONTIGUOUS, 0},
                  {10, 21, 300, SOFTFOCUS_LAYOUT_CONTIGUOUS, 0},
                  {3, 9, 61001, SOFTFOCUS_LAYOUT_CONTIGUOUS, 0},
                  /* the fifth of seven chunks, which begins within an image, where batches begin at other lanes */
                  {2, 9, 6001, SOFTFOCUS_LAYOUT_CONTIGUOUS, 6848},
                  {27, 1, 61001, SOFTFOCUS_LAYOUT_PADDED, 0}};
    softfocus_task_record record = {0};
    for (size_t s = 0; s < COUNT(shapes); s++) {
        softfocus_context context = softfocus_test_context(test->isa);
        softfocus_case_spec spec = softfocus_case_spec_defaults(test->subject);
        spec.outer = softfocus_test_outer(shapes[s].outer, shapes[s].classes, shapes[s].inner);
        spec.classes = shapes[s].classes;
        spec.inner = shapes[s].inner;
        spec.output_layout = shapes[s].layout;
        spec.reduction = SOFTFOCUS_SUM;
        spec.gamma = 0.0;
        spec.alpha = -1.0;
        spec.logits = SOFTFOCUS_LOGITS_TIE;
        spec.tie = shapes[s].tie;
        spec.targets = SOFTFOCUS_TARGETS_HARD;
        spec.guard_front = 1;
        spec.seed = softfocus_test_seed() + s;
        bits sum = run(&spec, &context);
        for (spec.misalignment = 1; spec.misalignment < 16; spec.misalignment += 8)
            same_sum(&spec, &context, "misaligned", &sum);
        spec.misalignment = 0;
        for (spec.in_place = 1; shapes[s].layout == spec.input_layout && spec.in_place <= spec.kernel->in_place_ways;
             spec.in_place++)
            same_sum(&spec, &context, "in place", &sum);
        spec.in_place = 0;
        spec.gradient = 0;
        if (shapes[s].layout == spec.input_layout) /* or the strides differ */
            same_sum(&spec, &context, "without gradient", &sum);
        spec.gradient = 1;
        context.pool = &record;
        context.parallel_for = softfocus_parallel_reverse;
        for (context.threads = 3; context.threads < 1000; context.threads += 990) /* a task for each chunk, too */
            same_sum(&spec, &context, "tasks in reverse", &sum);
        free(sum.values);
    }
}

/* ---- The list ------------------------------------------------------------------------------------------ */

void softfocus_add_bits_tests(void)
{
    static const struct {
        const char *name;
        softfocus_test_body *body;
        int needs_gradient; /* of the losses alone */
        int needs_rows;     /* of the kernels over positions */
    } properties[] = {
        {"gradient", by_gradient, 1, 0}, {"tasks", by_tasks, 0, 0}, {"shared_rows", by_shared_rows, 0, 1},
        {"alignment", by_alignment, 0, 0}, {"split", by_split, 0, 0}, {"mode", by_mode, 0, 0},
        {"place", by_place, 0, 0}, {"layout", by_layout, 0, 0}, {"sums", by_sums, 1, 0},
    };
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++)
        for (size_t p = 0; p < COUNT(properties); p++)
            for (size_t i = 0; i < softfocus_isa_count(); i++) {
                const softfocus_case_kernel *kernel = softfocus_case_kernel_at(k);
                if (properties[p].needs_gradient && !kernel->has_gradient)
                    continue;
                if (properties[p].needs_rows && strcmp(kernel->name, "sigmoid_focal_loss") == 0)
                    continue;
                const softfocus_isa *isa = softfocus_isa_at(i);
                softfocus_test *test = softfocus_test_add("%s/%s/same_bits_by_%s", kernel->name,
                                                          softfocus_isa_name(isa), properties[p].name);
                test->body = properties[p].body;
                test->isa = isa;
                test->subject = kernel;
            }
}
