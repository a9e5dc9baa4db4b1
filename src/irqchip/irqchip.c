/* SPDX-License-Identifier: BSD-3-Clause */
/* The chips of a VM together: the wires between them, and who is asked about an access. */
#include <stdlib.h>
#include <string.h>

#include "irqchip/chip.h"

uint64_t visor__irqchip_now(const struct visor__irqchip *chip)
{
    return chip->host->now(chip->vm);
}

/* ---- life ---- */

int visor__irqchip_create(struct visor__irqchip **out, const struct visor__irqchip_config *config)
{
    struct visor__irqchip *chip = calloc(1, sizeof(*chip));
    int ret;

    if (chip == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_create", "no memory for interrupt chips");
    ret = visor__mutex_init(&chip->lock);
    if (ret < 0) {
        free(chip);
        return ret;
    }
    chip->host = config->host;
    chip->vm = config->vm;
    chip->split = config->split;
    chip->has_pit = !config->split && !config->no_pit;
    chip->tsc_hz = config->tsc_hz;
    atomic_init(&chip->deadline, NEVER);
    visor__pic_init(&chip->pic);
    visor__ioapic_init(&chip->ioapic);
    visor__pit_init(&chip->pit, visor__irqchip_now(chip));
    if (chip->host->clocked)
        ret = visor__irqchip_service_start(chip);
    if (ret < 0) {
        visor__irqchip_destroy(chip);
        return ret;
    }
    *out = chip;
    return 0;
}

void visor__irqchip_destroy(struct visor__irqchip *chip)
{
    if (chip == NULL)
        return;
    visor__irqchip_service_stop(chip);
    while (chip->events != NULL) {
        struct irq_event *event = chip->events;

        chip->events = event->next;
        free(event);
    }
    visor__mutex_destroy(&chip->lock);
    free(chip->routes);
    free(chip);
}

/* ---- time ---- */

uint64_t visor__irqchip_deadline(const struct visor__irqchip *chip)
{
    return atomic_load(&chip->deadline);
}

void visor__irqchip_timers_changed(struct visor__irqchip *chip)
{
    uint64_t before = atomic_load(&chip->deadline), next = chip->has_pit ? chip->pit.due : NEVER;

    for (const struct visor__lapic *lapic = chip->lapics; lapic != NULL; lapic = lapic->next) {
        if (lapic->due < next)
            next = lapic->due;
    }
    atomic_store(&chip->deadline, next);
    if (next >= before)
        return;
    if (chip->host->clocked)
        visor__irqchip_service_hurry(chip);
    if (chip->host->deadline != NULL)
        chip->host->deadline(chip->vm);
}

void visor__irqchip_expire(struct visor__irqchip *chip)
{
    uint64_t now;

    visor__mutex_lock(&chip->lock);
    now = visor__irqchip_now(chip);
    if (chip->has_pit && visor__pit_expire(&chip->pit, now)) {
        visor__irqchip_pull(chip, 0, SOURCE_PIT, true);
        visor__irqchip_pull(chip, 0, SOURCE_PIT, false);
    }
    for (struct visor__lapic *lapic = chip->lapics; lapic != NULL; lapic = lapic->next)
        visor__lapic_timer_expire(lapic, now);
    visor__irqchip_timers_changed(chip);
    visor__mutex_unlock(&chip->lock);
}

/* ---- lines ---- */

/* The routes of a gsi: the first of them, and how many there are. */
static size_t find_routes(const visor_route **first, const struct visor__irqchip *chip,
                          uint32_t gsi)
{
    size_t low = 0, high = chip->route_count, count = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (chip->routes[middle].gsi < gsi)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < chip->route_count && chip->routes[low + count].gsi == gsi)
        count++;
    *first = chip->routes + low;
    return count;
}

/* A message to the local APICs (SDM vol. 3A, 11.11). Returns how many have accepted it. */
static unsigned send_msi(struct visor__irqchip *chip, const visor_msi *msi)
{
    enum { HINT = 1 << 3, LOGICAL = 1 << 2 };
    struct message message = {
        .mode = (enum delivery_mode)(msi->data >> 8 & 7),
        .vector = (uint8_t)msi->data,
        .level = (msi->data >> 15 & 1) != 0,
        .deassert = (msi->data >> 14 & 3) == 2, /* level triggered, and low */
        .logical = (msi->address & LOGICAL) != 0,
        .destination = msi->address >> 12 & 0xff,
    };

    if (msi->address >> 20 != 0xfee)
        return 0;
    /* Redirection hint: any of a logical destination. */
    if ((msi->address & HINT) != 0 && message.logical && message.mode == MODE_FIXED)
        message.mode = MODE_LOWEST;
    return visor__lapic_deliver(chip, &message);
}

/* The level of a pin after one of its sources has changed. */
static bool mix(uint8_t *sources, enum line_source source, bool level)
{
    *sources = (uint8_t)(level ? *sources | source : *sources & ~source);
    return *sources != 0;
}

bool visor__irqchip_pull(struct visor__irqchip *chip, uint32_t gsi, enum line_source source,
                         bool level)
{
    const visor_route *route;
    bool reached = false;

    for (size_t left = find_routes(&route, chip, gsi); left > 0; left--, route++) {
        unsigned pin = route->pin;

        if (route->is_msi) {
            reached |= level && send_msi(chip, &route->msi) > 0;
        } else if (route->chip == VISOR_CHIP_IOAPIC) {
            visor__ioapic_set_pin(chip, pin, mix(&chip->ioapic_sources[pin], source, level));
            reached = true;
        } else {
            if (route->chip == VISOR_CHIP_PIC_SECONDARY)
                pin += 8;
            visor__pic_set_line(&chip->pic, pin, mix(&chip->pic_sources[pin], source, level));
            reached = true;
        }
    }
    visor__irqchip_settle(chip);
    return reached;
}

/* Ended interrupts of a chip: their lines fall, as far as resample events hold them up, and whoever
 * signalled these is asked whether he still wants service. */
static void end_lines(struct visor__irqchip *chip, visor_chip which, uint32_t pins)
{
    for (const struct irq_event *event = chip->events; event != NULL; event = event->next) {
        const visor_route *route;
        size_t left =
            event->resample != VISOR_EVENT_NONE ? find_routes(&route, chip, event->gsi) : 0;

        while (left > 0 &&
               (route->is_msi || route->chip != which || (pins >> route->pin & 1) == 0)) {
            left--;
            route++;
        }
        if (left == 0)
            continue;
        visor__irqchip_pull(chip, event->gsi, SOURCE_EVENT, false);
        visor__os_event_signal(event->resample);
    }
}

void visor__irqchip_settle(struct visor__irqchip *chip)
{
    uint16_t pic = chip->pic.ended;
    uint32_t ioapic = chip->ioapic.ended;

    chip->pic.ended = 0;
    chip->ioapic.ended = 0;
    if (ioapic != 0)
        end_lines(chip, VISOR_CHIP_IOAPIC, ioapic);
    if ((pic & 0xff) != 0)
        end_lines(chip, VISOR_CHIP_PIC_PRIMARY, pic & 0xff);
    if (pic >> 8 != 0)
        end_lines(chip, VISOR_CHIP_PIC_SECONDARY, pic >> 8);
    visor__pic_update(&chip->pic);
    if (chip->pic.output == chip->pic_output)
        return;
    chip->pic_output = chip->pic.output;
    for (struct visor__lapic *lapic = chip->lapics; lapic != NULL; lapic = lapic->next) {
        /* LINT0 of every local APIC is the PIC's output. As ExtINT it passes through. */
        if (chip->pic_output && LVT_MODE(lapic->regs[APIC_LVT_LINT0]) != MODE_EXTINT)
            visor__lapic_local(lapic, APIC_LVT_LINT0);
        visor__lapic_update(lapic);
    }
}

int visor__irqchip_set_irq(struct visor__irqchip *chip, uint32_t gsi, bool level)
{
    visor__mutex_lock(&chip->lock);
    visor__irqchip_pull(chip, gsi, SOURCE_USER, level);
    visor__mutex_unlock(&chip->lock);
    return 0;
}

int visor__irqchip_send_msi(struct visor__irqchip *chip, const visor_msi *msi)
{
    unsigned count;

    visor__mutex_lock(&chip->lock);
    count = send_msi(chip, msi);
    visor__mutex_unlock(&chip->lock);
    return count > 0;
}

static int by_gsi(const void *a, const void *b)
{
    uint32_t x = ((const visor_route *)a)->gsi, y = ((const visor_route *)b)->gsi;

    return (x > y) - (x < y);
}

int visor__irqchip_set_routes(struct visor__irqchip *chip, const visor_route *routes, size_t count)
{
    visor_route *copy = calloc(count > 0 ? count : 1, sizeof(*copy)), *old;

    if (copy == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_set_routes", "%zu routes", count);
    if (count > 0)
        memcpy(copy, routes, count * sizeof(*copy));
    qsort(copy, count, sizeof(*copy), by_gsi);
    visor__mutex_lock(&chip->lock);
    old = chip->routes;
    chip->routes = copy;
    chip->route_count = count;
    visor__mutex_unlock(&chip->lock);
    free(old);
    return 0;
}

/* ---- events ---- */

int visor__irqchip_add_event(struct visor__irqchip *chip, uint32_t gsi, visor_event event,
                             visor_event resample)
{
    struct irq_event *new = calloc(1, sizeof(*new));
    int ret;

    if (new == NULL)
        return visor__error(VISOR_ENOMEM, "", "visor_vm_add_irq_event", "no memory");
    if (chip->split && resample != VISOR_EVENT_NONE) {
        free(new);
        visor__error(VISOR_EUNSUPPORTED, "", "visor_vm_add_irq_event",
                     "the end of a line's interrupt is seen by the outer I/O APIC only");
        return visor__error_hint("raise level interrupts with visor_vm_set_irq() and watch for "
                                 "VISOR_EXIT_IOAPIC_EOI");
    }
    ret = visor__irqchip_service_start(chip);
    if (ret < 0) {
        free(new);
        return ret;
    }
    *new = (struct irq_event){.gsi = gsi, .event = event, .resample = resample};
    visor__mutex_lock(&chip->lock);
    new->next = chip->events;
    chip->events = new;
    visor__mutex_unlock(&chip->lock);
    visor__irqchip_service_sync(chip);
    return 0;
}

int visor__irqchip_remove_event(struct visor__irqchip *chip, uint32_t gsi, visor_event event)
{
    struct irq_event **at, *old;

    visor__mutex_lock(&chip->lock);
    at = &chip->events;
    while (*at != NULL && ((*at)->gsi != gsi || (*at)->event != event))
        at = &(*at)->next;
    old = *at;
    if (old != NULL)
        *at = old->next;
    visor__mutex_unlock(&chip->lock);
    if (old == NULL)
        return visor__error(VISOR_ENOENT, "", "visor_vm_remove_irq_event",
                            "the event does not raise gsi %u", gsi);
    visor__irqchip_service_sync(chip);
    /* Nobody would let the line fall any more. */
    if (old->resample != VISOR_EVENT_NONE) {
        visor__mutex_lock(&chip->lock);
        visor__irqchip_pull(chip, gsi, SOURCE_EVENT, false);
        visor__mutex_unlock(&chip->lock);
    }
    free(old);
    return 0;
}

/* ---- accesses ---- */

static bool has_port(const struct visor__irqchip *chip, uint64_t port)
{
    return visor__pic_has_port(port) || (chip->has_pit && visor__pit_has_port(port));
}

/* The bus splits wide accesses to these 8-bit devices; of ports that are not here nothing comes. */
static void access_ports(struct visor__irqchip *chip, visor_io *io)
{
    uint64_t now = chip->has_pit ? visor__irqchip_now(chip) : 0;

    for (uint32_t i = 0; i < io->length && i < sizeof(io->data); i++) {
        uint64_t port = io->address + i;
        bool is_pic = visor__pic_has_port(port);

        if (!is_pic && !has_port(chip, port)) {
            if (!io->is_write)
                io->data[i] = 0xff;
        } else if (is_pic && io->is_write) {
            visor__pic_write(&chip->pic, port, io->data[i]);
        } else if (is_pic) {
            io->data[i] = visor__pic_read(&chip->pic, port);
        } else if (io->is_write) {
            visor__pit_write(&chip->pit, port, io->data[i], now);
        } else {
            io->data[i] = visor__pit_read(&chip->pit, port, now);
        }
    }
    visor__irqchip_timers_changed(chip);
    visor__irqchip_settle(chip);
}

static void access_ioapic(struct visor__irqchip *chip, visor_io *io)
{
    if (!io->is_write)
        visor_io_set_value(io, visor__ioapic_read(&chip->ioapic, io->address));
    else
        visor__ioapic_write(chip, io->address, (uint32_t)visor_io_value(io));
    visor__irqchip_settle(chip);
}

bool visor__irqchip_access(struct visor__lapic *lapic, visor_io *io)
{
    struct visor__irqchip *chip = lapic->chip;
    bool served = true;

    if (io->space == VISOR_PIO && (chip->split || !has_port(chip, io->address)))
        return false;
    visor__mutex_lock(&chip->lock);
    if (io->space == VISOR_PIO)
        access_ports(chip, io);
    else if (io->address - visor__lapic_page(lapic) < 0x1000)
        visor__lapic_mmio(lapic, io, (unsigned)(io->address & 0xfff));
    else if (!chip->split && visor__ioapic_has_address(&chip->ioapic, io->address))
        access_ioapic(chip, io);
    else
        served = false;
    visor__mutex_unlock(&chip->lock);
    return served;
}

/* ---- state ---- */

static int check_pit(const visor_x86_pit *pit)
{
    for (int i = 0; i < 3; i++) {
        const visor_x86_pit_channel *channel = &pit->channel[i];

        if (channel->read_state > 4 || channel->write_state > 4 || channel->rw_mode > 3)
            return visor__error(VISOR_EINVAL, "", "visor_x86_set_pit",
                                "channel %d: states %u, %u, access mode %u", i, channel->read_state,
                                channel->write_state, channel->rw_mode);
    }
    return 0;
}

/* The bytes of a piece; an error if it is not here. */
static int size_of(const struct visor__irqchip *chip, enum visor__vm_state piece)
{
    switch (piece) {
    case VISOR__VM_STATE_X86_PIC_PRIMARY:
    case VISOR__VM_STATE_X86_PIC_SECONDARY:
    case VISOR__VM_STATE_X86_IOAPIC:
        if (!chip->split)
            return (int)visor__vm_states[piece].size;
        break;
    case VISOR__VM_STATE_X86_PIT:
        if (chip->has_pit)
            return (int)visor__vm_states[piece].size;
        break;
    default: break;
    }
    return visor__error(VISOR_EUNSUPPORTED, "", visor__vm_states[piece].name,
                        "this VM has no such chip inside");
}

int visor__irqchip_get_state(void *buf, size_t capacity, struct visor__irqchip *chip,
                             enum visor__vm_state piece)
{
    int size = size_of(chip, piece);

    if (size < 0 || capacity < (size_t)size)
        return size;
    visor__mutex_lock(&chip->lock);
    switch (piece) {
    case VISOR__VM_STATE_X86_PIT:
        visor__pit_get_state(buf, &chip->pit, visor__irqchip_now(chip));
        break;
    case VISOR__VM_STATE_X86_IOAPIC: visor__ioapic_get_state(buf, &chip->ioapic); break;
    case VISOR__VM_STATE_X86_PIC_PRIMARY: memcpy(buf, &chip->pic.half[0], (size_t)size); break;
    default: memcpy(buf, &chip->pic.half[1], (size_t)size); break;
    }
    visor__mutex_unlock(&chip->lock);
    return size;
}

int visor__irqchip_set_state(struct visor__irqchip *chip, enum visor__vm_state piece,
                             const void *buf, size_t length)
{
    int ret = size_of(chip, piece);
    const visor_x86_pic *pic = buf;

    (void)length; /* the core has checked it */
    if (ret < 0)
        return ret;
    ret = piece == VISOR__VM_STATE_X86_PIT ? check_pit(buf) : 0;
    if ((piece == VISOR__VM_STATE_X86_PIC_PRIMARY || piece == VISOR__VM_STATE_X86_PIC_SECONDARY) &&
        pic->init_state > 3)
        ret = visor__error(VISOR_EINVAL, "", "visor_x86_set_pic", "initialization word %u",
                           pic->init_state);
    if (ret < 0)
        return ret;
    visor__mutex_lock(&chip->lock);
    switch (piece) {
    case VISOR__VM_STATE_X86_PIT:
        visor__pit_set_state(&chip->pit, buf, visor__irqchip_now(chip));
        break;
    case VISOR__VM_STATE_X86_IOAPIC: visor__ioapic_set_state(chip, buf); break;
    default:
        visor__pic_set_state(&chip->pic, piece == VISOR__VM_STATE_X86_PIC_SECONDARY, buf);
        break;
    }
    visor__irqchip_timers_changed(chip);
    visor__irqchip_settle(chip);
    visor__mutex_unlock(&chip->lock);
    return 0;
}
