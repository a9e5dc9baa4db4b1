/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands: IBM PS/2 Hardware Interface Technical Reference, keyboard controller. */
#include "devices/platform.h"

#include <pthread.h>
#include <stdlib.h>

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64 /* read: status */
#define PORT_A       0x92 /* system control port A: bit 0 resets, bit 1 is A20 */

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM      0x04
#define STATUS_COMMAND     0x08 /* the last write went to PORT_COMMAND */
#define STATUS_UNLOCKED    0x10

#define CONFIG_SYSTEM       0x04
#define CONFIG_KEYBOARD_OFF 0x10
#define CONFIG_AUX_OFF      0x20

struct i8042 {
    const vmm_host *host;
    pthread_mutex_t lock;
    uint8_t config, output;
    uint8_t expects; /* the command whose parameter comes next at PORT_DATA, or 0 */
    bool full, last_was_command;
};

static void answer(i8042 *controller, uint8_t byte)
{
    controller->output = byte;
    controller->full = true;
}

static void command(i8042 *controller, uint8_t value)
{
    controller->expects = 0;
    switch (value) {
    case 0x20: answer(controller, controller->config); break;
    case 0x60: /* write configuration */
    case 0xd1: /* write output port */
    case 0xd2: /* write keyboard buffer */
    case 0xd3: /* write auxiliary buffer */
    case 0xd4: /* write to auxiliary device */ controller->expects = value; break;
    case 0xa7: controller->config |= CONFIG_AUX_OFF; break;
    case 0xa8: controller->config &= (uint8_t)~CONFIG_AUX_OFF; break;
    case 0xa9: answer(controller, 0x02); break; /* auxiliary clock line stuck high: no device */
    case 0xaa:
        controller->config |= CONFIG_SYSTEM;
        answer(controller, 0x55); /* self-test passed */
        break;
    case 0xab: answer(controller, 0x00); break; /* keyboard lines good */
    case 0xad: controller->config |= CONFIG_KEYBOARD_OFF; break;
    case 0xae: controller->config &= (uint8_t)~CONFIG_KEYBOARD_OFF; break;
    case 0xc0: answer(controller, 0x80); break; /* input port: not locked */
    case 0xd0: answer(controller, 0x03); break; /* output port: no reset, A20 on */
    default:
        /* 0xf0 to 0xff pulse the output lines whose bits are 0; line 0 is reset. */
        if (value >= 0xf0 && !(value & 1))
            controller->host->request(controller->host->request_context, VMM_REQUEST_RESET);
    }
}

static void data(i8042 *controller, uint8_t value)
{
    switch (controller->expects) {
    case 0x60: controller->config = value; break;
    case 0xd1:
        if (!(value & 1)) /* the same reset line */
            controller->host->request(controller->host->request_context, VMM_REQUEST_RESET);
        break;
    case 0xd2: answer(controller, value); break;
    default: break; /* nobody is at the other end of the cable */
    }
    controller->expects = 0;
}

static uint8_t status(const i8042 *controller)
{
    return (uint8_t)(STATUS_UNLOCKED | (controller->full ? STATUS_OUTPUT_FULL : 0) |
                     (controller->config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
                     (controller->last_was_command ? STATUS_COMMAND : 0));
}

static int handle_data(void *context, visor_vcpu *vcpu, visor_io *io)
{
    i8042 *controller = context;

    (void)vcpu;
    pthread_mutex_lock(&controller->lock);
    if (io->is_write) {
        controller->last_was_command = false;
        data(controller, io->data[0]);
    } else {
        controller->full = false;
        visor_io_set_value(io, UINT64_MAX << 8 | controller->output);
    }
    pthread_mutex_unlock(&controller->lock);
    return VISOR_IO_DONE;
}

static int handle_command(void *context, visor_vcpu *vcpu, visor_io *io)
{
    i8042 *controller = context;

    (void)vcpu;
    pthread_mutex_lock(&controller->lock);
    if (io->is_write) {
        controller->last_was_command = true;
        command(controller, io->data[0]);
    } else {
        visor_io_set_value(io, UINT64_MAX << 8 | status(controller));
    }
    pthread_mutex_unlock(&controller->lock);
    return VISOR_IO_DONE;
}

static int handle_port_a(void *context, visor_vcpu *vcpu, visor_io *io)
{
    i8042 *controller = context;

    (void)vcpu;
    if (!io->is_write)
        visor_io_set_value(io, UINT64_MAX << 8 | 0x02);
    else if (io->data[0] & 1)
        controller->host->request(controller->host->request_context, VMM_REQUEST_RESET);
    return VISOR_IO_DONE;
}

int i8042_create(i8042 **out, const vmm_host *host, vmm_error *error)
{
    i8042 *controller = calloc(1, sizeof(*controller));
    int result;

    if (!controller)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    controller->host = host;
    controller->config = CONFIG_SYSTEM;
    pthread_mutex_init(&controller->lock, NULL);
    result = vmm_map_io(host, VISOR_PIO, PORT_DATA, 1, handle_data, controller,
                        "keyboard controller", error);
    if (result >= 0)
        result = vmm_map_io(host, VISOR_PIO, PORT_COMMAND, 1, handle_command, controller,
                            "keyboard controller", error);
    if (result >= 0)
        result = vmm_map_io(host, VISOR_PIO, PORT_A, 1, handle_port_a, controller,
                            "system control port A", error);
    if (result < 0) {
        i8042_free(controller);
        return result;
    }
    *out = controller;
    return 0;
}

void i8042_free(i8042 *controller)
{
    if (!controller)
        return;
    pthread_mutex_destroy(&controller->lock);
    free(controller);
}
