/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/output.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RING_SIZE 65536

struct vmm_output {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* bytes came in, or the end was asked for */
    pthread_cond_t done;    /* the writer has finished, or has come back from room() */
    void (*room)(void *context);
    void *room_context;
    size_t head, tail; /* free-running; head - tail bytes are waiting */
    bool starved;      /* a write was cut short: tell room() */
    bool telling;      /* room() is being called */
    bool ending, finished;
    int status; /* errno of a failed write */
    uint8_t ring[RING_SIZE];
};

/* Writes one stretch without the lock. The only place where the thread may be cancelled. */
static ssize_t write_some(int fd, const uint8_t *data, size_t length)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    ssize_t written;
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    written = write(fd, data, length);
    if (written < 0 && errno == EAGAIN) {
        /* someone else made the descriptor non-blocking */
        poll(&pollfd, 1, -1);
        written = 0;
    } else if (written < 0 && errno == EINTR) {
        written = 0;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    return written;
}

static void *writer(void *argument)
{
    vmm_output *output = argument;
    void (*room)(void *context);
    void *room_context;
    size_t start, length;
    ssize_t written;
    int old;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_mutex_lock(&output->lock);
    while (output->head != output->tail || !output->ending) {
        if (output->head == output->tail) {
            pthread_cond_wait(&output->changed, &output->lock);
            continue;
        }
        start = output->tail % RING_SIZE;
        length = output->head - output->tail;
        if (length > RING_SIZE - start)
            length = RING_SIZE - start;
        pthread_mutex_unlock(&output->lock);
        written = write_some(output->fd, output->ring + start, length);
        pthread_mutex_lock(&output->lock);
        if (written < 0) {
            output->status = errno;
            output->tail = output->head;
        } else {
            output->tail += (size_t)written;
        }
        room = output->starved ? output->room : NULL;
        room_context = output->room_context;
        output->starved = false;
        if (room) {
            output->telling = true;
            pthread_mutex_unlock(&output->lock);
            room(room_context);
            pthread_mutex_lock(&output->lock);
            output->telling = false;
            pthread_cond_broadcast(&output->done);
        }
    }
    output->finished = true;
    pthread_cond_broadcast(&output->done);
    pthread_mutex_unlock(&output->lock);
    return NULL;
}

int vmm_output_create(vmm_output **out, int fd, vmm_error *error)
{
    vmm_output *output = calloc(1, sizeof(*output));
    pthread_condattr_t attributes;
    int result;

    if (!output)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    output->fd = fd;
    pthread_mutex_init(&output->lock, NULL);
    pthread_cond_init(&output->changed, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&output->done, &attributes);
    pthread_condattr_destroy(&attributes);
    result = vmm_thread_start(&output->thread, writer, output, error);
    if (result < 0) {
        free(output);
        return result;
    }
    *out = output;
    return 0;
}

void vmm_output_set_room(vmm_output *output, void (*room)(void *context), void *context)
{
    pthread_mutex_lock(&output->lock);
    output->room_context = context;
    output->room = room;
    while (output->telling)
        pthread_cond_wait(&output->done, &output->lock);
    pthread_mutex_unlock(&output->lock);
}

size_t vmm_output_write(void *context, const uint8_t *data, size_t length)
{
    vmm_output *output = context;
    size_t taken = 0, start, part;

    pthread_mutex_lock(&output->lock);
    if (output->status) {
        taken = length;
    } else {
        while (taken < length && output->head - output->tail < RING_SIZE) {
            start = output->head % RING_SIZE;
            part = RING_SIZE - (output->head - output->tail);
            if (part > RING_SIZE - start)
                part = RING_SIZE - start;
            if (part > length - taken)
                part = length - taken;
            memcpy(output->ring + start, data + taken, part);
            output->head += part;
            taken += part;
        }
        output->starved |= taken < length;
        pthread_cond_signal(&output->changed);
    }
    pthread_mutex_unlock(&output->lock);
    return taken;
}

int vmm_output_status(vmm_output *output)
{
    int status;

    pthread_mutex_lock(&output->lock);
    status = output->status;
    pthread_mutex_unlock(&output->lock);
    return status;
}

int vmm_output_free(vmm_output *output, int timeout_ms)
{
    struct timespec until;
    int result = 0;

    if (!output)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    pthread_mutex_lock(&output->lock);
    output->room = NULL; /* whoever wanted to know is about to go */
    output->ending = true;
    pthread_cond_signal(&output->changed);
    while (!output->finished && result == 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&output->done, &output->lock);
        else
            result = pthread_cond_timedwait(&output->done, &output->lock, &until);
    }
    if (!output->finished) {
        pthread_cancel(output->thread);
        output->tail = output->head; /* if it comes back from its write after all */
    }
    pthread_mutex_unlock(&output->lock);
    pthread_join(output->thread, NULL);
    result = output->status;
    pthread_mutex_destroy(&output->lock);
    pthread_cond_destroy(&output->changed);
    pthread_cond_destroy(&output->done);
    free(output);
    return result;
}
