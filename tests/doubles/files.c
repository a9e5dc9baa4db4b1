/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors of a double, and the functions of libc that a program reaches them by. A descriptor
 * is a real one, of an anonymous object of the kernel's, so that everything else that can be done
 * with a descriptor works; a table tells what it stands for.
 */
/* Or open() would be another name of open64(). */
#undef _FILE_OFFSET_BITS

#include "double.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 1024

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *table[MAX_FD];

static __thread sigset_t mask_before;
static __thread bool installed; /* by the call that runs */

void object_init(struct object *object, const struct object_ops *ops)
{
    object->ops = ops;
    object->references = 1;
}

void object_get(struct object *object)
{
    pthread_mutex_lock(&table_lock);
    object->references++;
    pthread_mutex_unlock(&table_lock);
}

void object_put(struct object *object)
{
    bool is_last;

    pthread_mutex_lock(&table_lock);
    is_last = --object->references == 0;
    pthread_mutex_unlock(&table_lock);
    if (is_last && object->ops->release != NULL)
        object->ops->release(object);
}

int anonymous_fd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int object_install(struct object *object, int placeholder)
{
    if (placeholder < 0)
        return placeholder;
    if (placeholder >= MAX_FD)
        double_die("descriptor %d is more than this double can count", placeholder);
    pthread_mutex_lock(&table_lock);
    table[placeholder] = object;
    pthread_mutex_unlock(&table_lock);
    installed = true;
    return placeholder;
}

/* With a reference. */
static struct object *object_of(int fd)
{
    struct object *object = NULL;

    if (fd < 0 || fd >= MAX_FD)
        return NULL;
    pthread_mutex_lock(&table_lock);
    object = table[fd];
    if (object != NULL)
        object->references++;
    pthread_mutex_unlock(&table_lock);
    return object;
}

/* Through the kernel, which looks whether the memory is there. */
int copy_from_user(void *to, uint64_t from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

int copy_to_user(uint64_t to, const void *from, size_t size)
{
    struct iovec local = {(void *)(uintptr_t)from, size}, remote = {(void *)(uintptr_t)to, size};

    return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

int log_open(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

const char *log_error_name(int number)
{
    return strerrorname_np(number);
}

enum double_kernel double_kernel(void)
{
    const char *name = getenv("VISOR_DOUBLE_KERNEL");

    if (name == NULL || strcmp(name, "6.12") == 0)
        return KERNEL_6_12;
    if (strcmp(name, "6.6") == 0)
        return KERNEL_6_6;
    if (strcmp(name, "6.1") == 0)
        return KERNEL_6_1;
    double_die("VISOR_DOUBLE_KERNEL=%s: 6.1, 6.6 or 6.12", name);
}

bool double_interrupts(void)
{
    static atomic_ulong runs;
    const char *each = getenv("VISOR_DOUBLE_EINTR");
    unsigned long number = each == NULL ? 0 : strtoul(each, NULL, 10);

    return number != 0 && (atomic_fetch_add(&runs, 1) + 1) % number == 0;
}

const void *caller_mask(void)
{
    return &mask_before;
}

static bool is_ignored(int number)
{
    struct sigaction action;

    if (sigaction(number, NULL, &action) < 0)
        return false;
    if (action.sa_handler == SIG_IGN)
        return true;
    return action.sa_handler == SIG_DFL &&
           (number == SIGCHLD || number == SIGURG || number == SIGWINCH || number == SIGCONT);
}

/* The signals that wait for this thread to unblock them, and whether there are any. Those that are
 * ignored would never have come to wait if they were not blocked in here: they go. */
static bool waiting_signals(sigset_t *set)
{
    struct timespec now = {0};
    bool found = false; /* sigisemptyset() of glibc 2.36 overlooks signals above 32 */

    sigpending(set);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (!sigismember(set, number))
            continue;
        if (sigismember(&mask_before, number)) {
            sigdelset(set, number);
        } else if (is_ignored(number)) {
            sigset_t one;

            sigemptyset(&one);
            sigaddset(&one, number);
            sigtimedwait(&one, NULL, &now);
            sigdelset(set, number);
        } else {
            found = true;
        }
    }
    return found;
}

bool signal_pending(void)
{
    sigset_t set;

    return waiting_signals(&set);
}

/* A system call is made again if every handler that runs wants it. */
static bool is_restarted(void)
{
    sigset_t set;

    waiting_signals(&set);
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;

        if (sigismember(&set, number) && sigaction(number, NULL, &action) == 0 &&
            action.sa_handler != SIG_DFL && (action.sa_flags & SA_RESTART) == 0)
            return false;
    }
    return true;
}

static int finish(long result)
{
    if (result >= 0)
        return (int)result;
    errno = (int)-result;
    return -1;
}

static int dispatch(struct object *object, unsigned request, uint64_t arg)
{
    sigset_t all, before;
    bool again;
    long result;

    sigfillset(&all);
    do {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        mask_before = before;
        installed = false;
        log_request(object, request, arg);
        result = object->ops->ioctl(object, request, arg);
        log_result(result, installed);
        again = result == -DOUBLE_RESTART && is_restarted();
        pthread_sigmask(SIG_SETMASK, &before, NULL); /* here handlers run */
    } while (again);
    object_put(object);
    return finish(result == -DOUBLE_RESTART ? -EINTR : result);
}

static int open_object(struct object *object, int flags)
{
    int fd = anonymous_fd();

    if (fd >= 0 && (flags & O_CLOEXEC) == 0)
        fcntl(fd, F_SETFD, 0);
    fd = object_install(object, fd);
    if (fd < 0)
        object_put(object);
    return finish(fd);
}

static int open_path(int folder, const char *path, int flags, mode_t mode)
{
    struct object *object = NULL;
    long ret = path == NULL ? -ENOTTY : double_open(&object, path);

    if (ret == 0)
        return open_object(object, flags);
    if (ret != -ENOTTY)
        return finish(ret);
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

/* What programs call. */
#define EXPORT      __attribute__((visibility("default")))
#define MODE(flags) (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE)

#define OPEN(name)                                     \
    EXPORT int name(const char *path, int flags, ...)  \
    {                                                  \
        va_list list;                                  \
        mode_t mode;                                   \
                                                       \
        va_start(list, flags);                         \
        mode = MODE(flags) ? va_arg(list, mode_t) : 0; \
        va_end(list);                                  \
        return open_path(AT_FDCWD, path, flags, mode); \
    }
#define OPENAT(name)                                              \
    EXPORT int name(int folder, const char *path, int flags, ...) \
    {                                                             \
        va_list list;                                             \
        mode_t mode;                                              \
                                                                  \
        va_start(list, flags);                                    \
        mode = MODE(flags) ? va_arg(list, mode_t) : 0;            \
        va_end(list);                                             \
        return open_path(folder, path, flags, mode);              \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct object *object = object_of(fd);
    uint64_t arg;
    va_list list;

    va_start(list, request);
    arg = va_arg(list, uint64_t);
    va_end(list);
    if (object != NULL)
        return dispatch(object, (unsigned)request, arg);
    return (int)syscall(SYS_ioctl, fd, request, arg);
}

EXPORT int close(int fd)
{
    struct object *object = object_of(fd);

    if (object != NULL) {
        pthread_mutex_lock(&table_lock);
        table[fd] = NULL;
        pthread_mutex_unlock(&table_lock);
        if (object->ops->close != NULL)
            object->ops->close(object);
        object_put(object); /* the table's */
        object_put(object); /* object_of()'s */
    }
    return (int)syscall(SYS_close, fd);
}
