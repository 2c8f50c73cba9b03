/* Processes that share work: see workers.h. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include "workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void *softfocus_workers_share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return shared;
}

void softfocus_workers_unshare(void *shared, size_t size)
{
    munmap(shared, size);
}

/* 1: the process ended well. */
static int await(pid_t process)
{
    int status;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR) {
            perror("waitpid");
            return 0;
        }
    if (WIFSIGNALED(status))
        fprintf(stderr, "a worker ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

int softfocus_workers_run(size_t workers, size_t count, void (*item)(void *argument, size_t worker, size_t i),
                          void *argument)
{
    enum { MOST = 64 };
    pid_t processes[MOST];
    size_t started = 0;
    int well = 1;
    if (workers > MOST)
        workers = MOST;
    atomic_size_t *next = softfocus_workers_share(sizeof *next);
    fflush(NULL); /* else each child would print what is buffered once more */
    for (; started < workers; started++) {
        processes[started] = fork();
        if (processes[started] < 0) {
            perror("fork");
            well = 0;
            break;
        }
        if (processes[started] == 0) {
            for (size_t i; (i = atomic_fetch_add(next, 1)) < count;)
                item(argument, started, i);
            fflush(NULL);
            _exit(EXIT_SUCCESS);
        }
    }
    for (size_t p = 0; p < started; p++)
        well &= await(processes[p]);
    softfocus_workers_unshare(next, sizeof *next);
    return well && started > 0;
}
