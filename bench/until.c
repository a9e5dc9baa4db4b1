/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * until SECONDS TEXT COMMAND...: runs a command until it prints TEXT, ends it, and prints how many
 * milliseconds that took. Exit status 1, and why, if TEXT did not come.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) /* ms */
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* Starts the command as the leader of a process group; *output reads what it prints. */
static pid_t start(char **command, int *output)
{
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        return -1;
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    close(ends[1]);
    *output = ends[0];
    return child;
}

/* NULL: text came; else why not. */
static const char *wait_for(const char *text, int fd, double deadline)
{
    static char seen[1 << 20];
    size_t count = 0;

    while (count < sizeof(seen) - 1) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        double left = deadline - now();
        ssize_t got;

        if (left <= 0 || poll(&ready, 1, (int)left + 1) <= 0)
            return "it took too long";
        got = read(fd, seen + count, sizeof(seen) - 1 - count);
        if (got <= 0)
            return "it ended early";
        for (ssize_t i = 0; i < got; i++, count++) {
            if (seen[count] == '\0') /* strstr() is to see what comes behind */
                seen[count] = ' ';
        }
        seen[count] = '\0';
        if (strstr(seen, text) != NULL)
            return NULL;
    }
    return "it printed too much";
}

int main(int argc, char **argv)
{
    double begin = now();
    const char *trouble;
    int output;
    pid_t child;

    if (argc < 4) {
        fprintf(stderr, "usage: until SECONDS TEXT COMMAND...\n");
        return 2;
    }
    child = start(argv + 3, &output);
    if (child < 0)
        return perror("until"), 1;
    trouble = wait_for(argv[2], output, begin + strtod(argv[1], NULL) * 1e3);
    if (trouble == NULL)
        printf("%.1f\n", now() - begin);
    else
        printf("%s\n", trouble);
    kill(-child, SIGKILL);
    kill(child, SIGKILL); /* before it made its group */
    waitpid(child, NULL, 0);
    return trouble != NULL;
}
