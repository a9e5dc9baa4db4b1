/* SPDX-License-Identifier: BSD-3-Clause */
/* ACPI 6.4, 4.8.3: fixed hardware registers. */
#include "devices/platform.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define STS_POWER_BUTTON 0x0100
#define EN_MASK          0x0721 /* timer, global lock, power and sleep button, RTC */
#define CNT_SCI_EN       0x0001
#define CNT_SLP_TYP      0x1c00
#define CNT_SLP_TYP_POS  10
#define CNT_SLP_EN       0x2000 /* reads as 0 */
#define TIMER_HZ         3579545

#define BLOCK_LENGTH (PM_TIMER + PM_TIMER_LENGTH - PM1A_EVT)

struct pm {
    const vmm_host *host;
    pthread_mutex_t lock;
    uint16_t status, enable, control;
    uint8_t reset;
    bool sci;
};

static uint32_t timer_now(const pm *block, visor_vcpu *vcpu)
{
    struct timespec now;

    if (block->host->guest_time != NULL) {
        uint64_t ns = block->host->guest_time(vcpu);

        now = (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                                .tv_nsec = (long)(ns % 1000000000)};
    } else {
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return (uint32_t)((uint64_t)now.tv_sec * TIMER_HZ +
                      (uint64_t)now.tv_nsec * TIMER_HZ / 1000000000);
}

static void update_sci(pm *block)
{
    bool level = block->status & block->enable;

    if (level != block->sci) {
        block->sci = level;
        block->host->set_irq(block->host->irq_context, PM_SCI, level);
    }
}

static void set_byte(uint16_t *word, uint64_t index, uint8_t value)
{
    *word = (uint16_t)((*word & ~(0xff << (8 * index))) | value << (8 * index));
}

static void write_byte(pm *block, uint64_t port, uint8_t value)
{
    switch (port) {
    case PM1A_EVT:
    case PM1A_EVT + 1:
        block->status &= (uint16_t) ~(value << (8 * (port - PM1A_EVT))); /* ones clear */
        break;
    case PM1A_EVT + 2:
    case PM1A_EVT + 3:
        set_byte(&block->enable, port - PM1A_EVT - 2, value);
        block->enable &= EN_MASK;
        break;
    case PM1A_CNT:
    case PM1A_CNT + 1:
        set_byte(&block->control, port - PM1A_CNT, value);
        if (block->control & CNT_SLP_EN &&
            (block->control & CNT_SLP_TYP) >> CNT_SLP_TYP_POS == PM_S5)
            block->host->request(block->host->request_context, VMM_REQUEST_POWEROFF);
        block->control &= (uint16_t)~CNT_SLP_EN;
        break;
    default: break;
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pm *block = context;
    uint8_t image[BLOCK_LENGTH] = {0};
    uint64_t offset = io->address - PM1A_EVT;
    uint16_t control;
    uint32_t timer;

    pthread_mutex_lock(&block->lock);
    if (io->is_write) {
        for (uint32_t i = 0; i < io->length; i++)
            write_byte(block, io->address + i, io->data[i]);
        update_sci(block);
    } else {
        control = block->control | CNT_SCI_EN;
        timer = timer_now(block, vcpu);
        for (unsigned i = 0; i < 2; i++) {
            image[i] = (uint8_t)(block->status >> (8 * i));
            image[2 + i] = (uint8_t)(block->enable >> (8 * i));
            image[PM1A_CNT - PM1A_EVT + i] = (uint8_t)(control >> (8 * i));
        }
        for (unsigned i = 0; i < PM_TIMER_LENGTH; i++)
            image[PM_TIMER - PM1A_EVT + i] = (uint8_t)(timer >> (8 * i));
        for (uint32_t i = 0; i < io->length; i++)
            io->data[i] = offset + i < BLOCK_LENGTH ? image[offset + i] : 0xff;
    }
    pthread_mutex_unlock(&block->lock);
    return VISOR_IO_DONE;
}

/* PC reset control register: bit 1 chooses a hard reset, bit 2 going to 1 does it. */
static int handle_reset(void *context, visor_vcpu *vcpu, visor_io *io)
{
    pm *block = context;

    (void)vcpu;
    if (io->address != PM_RESET || io->length != 1)
        return VISOR_IO_DECLINE; /* the PCI configuration address register */
    pthread_mutex_lock(&block->lock);
    if (io->is_write) {
        if (io->data[0] & 0x04)
            block->host->request(block->host->request_context, VMM_REQUEST_RESET);
        block->reset = io->data[0] & 0x0a;
    } else {
        io->data[0] = block->reset;
    }
    pthread_mutex_unlock(&block->lock);
    return VISOR_IO_DONE;
}

int pm_create(pm **out, const vmm_host *host, vmm_error *error)
{
    pm *block = calloc(1, sizeof(*block));
    int result;

    if (!block)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    block->host = host;
    pthread_mutex_init(&block->lock, NULL);
    result = vmm_map_io(host, VISOR_PIO, PM1A_EVT, BLOCK_LENGTH, handle, block, "power management",
                        error);
    if (result >= 0)
        result =
            vmm_map_io(host, VISOR_PIO, PM_RESET, 1, handle_reset, block, "reset register", error);
    if (result < 0) {
        pm_free(block);
        return result;
    }
    *out = block;
    return 0;
}

void pm_free(pm *block)
{
    if (!block)
        return;
    pthread_mutex_destroy(&block->lock);
    free(block);
}

bool pm_power_button(pm *block)
{
    bool heard;

    pthread_mutex_lock(&block->lock);
    heard = block->enable & STS_POWER_BUTTON;
    block->status |= STS_POWER_BUTTON;
    update_sci(block);
    pthread_mutex_unlock(&block->lock);
    return heard;
}
