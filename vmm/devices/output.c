/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/output.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

#define RING_SIZE 65536

struct vmm_output {
    visor_file file;
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
    bool abandoned; /* nobody waits for what is left */
    int status;     /* errno of a failed write */
    uint8_t ring[RING_SIZE];
};

static void *writer(void *argument)
{
    vmm_output *output = argument;
    void (*room)(void *context);
    void *room_context;
    size_t start, length;
    ptrdiff_t written;

    vmm_writer_begin();
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
        written = vmm_write(output->file, output->ring + start, length);
        pthread_mutex_lock(&output->lock);
        if (written < 0)
            output->status = (int)-written;
        if (written < 0 || output->abandoned)
            output->tail = output->head;
        else
            output->tail += (size_t)written;
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

int vmm_output_create(vmm_output **out, visor_file file, vmm_error *error)
{
    vmm_output *output = calloc(1, sizeof(*output));
    int result;

    if (!output)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    output->file = file;
    pthread_mutex_init(&output->lock, NULL);
    pthread_cond_init(&output->changed, NULL);
    vmm_timed_cond_init(&output->done);
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
    bool in_time = true;
    uint64_t until;
    int status;

    if (!output)
        return 0;
    until = vmm_now_ns() + (timeout_ms > 0 ? (uint64_t)timeout_ms * 1000000 : 0);
    pthread_mutex_lock(&output->lock);
    output->room = NULL; /* whoever wanted to know is about to go */
    output->ending = true;
    pthread_cond_signal(&output->changed);
    while (!output->finished && in_time) {
        if (timeout_ms < 0)
            pthread_cond_wait(&output->done, &output->lock);
        else
            in_time = vmm_timed_cond_wait(&output->done, &output->lock, until);
    }
    in_time = output->finished;
    output->abandoned = true;
    pthread_mutex_unlock(&output->lock);
    if (in_time)
        pthread_join(output->thread, NULL);
    else
        vmm_writer_end(output->thread);
    status = output->status;
    pthread_mutex_destroy(&output->lock);
    pthread_cond_destroy(&output->changed);
    pthread_cond_destroy(&output->done);
    free(output);
    return status;
}
