/* softfocus-test-stack: how much stack a call takes, measured: the whole test runs on a thread whose stack lies above a
 * guard page, is painted before each call and looked at afterwards. Prints the worst of each function on each ISA, and fails
 * past BOUND.
 *
 * A call takes no stack that grows with its problem. It has two tiles of 23 KB (kernels/tiles.h), at most 256 partial sums
 * (dispatch/run.c) and what the compiler spills; a task that runs on a pool's thread has the same less the sums. Exit
 * status 0: within the bound. 77 (skipped): instrumented or not optimised, where the compiler's own share is larger. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cases.h"
#include "parallel.h"

enum {
    BOUND = 64 * 1024,  /* what a caller must have left: half of what the meanest C library gives a thread (musl) */
    STACK = 192 * 1024, /* of the measuring thread: the bound, and what the test itself needs */
    FRAME = 1024,       /* of the painter: what lies nearer than this below its caller counts as used */
    PAINT = 0x5a
};

static unsigned char *stack; /* STACK bytes, above a guard page */

static void make_stack(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *mapping = mmap(NULL, STACK + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping + page, STACK, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    stack = mapping + page;
}

/* ---- One call ---------------------------------------------------------------------------------------------------- */

typedef struct job {
    softfocus_case *instance; /* NULL: the calls that take no tensor */
    softfocus_context context;
    softfocus_status status;
} job;

static void call_without_tensors(job *mine)
{
    softfocus_error error = softfocus_error_defaults();
    mine->context.error = &error;
    mine->status = softfocus_isa_supported(softfocus_isa_find(softfocus_isa_name(softfocus_isa_default())))
                       ? SOFTFOCUS_OK
                       : SOFTFOCUS_ERROR_ISA;
    if (softfocus_log_softmax(&mine->context, NULL, NULL) != SOFTFOCUS_ERROR_NULL_POINTER ||
        softfocus_status_string(SOFTFOCUS_OK) == NULL)
        mine->status = SOFTFOCUS_ERROR_UNSUPPORTED;
}

/* Bytes of stack below this function's frame, with those of the function of tests/cases that makes the call. */
static __attribute__((noinline)) size_t measure(job *mine)
{
    unsigned char *top = __builtin_frame_address(0);
    memset(stack, PAINT, (size_t)(top - stack) - FRAME);
    if (mine->instance == NULL)
        call_without_tensors(mine);
    else
        mine->status = softfocus_case_run(mine->instance, &mine->context);
    const unsigned char *lowest = stack;
    while (lowest + sizeof(uint64_t) < top - FRAME && *(const uint64_t *)(const void *)lowest == PAINT * (UINT64_MAX / 255))
        lowest += sizeof(uint64_t);
    while (lowest < top - FRAME && *lowest == PAINT)
        lowest++;
    return (size_t)(top - lowest);
}

/* ---- The worst --------------------------------------------------------------------------------------------------- */

typedef struct worst {
    const softfocus_isa *isa;
    size_t calls, use;
    softfocus_case_spec spec;
    int in_tasks;
} worst;

static void visit(void *argument, const softfocus_case_spec *spec)
{
    worst *found = argument;
    softfocus_task_record record = {0};
    softfocus_case_spec soonest = *spec;
    soonest.logits = SOFTFOCUS_LOGITS_UNIFORM; /* which are made soonest */
    job mine = {softfocus_case_make(&soonest), softfocus_context_defaults(), SOFTFOCUS_OK};
    mine.context.isa = found->isa;
    for (int in_tasks = 0; in_tasks < 2; in_tasks++) {
        mine.context.parallel_for = softfocus_parallel_reverse; /* on the same stack, below the call's own frames */
        mine.context.pool = &record;
        mine.context.threads = in_tasks ? 4 : 1;
        size_t use = measure(&mine);
        found->calls++;
        if (mine.status != SOFTFOCUS_OK) {
            fprintf(stderr, "%s\n", softfocus_status_string(mine.status));
            exit(EXIT_FAILURE);
        }
        if (use > found->use) {
            found->use = use;
            found->spec = soonest;
            found->in_tasks = in_tasks;
        }
    }
    softfocus_case_free(mine.instance);
}

/* Shapes, layouts and options decide the path, values and alignment do not. And one problem that is split into as many
   chunks as there can be. */
static void visit_all(const softfocus_case_kernel *kernel, worst *found)
{
    static const char *const wanted[] = {"sizes", "layouts", "in_place", "options"};
    for (size_t g = 0; g < softfocus_case_group_count(); g++)
        for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++)
            if (strcmp(softfocus_case_group_at(g)->name, wanted[w]) == 0)
                softfocus_case_group_at(g)->each(kernel, 1, visit, found);
    softfocus_case_spec spec = softfocus_case_spec_defaults(kernel);
    spec.outer = 4200;
    spec.classes = 1000;
    visit(found, &spec);
}

static int measure_kernel(const softfocus_case_kernel *kernel, const softfocus_isa *isa)
{
    worst found = {.isa = isa};
    char text[512];
    visit_all(kernel, &found);
    printf("%-8s %-22s %6zu bytes at most, of %d; %zu calls; worst: %s%s\n", softfocus_isa_name(isa), kernel->name,
           found.use, (int)BOUND, found.calls, softfocus_case_describe(&found.spec, text, sizeof text),
           found.in_tasks ? ", in tasks" : "");
    return found.calls > 0 && found.use > 0 && found.use <= BOUND;
}

/* The first call of all: choosing the ISA. */
static int measure_small_calls(const char *name)
{
    job mine = {NULL, softfocus_context_defaults(), SOFTFOCUS_OK};
    size_t use = measure(&mine);
    printf("%-31s %6zu bytes\n", name, use);
    return mine.status == SOFTFOCUS_OK && use <= BOUND;
}

static int is_measurable(void)
{
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#elif defined(__has_feature)
    return !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer));
#else
    return 1;
#endif
}

static void *measure_all(void *argument)
{
    int *ok = argument;
    *ok = measure_small_calls("the first call") & measure_small_calls("queries, a refusal");
    for (size_t i = 0; i < softfocus_isa_count(); i++)
        for (size_t k = 0; softfocus_isa_supported(softfocus_isa_at(i)) && k < softfocus_case_kernel_count(); k++)
            *ok &= measure_kernel(softfocus_case_kernel_at(k), softfocus_isa_at(i));
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    int ok = 0;
    if (!is_measurable()) {
        printf("not measured: instrumented or not optimised\n");
        return 77;
    }
    make_stack();
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, STACK) != 0 ||
        pthread_create(&thread, &attributes, measure_all, &ok) != 0 || pthread_join(thread, NULL) != 0) {
        perror("a thread with a stack of its own");
        return EXIT_FAILURE;
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
