/* SPDX-License-Identifier: BSD-3-Clause */
/* What only Linux has: memfd, madvise beyond POSIX, holes in files, futexes, eventfds. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/internal.h"
#include "os/os_posix.h"

/* Huge pages are advised from this size on: one x86-64 or 4K-arm64 huge page. */
#define HUGE_PAGE (2u << 20)

int visor__os_memfile(visor_file *out, uint64_t length)
{
    int fd = memfd_create("visor guest memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return visor__os_failed("memfd_create", "");
    errno = EFBIG;
    if (length > INT64_MAX || ftruncate(fd, (off_t)length) < 0) {
        int ret = visor__error_native(
            errno == EFBIG || errno == ENOMEM ? VISOR_ENOMEM : VISOR_ESYSTEM, "", "ftruncate",
            VISOR_NATIVE_ERRNO, errno, "guest memory of 0x%llx bytes", (unsigned long long)length);
        close(fd);
        return ret;
    }
    /* A file that shrinks under a mapping kills the process that touches it. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int ret = visor__os_failed("fcntl(F_ADD_SEALS)", "");

        close(fd);
        return ret;
    }
    *out = fd;
    return 0;
}

int visor__os_page_out(void *host, uint64_t length)
{
    return madvise(host, length, MADV_PAGEOUT) == 0 ? 0
                                                    : visor__os_failed("madvise(MADV_PAGEOUT)", "");
}

int visor__os_discard(void *host, uint64_t length)
{
    return madvise(host, length, MADV_REMOVE) == 0 ? 0
                                                   : visor__os_failed("madvise(MADV_REMOVE)", "");
}

int visor__os_punch(visor_file file, uint64_t offset, uint64_t length)
{
    if (fallocate((int)file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)length) < 0)
        return visor__os_failed("fallocate(FALLOC_FL_PUNCH_HOLE)", "");
    return 0;
}

void visor__os_advise_guest(void *host, uint64_t length, bool huge, bool no_fork)
{
    /* Only advice: a kernel built without one of these is no reason to fail. */
    (void)madvise(host, length, MADV_DONTDUMP);
    (void)madvise(host, length, MADV_MERGEABLE);
    if (huge && length >= HUGE_PAGE)
        (void)madvise(host, length, MADV_HUGEPAGE);
    if (no_fork)
        (void)madvise(host, length, MADV_DONTFORK);
}

int visor__os_lock_memory(void *host, uint64_t length)
{
    if (mlock2(host, length, MLOCK_ONFAULT) == 0)
        return 0;
    visor__os_failed("mlock2", "");
    return visor__error_hint("raise the limit of locked memory (ulimit -l)");
}

int visor__os_next_data(uint64_t *start, uint64_t *stop, visor_file file, uint64_t offset,
                        uint64_t end)
{
    off_t data = lseek((int)file, (off_t)offset, SEEK_DATA);
    off_t hole;

    if (data < 0 && errno == ENXIO)
        return 0;
    if (data < 0)
        return visor__os_failed("lseek(SEEK_DATA)", "");
    if ((uint64_t)data >= end)
        return 0;
    hole = lseek((int)file, data, SEEK_HOLE);
    if (hole < 0)
        return visor__os_failed("lseek(SEEK_HOLE)", "");
    *start = (uint64_t)data;
    *stop = (uint64_t)hole < end ? (uint64_t)hole : end;
    return 1;
}

bool visor__os_random(void *buf, size_t length)
{
    /* The call itself: C libraries have had a function for it only lately. */
    return syscall(SYS_getrandom, buf, length, 1u /* GRND_NONBLOCK */) == (long)length;
}

/* ---- sleeping and events ---- */

void visor__os_wait(atomic_uint *word, unsigned seen)
{
    /* A value that has changed, a signal: all are reasons to return. */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

void visor__os_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

int visor__os_event_create(visor_event *out)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return visor__os_failed("eventfd", "");
    *out = fd;
    return 0;
}
