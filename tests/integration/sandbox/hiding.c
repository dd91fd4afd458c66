/* Holds memory and hides it from who counts: `hiding WAY BYTES`. Compiled and run by test_hiding.py. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK = 65536, STACKS = 64, LIFE_S = 30 };

static char *stacks[STACKS];

static void tell(long n)
{
    if (n == 4 && write(1, "holds\n", 6) != 6)
        _exit(1);
}

static void *mapped(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Processes with one memory: each starts the next one, and stays. */
static int relative(void *number)
{
    long n = (long)number;
    alarm(LIFE_S);
    tell(n);
    if (n < 1000) {
        usleep(20000);
        clone(relative, (char *)mapped(STACK) + STACK, CLONE_VM | SIGCHLD, (void *)(n + 1));
    }
    for (;;)
        pause();
}

/* Threads of which each starts the next one, and ends. */
static int runner(void *number)
{
    long n = (long)number;
    tell(n);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    while (clone(runner, stacks[(n + 1) % STACKS] + STACK, flags, (void *)(n + 1)) < 0)
        ;
    syscall(SYS_exit, 0);
    return 0;
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    alarm(LIFE_S);
    size_t size = strtoul(words[2], NULL, 10);
    memset(mapped(size), 1, size);
    for (int n = 0; n < STACKS; n++)
        stacks[n] = mapped(STACK);
    if (strcmp(words[1], "relatives") == 0)
        return relative((void *)0);
    return runner((void *)0);
}
