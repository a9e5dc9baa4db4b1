/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct vmm_source {
    vmm_loop *loop;
    vmm_source *next;
    int fd;
    short events; /* under the loop's lock, as the rest of the list */
    bool removed;
    vmm_loop_callback callback;
    void *context;
};

struct vmm_loop {
    pthread_mutex_t lock;
    vmm_source *sources;
    int wake; /* eventfd: the list changed, or stop */
    atomic_bool stop;
};

int vmm_loop_create(vmm_loop **out, vmm_error *error)
{
    vmm_loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake < 0) {
        free(loop);
        return vmm_fail(error, VISOR_ESYSTEM, "eventfd: %s", strerror(errno));
    }
    pthread_mutex_init(&loop->lock, NULL);
    *out = loop;
    return 0;
}

void vmm_loop_free(vmm_loop *loop)
{
    vmm_source *next;

    if (!loop)
        return;
    for (vmm_source *source = loop->sources; source; source = next) {
        next = source->next;
        free(source);
    }
    pthread_mutex_destroy(&loop->lock);
    close(loop->wake);
    free(loop);
}

static void wake(vmm_loop *loop)
{
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake, &one, sizeof(one)); /* EAGAIN: it is awake anyway */

    (void)ignored;
}

int vmm_loop_add(vmm_source **out, vmm_loop *loop, int fd, short events, vmm_loop_callback callback,
                 void *context, vmm_error *error)
{
    vmm_source *source = calloc(1, sizeof(*source));

    if (!source)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    source->loop = loop;
    source->fd = fd;
    source->events = events;
    source->callback = callback;
    source->context = context;
    pthread_mutex_lock(&loop->lock);
    source->next = loop->sources;
    loop->sources = source;
    pthread_mutex_unlock(&loop->lock);
    wake(loop);
    *out = source;
    return 0;
}

void vmm_source_set(vmm_source *source, short events)
{
    vmm_loop *loop = source->loop;
    bool changed;

    pthread_mutex_lock(&loop->lock);
    changed = source->events != events;
    source->events = events;
    pthread_mutex_unlock(&loop->lock);
    if (changed)
        wake(loop);
}

void vmm_source_remove(vmm_source *source)
{
    if (!source)
        return;
    pthread_mutex_lock(&source->loop->lock);
    source->removed = true;
    source->events = 0;
    pthread_mutex_unlock(&source->loop->lock);
}

static void sweep(vmm_loop *loop)
{
    vmm_source **link = &loop->sources, *source;

    while ((source = *link)) {
        if (source->removed) {
            *link = source->next;
            free(source);
        } else {
            link = &source->next;
        }
    }
}

/* What to wait for now: slot 0 is the wake event. Returns the number of slots. */
static int collect(vmm_loop *loop, struct pollfd **fds, vmm_source ***who, size_t *capacity)
{
    size_t count = 1, needed = 1;
    void *grown;

    sweep(loop);
    for (vmm_source *source = loop->sources; source; source = source->next)
        needed++;
    if (needed > *capacity) {
        grown = realloc(*fds, needed * sizeof(**fds));
        if (!grown)
            return VISOR_ENOMEM;
        *fds = grown;
        grown = realloc(*who, needed * sizeof(vmm_source *));
        if (!grown)
            return VISOR_ENOMEM;
        *who = grown;
        *capacity = needed;
    }
    (*fds)[0] = (struct pollfd){.fd = loop->wake, .events = POLLIN};
    (*who)[0] = NULL;
    for (vmm_source *source = loop->sources; source; source = source->next) {
        if (!source->events)
            continue;
        (*fds)[count] = (struct pollfd){.fd = source->fd, .events = source->events};
        (*who)[count] = source;
        count++;
    }
    return (int)count;
}

/* A callback may have removed or paused a later source of the same round. */
static bool still_wanted(vmm_loop *loop, const vmm_source *source)
{
    bool wanted;

    pthread_mutex_lock(&loop->lock);
    wanted = source->events != 0;
    pthread_mutex_unlock(&loop->lock);
    return wanted;
}

int vmm_loop_run(vmm_loop *loop, vmm_error *error)
{
    struct pollfd *fds = NULL;
    vmm_source **who = NULL;
    size_t capacity = 0;
    uint64_t drained;
    ssize_t ignored;
    int count, result = 0;

    while (!atomic_exchange(&loop->stop, false)) {
        pthread_mutex_lock(&loop->lock);
        count = collect(loop, &fds, &who, &capacity);
        pthread_mutex_unlock(&loop->lock);
        if (count < 0) {
            result = vmm_fail(error, count, "out of memory");
            break;
        }
        if (poll(fds, (nfds_t)count, -1) < 0) {
            if (errno == EINTR)
                continue;
            result = vmm_fail(error, VISOR_ESYSTEM, "poll: %s", strerror(errno));
            break;
        }
        if (fds[0].revents) {
            ignored = read(loop->wake, &drained, sizeof(drained));
            (void)ignored;
        }
        for (int i = 1; i < count; i++) {
            if (fds[i].revents && still_wanted(loop, who[i]))
                who[i]->callback(who[i]->context, fds[i].fd, fds[i].revents);
        }
    }
    free(fds);
    free(who);
    return result;
}

void vmm_loop_stop(vmm_loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}
