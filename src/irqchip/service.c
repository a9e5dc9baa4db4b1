/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread behind the chips of a VM: it waits for events that raise interrupts, and, where time
 * goes on by itself, for the next deadline. A guest that spins and a vCPU that sleeps both need
 * somebody else to wake them; one thread does it for all.
 */
#include <stdlib.h>

#include "irqchip/chip.h"

/* How often to look at a clock that stands still, with a deadline that is nearer than that. */
#define HELD_NS 1000000u

struct irq_service {
    struct visor__thread thread;
    visor_event bell; /* look at the list, the deadline or `stop` again */
    bool stop;
    unsigned changes;       /* of the list, so far */
    atomic_uint seen;       /* changes that the thread knows of */
    uint64_t waiting_until; /* ns; NEVER. An earlier deadline needs the bell */
    /* The thread's own copy of the list: waits[0] is the bell, waits[i] is of sources[i]. */
    struct visor__event_wait *waits;
    struct irq_event **sources;
    size_t count, capacity;
};

static bool reserve(struct irq_service *service, size_t count)
{
    void *waits, *sources;

    if (count <= service->capacity)
        return true;
    waits = realloc(service->waits, count * sizeof(*service->waits));
    if (waits != NULL)
        service->waits = waits;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): what is held is pointers. */
    sources = realloc(service->sources, count * sizeof(*service->sources));
    if (sources != NULL)
        service->sources = sources;
    if (waits == NULL || sources == NULL)
        return false;
    service->capacity = count;
    return true;
}

/* Copies the list. The lock is held. */
static void copy_list(struct visor__irqchip *chip)
{
    struct irq_service *service = chip->service;
    size_t count = 1;

    for (const struct irq_event *event = chip->events; event != NULL; event = event->next)
        count++;
    if (!reserve(service, count))
        count = service->capacity; /* the oldest wait for better times; none that is gone stays */
    service->count = 1;
    for (struct irq_event *event = chip->events; event != NULL && service->count < count;
         event = event->next) {
        service->sources[service->count] = event;
        visor__event_wait_set(&service->waits[service->count++], event->event);
    }
}

static void raise_event(struct visor__irqchip *chip, const struct irq_event *event)
{
    if (event->resample != VISOR_EVENT_NONE) {
        visor__irqchip_pull(chip, event->gsi, SOURCE_EVENT, true);
        return;
    }
    visor__irqchip_pull(chip, event->gsi, SOURCE_USER, true);
    visor__irqchip_pull(chip, event->gsi, SOURCE_USER, false);
}

/* Serves what has been signalled. Returns false at the end, else until when to wait in *until. */
static bool serve(uint64_t *until, struct visor__irqchip *chip)
{
    struct irq_service *service = chip->service;
    bool goes_on;

    visor__mutex_lock(&chip->lock);
    for (size_t i = 1; i < service->count; i++) {
        if (visor__event_wait_take(&service->waits[i]))
            raise_event(chip, service->sources[i]);
    }
    if (service->changes != atomic_load(&service->seen)) {
        copy_list(chip);
        atomic_store(&service->seen, service->changes);
        visor__os_wake(&service->seen);
    }
    *until = chip->host->clocked ? visor__irqchip_deadline(chip) : NEVER;
    service->waiting_until = *until;
    goes_on = !service->stop;
    visor__mutex_unlock(&chip->lock);
    return goes_on;
}

static void run(void *argument)
{
    struct visor__irqchip *chip = argument;
    struct irq_service *service = chip->service;
    uint64_t until, before = NEVER;

    while (serve(&until, chip)) {
        uint64_t now = until != NEVER ? visor__irqchip_now(chip) : 0;
        uint64_t wait = until == NEVER ? NEVER : now < until ? until - now : 0;

        if (until != NEVER && now == before && wait < HELD_NS)
            wait = HELD_NS;
        before = now;
        visor__event_wait_any(service->waits, service->count, wait);
        visor__event_wait_take(&service->waits[0]);
        if (until != NEVER)
            visor__irqchip_expire(chip);
    }
}

static void service_free(struct irq_service *service)
{
    visor__os_event_close(service->bell);
    free(service->waits);
    free(service->sources);
    free(service);
}

int visor__irqchip_service_start(struct visor__irqchip *chip)
{
    static const char op[] = "interrupt chips";
    struct irq_service *service;
    int ret;

    if (chip->service != NULL)
        return 0;
    service = calloc(1, sizeof(*service));
    if (service == NULL)
        return visor__error(VISOR_ENOMEM, "", op, "no memory for their thread");
    ret = visor__os_event_create(&service->bell);
    if (ret < 0) {
        free(service);
        return ret;
    }
    atomic_init(&service->seen, 0);
    service->waiting_until = NEVER;
    if (!reserve(service, 1))
        ret = visor__error(VISOR_ENOMEM, "", op, "no memory for their thread");
    if (ret == 0) {
        visor__event_wait_set(&service->waits[0], service->bell);
        service->count = 1;
        chip->service = service;
        ret = visor__thread_start(&service->thread, run, chip);
    }
    if (ret < 0) {
        chip->service = NULL;
        service_free(service);
    }
    return ret;
}

void visor__irqchip_service_stop(struct visor__irqchip *chip)
{
    struct irq_service *service = chip->service;

    if (service == NULL)
        return;
    visor__mutex_lock(&chip->lock);
    service->stop = true;
    visor__mutex_unlock(&chip->lock);
    visor__os_event_signal(service->bell);
    visor__thread_join(&service->thread);
    chip->service = NULL;
    service_free(service);
}

void visor__irqchip_service_hurry(struct visor__irqchip *chip)
{
    struct irq_service *service = chip->service;
    uint64_t deadline = visor__irqchip_deadline(chip);

    if (deadline >= service->waiting_until)
        return;
    service->waiting_until = deadline;
    visor__os_event_signal(service->bell);
}

void visor__irqchip_service_sync(struct visor__irqchip *chip)
{
    struct irq_service *service = chip->service;
    unsigned wanted, seen;

    visor__mutex_lock(&chip->lock);
    wanted = ++service->changes;
    visor__mutex_unlock(&chip->lock);
    visor__os_event_signal(service->bell);
    while ((int)((seen = atomic_load(&service->seen)) - wanted) < 0)
        visor__os_wait(&service->seen, seen);
}
