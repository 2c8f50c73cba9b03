/* softfocus-bench: every kernel x ISA x shape of tests/cases, timed with Google Benchmark on one thread, and what others
 * do on the same shapes (peers/). Started by `softfocus bench`, or by hand; all options of Google Benchmark apply.
 *
 * Names: KERNEL/f32/ISA/SHAPE, such as log_softmax/f32/avx2/rows:1024/classes:1000. A kernel that can give its gradient is
 * timed twice, as softmax_focal_loss (the loss alone) and as softmax_focal_loss_with_grad. Peers: PEER_KERNEL/f32/SHAPE.
 *
 * With --roof it also times what the roofs are made of: stream_read, stream_copy and stream_copy_nt (non-temporal stores)
 * of memory in the L1, L2 and L3 cache and in none, such as stream_copy/f32/avx2/level:L2, and each word of the vocabulary,
 * word/f32/avx2/vf_mul_add.
 *
 * Counters: ns_per_element, elements_per_second, bytes_per_second (those that a call must at least move),
 * speedup_over_scalar, and of ours arithmetic_ns_per_element and streaming_ns_per_element, the two roofs (roof/roof.h),
 * roof_share, the slower one's time over the call's, operations_per_element, and arithmetic_from and arithmetic_to, between
 * which the arithmetic roof must lie. Machines are noisy and slow down when hot, so scalar is not timed once and for all: a
 * short sample of it, and of the roofs, is taken next to each measurement, and the median of a problem's samples so far is
 * what counts. The scalar rows show what noise is left: their speed-up should be 1. Counters are of CPU time, which other
 * programs on the machine disturb least, and of the whole process, so that a peer which starts threads is charged for them;
 * Google Benchmark reports wall time beside it.
 *
 * Losses are means, as training uses them. Buffers are warm: what fits a cache is timed in it. */
#define _POSIX_C_SOURCE 200809L /* posix_memalign */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_context.h"
#include "cases.h"
#include "gbench_shim.h"
#include "peers/peer.h"
#include "roof/roof.h"
#include "softfocus/softfocus.h"
#include "tools/cpu_model.h"

enum {
    NAME_SIZE = 256,
    MAX_SAMPLES = 256,           /* of scalar per problem; more are not needed for a median */
    QUICK_ELEMENTS = 3 << 19 /* --quick leaves out larger tensors: 6 MiB of float32, above 1024 x 1000 */
};
static const double SAMPLE_SECONDS = 5e-3; /* the shortest time that a sample of scalar takes */
static const double LONG_SECONDS = 0.1;    /* what takes longer is steady, and sampled three times only */

/* One way to compute a problem: by one of our ISAs, or by a peer. */
struct contender {
    struct problem *problem;
    const softfocus_isa *isa;
    const softfocus_bench_peer *peer; /* NULL: isa */
    softfocus_roof *roof;             /* of isa; NULL before the first measurement */
};

/* One thing to compute, and all who do. */
struct problem {
    struct problem *next;
    softfocus_case_spec spec;
    const softfocus_case_shape *shape;
    double scalar_seconds[MAX_SAMPLES]; /* sorted */
    size_t sample_count;
    size_t contender_count;
    struct contender contenders[];
};
static struct problem *problems; /* in any order */

/* What the measurement that runs now works on. Kept from one to the next where that needs the same. */
static struct {
    const struct problem *problem;
    softfocus_case *instance;
    const struct contender *peer;
    void *made;
} current;

static int failures; /* benchmarks that ended with an error */

/* ---- One measurement --------------------------------------------------------------------------------------------- */

static void drop_current(void)
{
    if (current.instance != NULL)
        softfocus_case_free(current.instance);
    if (current.made != NULL)
        current.peer->peer->destroy(current.made);
    memset(&current, 0, sizeof current);
}

/* 0, or a sentence. */
static const char *make_current(const struct contender *contender)
{
    const softfocus_case_spec *spec = &contender->problem->spec;
    if (current.problem != contender->problem) {
        drop_current();
        current.problem = contender->problem;
        current.instance = softfocus_case_make(spec);
    }
    if (contender->peer != NULL && current.made == NULL) {
        current.peer = contender;
        current.made = contender->peer->make(spec->outer, spec->classes, spec->inner);
        if (current.made == NULL)
            return "the peer could not be set up";
    }
    return NULL;
}

/* 0, or a sentence. */
static const char *call(const struct contender *contender, const softfocus_context *context)
{
    if (contender->peer != NULL)
        return contender->peer->run(current.made) == 0 ? NULL : "the peer failed";
    softfocus_status status = softfocus_case_run(current.instance, context);
    return status == SOFTFOCUS_OK ? NULL : softfocus_status_string(status);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void sample_scalar(struct problem *problem)
{
    size_t count = problem->sample_count;
    if (count == MAX_SAMPLES || (count >= 3 && problem->scalar_seconds[count / 2] > LONG_SECONDS))
        return;
    const struct contender scalar = {problem, softfocus_isa_find("scalar"), NULL, NULL};
    softfocus_context context = softfocus_context_defaults();
    context.isa = scalar.isa;
    double calls = 0.0, begin = softfocus_roof_now(), end;
    do {
        (void)call(&scalar, &context); /* its own benchmark reports an error */
        calls += 1.0;
        end = softfocus_roof_now();
    } while (end - begin < SAMPLE_SECONDS);
    problem->scalar_seconds[problem->sample_count++] = (end - begin) / calls;
    qsort(problem->scalar_seconds, problem->sample_count, sizeof *problem->scalar_seconds, compare_doubles);
}

/* 0, or a sentence. */
static const char *sample_roof(struct contender *contender)
{
    if (contender->roof == NULL)
        contender->roof = softfocus_roof_make(&contender->problem->spec,
                                              softfocus_mix_find(softfocus_isa_name(contender->isa)));
    if (contender->roof == NULL)
        return "its words could not be counted";
    softfocus_roof_sample(contender->roof);
    return NULL;
}

static void set_roof_counters(softfocus_bench_state *state, const softfocus_roof *roof, double elements, double seconds)
{
    double arithmetic = softfocus_roof_arithmetic(roof), streaming = softfocus_roof_streaming(roof);
    softfocus_bench_set_counter(state, "arithmetic_ns_per_element", 1e9 * arithmetic / elements);
    softfocus_bench_set_counter(state, "streaming_ns_per_element", 1e9 * streaming / elements);
    softfocus_bench_set_counter(state, "roof_share", (arithmetic > streaming ? arithmetic : streaming) / seconds);
    softfocus_bench_set_counter(state, "operations_per_element", softfocus_roof_operations(roof));
    softfocus_bench_set_counter(state, "arithmetic_from", 1e9 * softfocus_roof_most(roof) / elements);
    softfocus_bench_set_counter(state, "arithmetic_to", 1e9 * softfocus_roof_sum(roof) / elements);
}

static void set_counters(softfocus_bench_state *state, const struct problem *problem, double seconds)
{
    double elements = (double)softfocus_case_elements(&problem->spec);
    double scalar = problem->scalar_seconds[problem->sample_count / 2];
    softfocus_bench_set_counter(state, "ns_per_element", 1e9 * seconds / elements);
    softfocus_bench_set_counter(state, "elements_per_second", elements / seconds);
    softfocus_bench_set_counter(state, "bytes_per_second", (double)softfocus_case_bytes(&problem->spec) / seconds);
    softfocus_bench_set_counter(state, "speedup_over_scalar", scalar / seconds);
}

/* What Google Benchmark calls, several times for each benchmark, with `argument` the contender. */
static void measure(softfocus_bench_state *state, void *argument)
{
    struct contender *contender = argument;
    softfocus_context context = softfocus_context_defaults();
    context.isa = contender->isa;
    const char *error = make_current(contender);
    if (error == NULL) {
        sample_scalar(contender->problem);
        error = contender->isa != NULL ? sample_roof(contender) : NULL;
    }
    if (error == NULL) {
        error = call(contender, &context); /* warms the caches, and finds an error before the loop */
    }
    if (error != NULL) {
        failures++;
        softfocus_bench_fail(state, error);
        return;
    }
    double begin = softfocus_roof_now();
    while (softfocus_bench_keep_running(state))
        (void)call(contender, &context);
    double seconds = (softfocus_roof_now() - begin) / (double)softfocus_bench_iterations(state);
    set_counters(state, contender->problem, seconds);
    if (contender->roof != NULL)
        set_roof_counters(state, contender->roof, (double)softfocus_case_elements(&contender->problem->spec), seconds);
}

/* ---- What roofs are made of -------------------------------------------------------------------------------------- */

/* A stream through one level, or a word. */
struct limit {
    struct limit *next;
    const softfocus_mix *mix;
    size_t word; /* SOFTFOCUS_WORD_COUNT: a stream */
    enum softfocus_stream stream;
    size_t count; /* of a stream: floats per tensor */
};
static struct limit *limits; /* in any order */

static void measure_limit(softfocus_bench_state *state, void *argument)
{
    const struct limit *limit = argument;
    int streams = limit->word == SOFTFOCUS_WORD_COUNT;
    size_t done = 0;
    if (streams)
        (void)softfocus_stream_run(limit->mix, limit->stream, 1, limit->count);
    double begin = softfocus_roof_now();
    while (softfocus_bench_keep_running(state))
        done += streams ? softfocus_stream_run(limit->mix, limit->stream, 1, limit->count)
                        : softfocus_word_run(limit->mix, limit->word, 4);
    double seconds = softfocus_roof_now() - begin;
    if (streams) {
        double bytes = (double)done, per_element = limit->stream == SOFTFOCUS_STREAM_READ ? 4.0 : 8.0;
        softfocus_bench_set_counter(state, "bytes_per_second", bytes / seconds);
        softfocus_bench_set_counter(state, "ns_per_element", 1e9 * seconds * per_element / bytes);
    } else {
        double elements = (double)(done * limit->mix->lanes);
        softfocus_bench_set_counter(state, "elements_per_second", elements / seconds);
        softfocus_bench_set_counter(state, "ns_per_element", 1e9 * seconds / elements);
    }
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static const softfocus_bench_peer *const peers[] = {
#define PEER(name) &softfocus_bench_peer_##name,
#include "peers/peers.def"
#undef PEER
    NULL};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        fputs("softfocus-bench: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void add(struct problem *problem, const softfocus_isa *isa, const softfocus_bench_peer *peer)
{
    const softfocus_case_spec *spec = &problem->spec;
    const char *kernel = spec->kernel->name;
    const char *with_grad = spec->kernel->has_gradient && spec->gradient ? "_with_grad" : "";
    struct contender *contender = &problem->contenders[problem->contender_count++];
    *contender = (struct contender){problem, isa, peer, NULL};
    char name[NAME_SIZE];
    if (peer != NULL)
        snprintf(name, sizeof name, "%s_%s/f32/%s", peer->name, kernel, problem->shape->name);
    else
        snprintf(name, sizeof name, "%s%s/f32/%s/%s", kernel, with_grad, softfocus_isa_name(isa), problem->shape->name);
    softfocus_bench_register(name, measure, contender);
}

static void add_problem(const softfocus_case_kernel *kernel, const softfocus_case_shape *shape, int gradient)
{
    size_t most = softfocus_isa_count();
    for (size_t i = 0; peers[i] != NULL; i++)
        most++;
    struct problem *problem = allocate(sizeof *problem + most * sizeof *problem->contenders);
    problem->next = problems;
    problems = problem;
    softfocus_case_spec *spec = &problem->spec;
    problem->shape = shape;
    *spec = softfocus_case_spec_defaults(kernel);
    spec->outer = shape->outer, spec->classes = shape->classes, spec->inner = shape->inner;
    spec->gradient = gradient;
    spec->reduction = SOFTFOCUS_MEAN;
    spec->guard_front = 1; /* data that begin at a page: no kernel is timed on misaligned data */
    for (size_t i = softfocus_isa_count(); i-- > 0;)
        if (softfocus_isa_supported(softfocus_isa_at(i)))
            add(problem, softfocus_isa_at(i), NULL);
    for (size_t i = 0; peers[i] != NULL; i++)
        if (strcmp(peers[i]->kernel, kernel->name) == 0)
            add(problem, NULL, peers[i]);
}

static void add_all(int quick)
{
    for (size_t k = 0; k < softfocus_case_kernel_count(); k++) {
        const softfocus_case_kernel *kernel = softfocus_case_kernel_at(k);
        for (int gradient = 0; gradient <= kernel->has_gradient; gradient++)
            for (size_t i = 0; i < kernel->shape_count; i++) {
                const softfocus_case_shape *shape = &kernel->shapes[i];
                if (!quick || shape->outer * shape->classes * shape->inner <= QUICK_ELEMENTS)
                    add_problem(kernel, shape, gradient);
            }
    }
}

static void add_limit(const char *name, struct limit limit)
{
    struct limit *kept = allocate(sizeof *kept);
    *kept = limit;
    kept->next = limits;
    limits = kept;
    softfocus_bench_register(name, measure_limit, kept);
}

/* Streams that fill half of a level, or four times the last one. */
static void add_streams(const softfocus_mix *mix)
{
    static const char *const names[] = {"stream_read", "stream_copy", "stream_copy_nt"};
    char name[NAME_SIZE];
    for (int stream = SOFTFOCUS_STREAM_READ; stream <= SOFTFOCUS_STREAM_COPY_AROUND; stream++) {
        if (stream == SOFTFOCUS_STREAM_COPY_AROUND && !mix->has_non_temporal)
            continue;
        for (size_t level = 1; level <= SOFTFOCUS_CACHE_LEVELS + 1; level++) {
            size_t bytes = level <= SOFTFOCUS_CACHE_LEVELS ? softfocus_cache_size(level) / 2
                                                           : 4 * softfocus_cache_size(SOFTFOCUS_CACHE_LEVELS);
            size_t tensors = stream == SOFTFOCUS_STREAM_READ ? 1 : 2;
            if (level <= SOFTFOCUS_CACHE_LEVELS)
                snprintf(name, sizeof name, "%s/f32/%s/level:L%zu", names[stream], mix->isa, level);
            else
                snprintf(name, sizeof name, "%s/f32/%s/level:DRAM", names[stream], mix->isa);
            add_limit(name, (struct limit){.mix = mix,
                                           .word = SOFTFOCUS_WORD_COUNT,
                                           .stream = (enum softfocus_stream)stream,
                                           .count = bytes / (tensors * sizeof(float))});
        }
    }
}

static void add_limits(void)
{
    for (size_t i = softfocus_mix_count(); i-- > 0;) {
        const softfocus_mix *mix = softfocus_mix_at(i);
        if (!softfocus_isa_supported(softfocus_isa_find(mix->isa)))
            continue;
        add_streams(mix);
        for (size_t word = 0; word < SOFTFOCUS_WORD_COUNT; word++) {
            char name[NAME_SIZE];
            snprintf(name, sizeof name, "word/f32/%s/%s", mix->isa, softfocus_word_name(word));
            add_limit(name, (struct limit){.mix = mix, .word = word});
        }
    }
}

static void free_problems(void)
{
    while (limits != NULL) {
        struct limit *next = limits->next;
        free(limits);
        limits = next;
    }
    while (problems != NULL) {
        struct problem *next = problems->next;
        for (size_t i = 0; i < problems->contender_count; i++)
            softfocus_roof_free(problems->contenders[i].roof);
        free(problems);
        problems = next;
    }
}

float *softfocus_bench_logits(size_t count)
{
    void *memory;
    if (posix_memalign(&memory, 64, (count > 0 ? count : 1) * sizeof(float)) != 0)
        return NULL;
    float *values = memory;
    uint32_t random = 1;
    for (size_t i = 0; i < count; i++) {
        float sum = 0.0F; /* of three uniform numbers in [-1, 1): mean 0, variance 1 */
        for (int j = 0; j < 3; j++) {
            random = random * 1664525U + 1013904223U; /* Numerical Recipes' generator */
            sum += (float)(random >> 8) * 0x1p-23F - 1.0F;
        }
        values[i] = sum;
    }
    return values;
}

/* ---- The context of the report ----------------------------------------------------------------------------------- */

static void add_isas(void)
{
    char supported[NAME_SIZE] = "", missing[NAME_SIZE] = "";
    for (size_t i = 0; i < softfocus_isa_count(); i++) {
        const softfocus_isa *isa = softfocus_isa_at(i);
        char *list = softfocus_isa_supported(isa) ? supported : missing;
        size_t length = strlen(list);
        snprintf(list + length, NAME_SIZE - length, "%s%s", length > 0 ? " " : "", softfocus_isa_name(isa));
    }
    softfocus_bench_add_context("isa", softfocus_isa_name(softfocus_isa_default()));
    softfocus_bench_add_context("isas", supported);
    softfocus_bench_add_context("isas_this_cpu_lacks", missing);
}

static void add_context(void)
{
    softfocus_bench_add_context("softfocus_version", SOFTFOCUS_VERSION_STRING);
    softfocus_bench_add_context("compiler", SOFTFOCUS_BENCH_COMPILER);
    softfocus_bench_add_context("flags", SOFTFOCUS_BENCH_FLAGS);
    char cpu[CPU_MODEL_SIZE];
    softfocus_cpu_model(cpu);
    softfocus_bench_add_context("cpu_model", cpu);
    add_isas();
    for (size_t level = 1; level <= SOFTFOCUS_CACHE_LEVELS; level++) {
        char key[32], size[32];
        snprintf(key, sizeof key, "cache_l%zu", level);
        snprintf(size, sizeof size, "%zu", softfocus_cache_size(level));
        softfocus_bench_add_context(key, size);
    }
}

/* ---- The command line -------------------------------------------------------------------------------------------- */

static void print_help(void)
{
    puts("softfocus-bench [--quick] [--roof] [--benchmark_...]: times every kernel x ISA x shape, single-threaded\n"
         "  --quick     fewer repetitions, and no tensor that is larger than a cache\n"
         "  --roof      what the roofs are made of too: streams through each level of memory, words of the vocabulary\n"
         "  --help      this, then the options of Google Benchmark\n"
         "Names are KERNEL/f32/ISA/SHAPE; --benchmark_filter=REGEX chooses, --benchmark_out=FILE writes JSON.");
}

int main(int argc, char **argv)
{
    int quick = 0, roof = 0, kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            quick = 1;
            continue;
        }
        if (strcmp(argv[i], "--roof") == 0) {
            roof = 1;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0)
            print_help();
        argv[kept++] = argv[i];
    }

    /* Our defaults stand before the caller's options, which win. */
    char *defaults[] = {quick ? "--benchmark_min_time=0.02" : "--benchmark_min_time=0.1",
                        quick ? "--benchmark_repetitions=3" : "--benchmark_repetitions=7",
                        "--benchmark_display_aggregates_only=true", "--benchmark_counters_tabular=true"};
    int default_count = (int)(sizeof defaults / sizeof *defaults), count = default_count + kept;
    char **arguments = allocate(((size_t)count + 1) * sizeof *arguments);
    arguments[0] = argv[0];
    memcpy(arguments + 1, defaults, sizeof defaults);
    memcpy(arguments + 1 + default_count, argv + 1, (size_t)(kept - 1) * sizeof *argv);
    if (softfocus_bench_initialize(&count, arguments) != 0)
        return EXIT_FAILURE;

    add_context();
    add_all(quick);
    if (roof)
        add_limits();
    size_t ran = softfocus_bench_run();
    drop_current();
    free_problems();
    softfocus_roof_end();
    free(arguments);
    if (ran == 0 || failures > 0)
        fprintf(stderr, "softfocus-bench: %zu benchmarks ran, %d runs failed\n", ran, failures);
    return ran == 0 || failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
