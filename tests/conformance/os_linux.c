/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes by fork(), eventfds, memfds, signals. */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

/* ---- processes ---- */

static int process_fd = -1;

void process_send(const void *data, size_t length)
{
    /* One write is atomic (PIPE_BUF is at least 4096 here). */
    if (write(process_fd, data, length) < 0)
        _exit(3);
}

void process_end(int status)
{
    _exit(status);
}

const char *process_name(void)
{
    return NULL;
}

_Noreturn static void child(const char *name)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    report_child(name);
    exit(0);
}

/* Reads to the end. Returns false if the time is up. */
static bool read_all(int fd, unsigned limit_s,
                     void (*take)(void *context, const char *data, size_t length), void *context)
{
    uint64_t deadline = now_ns() + (uint64_t)limit_s * 1000000000u;
    char data[4096];

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ns();
        ssize_t count;

        if (now >= deadline)
            return false;
        if (poll(&ready, 1, (int)((deadline - now) / 1000000u + 1)) <= 0)
            continue;
        count = read(fd, data, sizeof(data));
        if (count == 0)
            return true;
        if (count > 0)
            take(context, data, (size_t)count);
    }
}

static int cannot(struct ending *ending, const char *call)
{
    snprintf(ending->text, sizeof(ending->text), "%s: %s", call, strerror(errno));
    return -1;
}

int process_run(struct ending *ending, const char *name, unsigned limit_s,
                void (*take)(void *context, const char *data, size_t length), void *context)
{
    int fds[2], status;
    pid_t pid;

    *ending = (struct ending){.kind = ENDING_EXIT};
    if (pipe(fds) != 0)
        return cannot(ending, "pipe");
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        process_fd = fds[1];
        child(name);
    }
    close(fds[1]);
    if (pid < 0) {
        cannot(ending, "fork");
        close(fds[0]);
        return -1;
    }
    if (!read_all(fds[0], limit_s, take, context)) {
        ending->kind = ENDING_TIMEOUT;
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(fds[0]);
    if (ending->kind == ENDING_TIMEOUT)
        return 0;
    if (WIFSIGNALED(status)) {
        ending->kind = ENDING_CRASH;
        snprintf(ending->text, sizeof(ending->text), "signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        ending->status = WEXITSTATUS(status);
    }
    return 0;
}

/* ---- facts ---- */

unsigned host_system(void)
{
    return 0;
}

uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

bool host_file_begins(const char *path, const char *text)
{
    char begin[64] = "";
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    begin[fread(begin, 1, sizeof(begin) - 1, file)] = '\0';
    fclose(file);
    return strncmp(begin, text, strlen(text)) == 0;
}

unsigned host_count_handles(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

void host_pin_thread(void)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    sched_setaffinity(0, sizeof(cpus), &cpus);
}

void host_lock_memory(void *memory, size_t length)
{
    mlock(memory, length);
}

uint64_t *host_map_own(uint64_t length)
{
    const uint64_t page = page_size();
    uint8_t *host = mmap(NULL, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(host != MAP_FAILED);
    CHECK(mprotect(host + page, length, PROT_READ | PROT_WRITE) == 0);
    return (uint64_t *)(void *)(host + page);
}

/* ---- events and files ---- */

visor_event event_create(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        FAIL("eventfd: %s", strerror(errno));
    return fd;
}

uint64_t event_take(visor_event event)
{
    uint64_t count;

    if (read((int)event, &count, sizeof(count)) == sizeof(count))
        return count;
    if (errno != EAGAIN)
        FAIL("eventfd: %s", strerror(errno));
    return 0;
}

void event_signal(visor_event event)
{
    uint64_t one = 1;

    if (write((int)event, &one, sizeof(one)) != sizeof(one))
        FAIL("eventfd: %s", strerror(errno));
}

visor_file file_create(uint64_t length)
{
    int fd = memfd_create("conformance", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)length) != 0)
        FAIL("memfd: %s", strerror(errno));
    return fd;
}

void file_close(visor_file file)
{
    close((int)file);
}

visor_file file_duplicate(visor_file file)
{
    int fd = fcntl((int)file, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        FAIL("dup: %s", strerror(errno));
    return fd;
}

void file_seal_read_only(visor_file *file)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)*file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        FAIL("%s: %s", path, strerror(errno));
    close((int)*file);
    *file = fd;
}

void file_rewind(visor_file file)
{
    lseek((int)file, 0, SEEK_SET);
}

void file_write(visor_file file, uint64_t offset, const void *data, size_t length)
{
    if (pwrite((int)file, data, length, (off_t)offset) != (ssize_t)length)
        FAIL("memfd: %s", strerror(errno));
}

void file_read(visor_file file, uint64_t offset, void *data, size_t length)
{
    if (pread((int)file, data, length, (off_t)offset) != (ssize_t)length)
        FAIL("memfd: %s", strerror(errno));
}

void file_truncate(visor_file file, uint64_t length)
{
    if (ftruncate((int)file, (off_t)length) != 0)
        FAIL("memfd: %s", strerror(errno));
}

void file_check_private(visor_file file)
{
    struct stat status;

    CHECK(fstat((int)file, &status) == 0);
    CHECK((fcntl((int)file, F_GETFD) & FD_CLOEXEC) != 0);
}

/* ---- permissions ---- */

void permission_drop(char *path, size_t capacity)
{
    int fd;

    snprintf(path, capacity, "/tmp/conformance-XXXXXX");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(fchmod(fd, 0) == 0);
    close(fd);
    if (geteuid() == 0) {
        CHECK(chmod("/tmp", 01777) == 0 || errno == EPERM);
        CHECK(seteuid(65534) == 0);
    }
}

void permission_restore(const char *path)
{
    CHECK(seteuid(getuid()) == 0);
    unlink(path);
}

/* ---- signals ---- */

void signal_block_and_raise(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    raise(SIGUSR1);
}

bool signal_is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1;
}

static timer_t signal_timer;

void signal_start(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler};
    const struct timespec interval = {.tv_nsec = 50000000};
    const struct itimerspec soon = {.it_value = interval, .it_interval = interval};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

    sigaction(SIGUSR1, &action, NULL);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &signal_timer) == 0);
    CHECK(timer_settime(signal_timer, 0, &soon, NULL) == 0);
}

void signal_stop(void)
{
    timer_delete(signal_timer);
}
