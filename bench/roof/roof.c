/* Measuring roofs: see roof.h. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, sysconf */

#include "roof.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffers.h"
#include "count.h"

enum {
    MAX_SAMPLES = 64, /* enough for a median */
    MAX_TENSORS = 3,  /* two sources and a target */
    BEYOND_CACHE = 4, /* streams larger than this many last-level caches are measured on this many */
    PAGE_SKEW = 17 * 64, /* bytes between the places in a page where the tensors of a stream begin: a write and a read at
                            the same place of two pages wait for each other */
    LEAST_MOVED = 1 << 16 /* bytes between two looks at the clock */
};
static const double SAMPLE_SECONDS = 2e-3, WORD_SECONDS = 2e-4;
static const size_t MOST_STREAM_BYTES = (size_t)1 << 30;

double softfocus_roof_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* ---- ISAs ------------------------------------------------------------------------------------------------------------ */

static const softfocus_mix *const mixes[] = {
#define MIX(isa) &softfocus_mix_##isa,
    SOFTFOCUS_MIXES
#undef MIX
};

enum { MIXES = sizeof mixes / sizeof mixes[0] };

size_t softfocus_mix_count(void)
{
    return MIXES;
}

const softfocus_mix *softfocus_mix_at(size_t i)
{
    return i < MIXES ? mixes[i] : NULL;
}

const softfocus_mix *softfocus_mix_find(const char *isa)
{
    for (size_t i = 0; i < MIXES; i++)
        if (strcmp(mixes[i]->isa, isa) == 0)
            return mixes[i];
    return NULL;
}

/* ---- Words ----------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int memory;
    size_t repeat;
} words[] = {
#define ARITHMETIC 0
#define MEMORY 1
#define WORD(kind, repeat, result, name, fresh, arguments) {#name, kind, repeat},
#include "words.def"
#undef WORD
};

/* How often a step of a grain has a word. */
static size_t repeat_of(size_t word, enum softfocus_grain grain)
{
    size_t repeat = words[word].repeat;
    return grain == SOFTFOCUS_COARSE || repeat == 1 ? repeat : repeat / 4;
}

const char *softfocus_word_name(size_t word)
{
    return word < SOFTFOCUS_WORD_COUNT ? words[word].name : NULL;
}

size_t softfocus_word_run(const softfocus_mix *mix, size_t word, size_t rounds)
{
    uint8_t steps[SOFTFOCUS_MIX_STEPS];
    memset(steps, (int)word, sizeof steps);
    mix->run(steps, SOFTFOCUS_COARSE, rounds);
    return sizeof steps * words[word].repeat * rounds;
}

/* Seconds per word, each kind by itself: the fastest of some samples, kept. */
static const double *word_seconds(const softfocus_mix *mix)
{
    static double kept[MIXES][SOFTFOCUS_WORD_COUNT];
    size_t which = 0;
    while (mixes[which] != mix)
        which++;
    double *seconds = kept[which];
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT && seconds[SOFTFOCUS_WORD_COUNT - 1] == 0.0; w++) {
        double best = 1.0;
        for (int sample = 0; sample < 5; sample++) {
            double begin = softfocus_roof_now(), end, done = 0.0;
            do {
                done += (double)softfocus_word_run(mix, w, 2);
                end = softfocus_roof_now();
            } while (end - begin < WORD_SECONDS);
            best = (end - begin) / done < best ? (end - begin) / done : best;
        }
        seconds[w] = best;
    }
    return seconds;
}

/* ---- Streams --------------------------------------------------------------------------------------------------------- */

/* A number from one of sysfs's files about a cache, K and M as they stand there; 0 if there is none. */
static size_t read_sysfs(int index, const char *file, char *text, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, file);
    FILE *stream = fopen(path, "r");
    text[0] = '\0';
    if (stream == NULL)
        return 0;
    if (fgets(text, (int)size, stream) == NULL)
        text[0] = '\0';
    fclose(stream);
    char *unit;
    size_t number = strtoul(text, &unit, 10);
    return *unit == 'K' ? number << 10 : *unit == 'M' ? number << 20 : number;
}

size_t softfocus_cache_size(size_t level)
{
    static const size_t usual[] = {32 << 10, 1 << 20, 32 << 20};
    static const int names[] = {
#ifdef _SC_LEVEL1_DCACHE_SIZE
        _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE
#else
        -1, -1, -1
#endif
    };
    char text[64];
    for (int index = 0; index < 8; index++) {
        size_t size = read_sysfs(index, "size", text, sizeof text);
        if (size > 0 && read_sysfs(index, "level", text, sizeof text) == level) {
            (void)read_sysfs(index, "type", text, sizeof text);
            if (strncmp(text, "Instruction", 11) != 0)
                return size;
        }
    }
    long size = sysconf(names[level - 1]);
    return size > 0 ? (size_t)size : usual[level - 1];
}

/* As the cases' tensors lie: whole pages of their own. */
static softfocus_buffer pool[MAX_TENSORS];

static float *tensor(size_t i, size_t count)
{
    size_t bytes = count * sizeof(float) + MAX_TENSORS * PAGE_SKEW;
    if (pool[i].size < bytes) {
        if (pool[i].data != NULL)
            softfocus_buffer_free(&pool[i]);
        pool[i] = softfocus_buffer_make(bytes, 1, 0);
        for (size_t k = 0; k < bytes / sizeof(float); k++)
            ((float *)pool[i].data)[k] = 1.0f; /* pages that nobody has written are all one page */
    }
    return (float *)(void *)((char *)pool[i].data + i * PAGE_SKEW);
}

size_t softfocus_stream_run(const softfocus_mix *mix, enum softfocus_stream what, size_t sources, size_t count)
{
    size_t whole = count - count % SOFTFOCUS_STREAM_BLOCK;
    if (whole < SOFTFOCUS_STREAM_BLOCK)
        whole = SOFTFOCUS_STREAM_BLOCK;
    int writes = what != SOFTFOCUS_STREAM_READ;
    mix->stream(what, tensor(1, whole), sources > 1 ? tensor(2, whole) : NULL, writes ? tensor(0, whole) : NULL, whole);
    return (sources + (size_t)writes) * whole * sizeof(float);
}

/* Seconds per byte. */
static double sample_stream(const softfocus_mix *mix, enum softfocus_stream what, size_t sources, size_t count)
{
    (void)softfocus_stream_run(mix, what, sources, count); /* into the cache, where it fits */
    double begin = softfocus_roof_now(), end, bytes = 0.0;
    do {
        size_t moved = 0;
        while (moved < LEAST_MOVED)
            moved += softfocus_stream_run(mix, what, sources, count);
        bytes += (double)moved;
        end = softfocus_roof_now();
    } while (end - begin < SAMPLE_SECONDS / 2);
    return (end - begin) / bytes;
}

/* ---- Roofs ----------------------------------------------------------------------------------------------------------- */

struct softfocus_roof {
    const softfocus_mix *mix;
    double elements, bytes;               /* of one call */
    double per_element[SOFTFOCUS_WORD_COUNT]; /* words */
    struct schedule {
        uint8_t steps[SOFTFOCUS_MIX_STEPS];
        double elements; /* whose words are in the steps */
        double rest;     /* seconds per element: what rounding to whole steps left out, or added */
    } schedules[SOFTFOCUS_GRAINS];
    size_t sources, tensor_count;
    int writes;
    size_t samples;
    double arithmetic[MAX_SAMPLES], streaming[MAX_SAMPLES]; /* sorted; of one call */
};

/* As many steps of each word as its share asks for, spread evenly. */
static void schedule(softfocus_roof *roof, enum softfocus_grain grain)
{
    struct schedule *schedule = &roof->schedules[grain];
    const double *seconds = word_seconds(roof->mix);
    double wanted[SOFTFOCUS_WORD_COUNT], taken[SOFTFOCUS_WORD_COUNT] = {0}, sum = 0.0;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        sum += wanted[w] = roof->per_element[w] / (double)repeat_of(w, grain);
    for (size_t step = 0; step < SOFTFOCUS_MIX_STEPS; step++) {
        size_t next = 0;
        double most = -INFINITY;
        for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++) {
            double due = wanted[w] / sum * ((double)step + 0.5) - taken[w];
            if (due > most) {
                most = due;
                next = w;
            }
        }
        taken[next] += 1.0;
        schedule->steps[step] = (uint8_t)next;
    }
    schedule->elements = SOFTFOCUS_MIX_STEPS / sum;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        schedule->rest += (wanted[w] - taken[w] / schedule->elements) * (double)repeat_of(w, grain) * seconds[w];
}

softfocus_roof *softfocus_roof_make(const softfocus_case_spec *spec, const softfocus_mix *mix)
{
    softfocus_roof *roof = softfocus_allocate(1, sizeof *roof);
    *roof = (softfocus_roof){.mix = mix,
                             .elements = (double)softfocus_case_elements(spec),
                             .bytes = (double)softfocus_case_bytes(spec),
                             .writes = spec->gradient || !spec->kernel->has_gradient};
    if (softfocus_words_count(spec, mix->isa, roof->per_element) != 0) {
        free(roof);
        return NULL;
    }
    schedule(roof, SOFTFOCUS_COARSE);
    schedule(roof, SOFTFOCUS_FINE);
    size_t tensors = (size_t)(roof->bytes / (sizeof(float) * roof->elements)); /* class indices are less than one */
    roof->sources = tensors - (size_t)roof->writes > 1 ? 2 : 1;
    size_t most = BEYOND_CACHE * softfocus_cache_size(SOFTFOCUS_CACHE_LEVELS), size = softfocus_case_bytes(spec);
    most = most < MOST_STREAM_BYTES ? most : MOST_STREAM_BYTES;
    roof->tensor_count = (size < most ? size : most) / ((roof->sources + (size_t)roof->writes) * sizeof(float));
    return roof;
}

void softfocus_roof_free(softfocus_roof *roof)
{
    free(roof);
}

/* The better one of both grains. */
static double sample_arithmetic(const softfocus_roof *roof)
{
    double best = INFINITY;
    for (int grain = SOFTFOCUS_COARSE; grain < SOFTFOCUS_GRAINS; grain++) {
        const struct schedule *schedule = &roof->schedules[grain];
        roof->mix->run(schedule->steps, (enum softfocus_grain)grain, 4); /* until the jumps are known */
        double begin = softfocus_roof_now(), end, rounds = 0.0;
        do {
            roof->mix->run(schedule->steps, (enum softfocus_grain)grain, 8);
            rounds += 8.0;
            end = softfocus_roof_now();
        } while (end - begin < SAMPLE_SECONDS / 2);
        best = fmin(best, (end - begin) / (rounds * schedule->elements) + schedule->rest);
    }
    return best * roof->elements;
}

static double sample_streaming(const softfocus_roof *roof)
{
    enum softfocus_stream plain = roof->writes ? SOFTFOCUS_STREAM_COPY : SOFTFOCUS_STREAM_READ;
    double best = sample_stream(roof->mix, plain, roof->sources, roof->tensor_count);
    if (roof->writes && roof->mix->has_non_temporal) {
        double around = sample_stream(roof->mix, SOFTFOCUS_STREAM_COPY_AROUND, roof->sources, roof->tensor_count);
        best = around < best ? around : best;
    }
    return best * roof->bytes;
}

void softfocus_roof_sample(softfocus_roof *roof)
{
    if (roof->samples == MAX_SAMPLES)
        return;
    roof->streaming[roof->samples] = sample_streaming(roof);
    roof->arithmetic[roof->samples] = sample_arithmetic(roof);
    roof->samples++;
    qsort(roof->streaming, roof->samples, sizeof(double), compare_doubles);
    qsort(roof->arithmetic, roof->samples, sizeof(double), compare_doubles);
}

double softfocus_roof_arithmetic(const softfocus_roof *roof)
{
    return roof->arithmetic[roof->samples / 2];
}

double softfocus_roof_streaming(const softfocus_roof *roof)
{
    return roof->streaming[roof->samples / 2];
}

double softfocus_roof_operations(const softfocus_roof *roof)
{
    double count = 0.0;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        count += words[w].memory ? 0.0 : roof->per_element[w];
    return count * (double)roof->mix->lanes;
}

double softfocus_roof_sum(const softfocus_roof *roof)
{
    const double *seconds = word_seconds(roof->mix);
    double sum = 0.0;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        sum += roof->per_element[w] * seconds[w];
    return sum * roof->elements;
}

double softfocus_roof_most(const softfocus_roof *roof)
{
    const double *seconds = word_seconds(roof->mix);
    double most = 0.0;
    for (size_t w = 0; w < SOFTFOCUS_WORD_COUNT; w++)
        if (roof->per_element[w] * seconds[w] > most)
            most = roof->per_element[w] * seconds[w];
    return most * roof->elements;
}

void softfocus_roof_end(void)
{
    for (size_t i = 0; i < MAX_TENSORS; i++)
        if (pool[i].data != NULL)
            softfocus_buffer_free(&pool[i]);
    memset(pool, 0, sizeof pool);
}
