/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "os/os.h"

struct vmm_source {
    vmm_loop *loop;
    vmm_source *next;
    visor_event event;
    bool paused, removed; /* under the loop's lock, as the rest of the list */
    vmm_loop_callback callback;
    void *context;
};

struct vmm_loop {
    pthread_mutex_t lock;
    vmm_source *sources;
    visor_event wake; /* the list changed, or stop */
    atomic_bool stop;
};

int vmm_loop_create(vmm_loop **out, vmm_error *error)
{
    vmm_loop *loop = calloc(1, sizeof(*loop));
    int code;

    if (!loop)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    code = vmm_event_create(&loop->wake, error);
    if (code < 0) {
        free(loop);
        return code;
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
    vmm_event_free(loop->wake);
    free(loop);
}

int vmm_loop_add(vmm_source **out, vmm_loop *loop, visor_event event, vmm_loop_callback callback,
                 void *context, vmm_error *error)
{
    vmm_source *source = calloc(1, sizeof(*source));

    if (!source)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    source->loop = loop;
    source->event = event;
    source->callback = callback;
    source->context = context;
    pthread_mutex_lock(&loop->lock);
    source->next = loop->sources;
    loop->sources = source;
    pthread_mutex_unlock(&loop->lock);
    vmm_event_signal(loop->wake);
    *out = source;
    return 0;
}

void vmm_source_pause(vmm_source *source, bool paused)
{
    vmm_loop *loop = source->loop;
    bool changed;

    pthread_mutex_lock(&loop->lock);
    changed = source->paused != paused;
    source->paused = paused;
    pthread_mutex_unlock(&loop->lock);
    if (changed)
        vmm_event_signal(loop->wake);
}

void vmm_source_remove(vmm_source *source)
{
    if (!source)
        return;
    pthread_mutex_lock(&source->loop->lock);
    source->removed = true;
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

/* What to wait for, and who wants to know: slot 0 is the wake event, of nobody. */
struct round {
    visor_event events[VMM_EVENTS_MAX];
    vmm_source *who[VMM_EVENTS_MAX];
    bool ready[VMM_EVENTS_MAX];
    size_t count;
};

static int collect(vmm_loop *loop, struct round *round, vmm_error *error)
{
    sweep(loop);
    round->events[0] = loop->wake;
    round->count = 1;
    for (vmm_source *source = loop->sources; source; source = source->next) {
        if (source->paused)
            continue;
        if (round->count == VMM_EVENTS_MAX)
            return vmm_fail(error, VISOR_ELIMIT, "too much to wait for");
        round->events[round->count] = source->event;
        round->who[round->count++] = source;
    }
    return 0;
}

/* A callback may have removed or paused a later source of the same round. */
static bool still_wanted(vmm_loop *loop, const vmm_source *source)
{
    bool wanted;

    pthread_mutex_lock(&loop->lock);
    wanted = !source->removed && !source->paused;
    pthread_mutex_unlock(&loop->lock);
    return wanted;
}

int vmm_loop_run(vmm_loop *loop, vmm_error *error)
{
    struct round round = {0};
    int result = 0;

    while (!atomic_exchange(&loop->stop, false)) {
        pthread_mutex_lock(&loop->lock);
        result = collect(loop, &round, error);
        pthread_mutex_unlock(&loop->lock);
        if (result == 0)
            result = vmm_event_wait_any(round.ready, round.events, round.count, error);
        if (result < 0)
            break;
        if (round.ready[0])
            vmm_event_take(loop->wake);
        for (size_t i = 1; i < round.count; i++) {
            if (round.ready[i] && still_wanted(loop, round.who[i]))
                round.who[i]->callback(round.who[i]->context);
        }
    }
    return result;
}

void vmm_loop_stop(vmm_loop *loop)
{
    atomic_store(&loop->stop, true);
    vmm_event_signal(loop->wake);
}
