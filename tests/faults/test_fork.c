/* softfocus-test-fork: calls in the child of a fork. The child of a process that has made no call makes the first; the child
 * of one that has made calls goes on with the same default; and a child forked while other threads are inside calls, which
 * it has lost, waits for none of them. All give the parent's bits. Exit status 0: as documented. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffers.h"
#include "cases.h"
#include "parallel.h"

enum {
    KERNELS_MAX = 16,
    SHAPES = 2,
    BUSY = 3,       /* threads inside calls */
    FORKS = 10,     /* while they are */
    PATIENCE = 200  /* seconds until a child counts as waiting for ever; emulators are slow */
};

/* One instance of each kernel and shape: whoever makes calls has a set of its own. */
typedef struct instances {
    softfocus_case *of[KERNELS_MAX * SHAPES];
    size_t count;
} instances;

static instances make_instances(void)
{
    static const size_t shapes[SHAPES][3] = {{17, 1000, 1}, {2, 19, 450}}; /* two chunks each: two tasks */
    instances made = {.count = 0};
    for (size_t k = 0; k < softfocus_case_kernel_count() && k < KERNELS_MAX; k++)
        for (size_t s = 0; s < SHAPES; s++) {
            softfocus_case_spec spec = softfocus_case_spec_defaults(softfocus_case_kernel_at(k));
            spec.outer = shapes[s][0];
            spec.classes = shapes[s][1];
            spec.inner = shapes[s][2];
            spec.gradient = 1;
            spec.reduction = s == 0 ? SOFTFOCUS_MEAN : SOFTFOCUS_NONE;
            made.of[made.count++] = softfocus_case_make(&spec);
        }
    return made;
}

static void free_instances(const instances *mine)
{
    for (size_t k = 0; k < mine->count; k++)
        softfocus_case_free(mine->of[k]);
}

/* What a process saw. In shared memory. */
typedef struct account {
    const softfocus_isa *isa; /* the default */
    uint64_t bits;            /* of all results, hashed */
    int refused;
} account;

static void add_bits(account *result, softfocus_case *instance)
{
    size_t count = softfocus_case_output_size(instance);
    float *values = softfocus_allocate(count, sizeof *values);
    softfocus_case_output(instance, values);
    const unsigned char *bytes = (const unsigned char *)values;
    for (size_t b = 0; b < count * sizeof *values; b++)
        result->bits = (result->bits ^ bytes[b]) * UINT64_C(0x100000001b3);
    free(values);
}

/* Calls of every kernel on every ISA, beginning with a plain one, on the default. */
static account make_calls(const instances *mine, int in_threads)
{
    account result = {NULL, UINT64_C(0xcbf29ce484222325), 0};
    softfocus_task_record record = {0};
    softfocus_context context = softfocus_context_defaults();
    if (in_threads) {
        context.parallel_for = softfocus_parallel_threads;
        context.pool = &record;
        context.threads = 4;
    }
    for (size_t i = 0; i <= softfocus_isa_count(); i++) {
        context.isa = i == 0 ? NULL : softfocus_isa_at(i - 1);
        if (i > 0 && !softfocus_isa_supported(context.isa))
            continue;
        for (size_t k = 0; k < mine->count; k++) {
            softfocus_case_reset(mine->of[k]);
            result.refused |= softfocus_case_run(mine->of[k], &context) != SOFTFOCUS_OK;
            add_bits(&result, mine->of[k]);
        }
    }
    result.refused |= in_threads && record.tasks == 0;
    result.isa = softfocus_isa_default();
    return result;
}

static account *shared; /* what the child writes */

/* Forks, lets the child make its calls, and waits. The child changes SOFTFOCUS_ISA where the default is no longer open. */
static account calls_in_child(const instances *mine, int in_threads, const char *wish)
{
    *shared = (account){NULL, 0, 1};
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        if (wish != NULL)
            setenv("SOFTFOCUS_ISA", wish, 1);
        *shared = make_calls(mine, in_threads);
        _exit(EXIT_SUCCESS);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "the child did not come through: %s\n",
                child < 0 ? "no fork" : WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "it waited" : "it failed");
        exit(EXIT_FAILURE);
    }
    return *shared;
}

static void expect_same(account expected, account result, const char *what)
{
    if (!result.refused && !expected.refused && result.isa == expected.isa && result.bits == expected.bits)
        return;
    fprintf(stderr, "%s: default %s, bits %016llx, %srefused; expected %s, %016llx\n", what,
            result.isa == NULL ? "none" : softfocus_isa_name(result.isa), (unsigned long long)result.bits,
            result.refused ? "" : "not ", softfocus_isa_name(expected.isa), (unsigned long long)expected.bits);
    exit(EXIT_FAILURE);
}

static atomic_int stop, inside;

static void *keep_calling(void *argument)
{
    const instances *mine = argument;
    softfocus_context context = softfocus_context_defaults();
    for (size_t turn = 0; !atomic_load(&stop); turn++) {
        softfocus_case_run(mine->of[turn % mine->count], &context);
        if (turn == 0)
            atomic_fetch_add(&inside, 1);
    }
    return NULL;
}

static void fork_beside_threads(const instances *mine, account expected)
{
    pthread_t threads[BUSY];
    instances theirs[BUSY];
    for (size_t t = 0; t < BUSY; t++) {
        theirs[t] = make_instances();
        if (pthread_create(&threads[t], NULL, keep_calling, &theirs[t]) != 0) {
            perror("pthread_create");
            exit(EXIT_FAILURE);
        }
    }
    while (atomic_load(&inside) < BUSY)
        usleep(1000);
    for (size_t f = 0; f < FORKS; f++)
        expect_same(expected, calls_in_child(mine, 0, NULL), "forked beside threads inside calls");
    atomic_store(&stop, 1);
    for (size_t t = 0; t < BUSY; t++) {
        pthread_join(threads[t], NULL);
        free_instances(&theirs[t]);
    }
}

int main(void)
{
    instances mine = make_instances(); /* which makes no call */
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return EXIT_FAILURE;
    }
    account first = calls_in_child(&mine, 0, NULL), first_in_threads = calls_in_child(&mine, 1, NULL);
    account expected = make_calls(&mine, 0);
    expect_same(expected, first, "first call in a child");
    expect_same(expected, first_in_threads, "first call in a child, in threads");
    const char *wish = softfocus_isa_name(softfocus_isa_at(softfocus_isa_count() - 1));
    expect_same(expected, calls_in_child(&mine, 0, wish), "a child of a process that has made calls");
    expect_same(expected, calls_in_child(&mine, 1, wish), "the same in threads");
    expect_same(expected, make_calls(&mine, 1), "the parent afterwards");
    fork_beside_threads(&mine, expected);
    free_instances(&mine);
    printf("%d children on %s and each other ISA: the parent's bits\n", 4 + FORKS, softfocus_isa_name(expected.isa));
    return EXIT_SUCCESS;
}
