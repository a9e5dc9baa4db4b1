/* SPDX-License-Identifier: BSD-3-Clause */
/* Register names, bits and behaviour: PC16550D data sheet (National Semiconductor, 1995). */
#include "devices/serial.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    REG_DATA = 0, /* RBR, THR; DLL while DLAB is set */
    REG_IER = 1,  /* DLM while DLAB is set */
    REG_IIR = 2,  /* read: IIR, write: FCR */
    REG_LCR = 3,
    REG_MCR = 4,
    REG_LSR = 5,
    REG_MSR = 6,
    REG_SCR = 7,
};

#define IER_RDA  0x01 /* received data available */
#define IER_THRE 0x02 /* transmitter empty */
#define IER_RLS  0x04 /* line status */
#define IER_MS   0x08 /* modem status */
#define IER_ALL  0x0f

#define IIR_NONE    0x01
#define IIR_MS      0x00
#define IIR_THRE    0x02
#define IIR_RDA     0x04
#define IIR_RLS     0x06
#define IIR_TIMEOUT 0x0c /* fewer bytes than the trigger level, and no more coming */
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_BI   0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_ERR  0x80 /* an error somewhere in the receive FIFO */

#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI  0x40
#define MSR_DCD 0x80

#define FIFO_SIZE 16

struct serial {
    const vmm_host *host;
    serial_config config;
    pthread_mutex_t lock;
    pthread_cond_t drained;
    uint8_t ier, fcr, lcr, mcr, msr, scr, dll, dlm;
    bool overrun;
    bool thre_pending; /* the transmitter became empty and nobody has been told */
    bool irq_level, stopped;
    bool interrupt_driven; /* by all that the guest has done so far */
    struct {
        uint8_t byte;
        bool is_break;
    } rx[FIFO_SIZE];
    unsigned rx_first, rx_count;
    uint8_t tx[FIFO_SIZE];
    unsigned tx_count;
};

static unsigned rx_capacity(const serial *uart)
{
    return uart->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

/*
 * Bytes that may come in from outside. None before the guest is ready for them: its driver empties
 * the FIFO when it looks for the UART and when a program opens the port, and what came before would
 * be lost. A driver that uses interrupts (OUT2 lets them out on a PC) is ready while it has them
 * enabled. One that polls says so by RTS. All interrupts without OUT2 are Linux's probing.
 */
static size_t rx_room(const serial *uart)
{
    bool enabled = uart->ier & IER_RDA, ready;

    if (uart->interrupt_driven)
        ready = enabled;
    else
        ready = uart->mcr & MCR_RTS || (enabled && uart->ier != IER_ALL);
    if (uart->mcr & MCR_LOOP || !ready)
        return 0;
    return uart->rx_count < rx_capacity(uart) ? rx_capacity(uart) - uart->rx_count : 0;
}

static void rx_put(serial *uart, uint8_t byte, bool is_break)
{
    if (uart->rx_count >= rx_capacity(uart)) {
        uart->overrun = true;
        return;
    }
    uart->rx[(uart->rx_first + uart->rx_count) % FIFO_SIZE].byte = byte;
    uart->rx[(uart->rx_first + uart->rx_count) % FIFO_SIZE].is_break = is_break;
    uart->rx_count++;
}

static uint8_t rx_get(serial *uart)
{
    uint8_t byte = 0;

    if (uart->rx_count) {
        byte = uart->rx[uart->rx_first].byte;
        uart->rx_first = (uart->rx_first + 1) % FIFO_SIZE;
        uart->rx_count--;
    }
    return byte;
}

static uint8_t line_status(const serial *uart)
{
    uint8_t lsr = 0;

    if (uart->rx_count) {
        lsr |= LSR_DR;
        if (uart->rx[uart->rx_first].is_break)
            lsr |= LSR_BI;
        for (unsigned i = 0; i < uart->rx_count; i++) {
            if (uart->fcr & FCR_ENABLE && uart->rx[(uart->rx_first + i) % FIFO_SIZE].is_break)
                lsr |= LSR_ERR;
        }
    }
    if (uart->overrun)
        lsr |= LSR_OE;
    if (!uart->tx_count)
        lsr |= LSR_THRE | LSR_TEMT;
    return lsr;
}

/* The interrupt of highest priority (data sheet, table IV). */
static uint8_t interrupt_id(const serial *uart)
{
    static const uint8_t trigger[4] = {1, 4, 8, 14};

    if (uart->ier & IER_RLS && line_status(uart) & (LSR_OE | LSR_BI))
        return IIR_RLS;
    if (uart->ier & IER_RDA && uart->rx_count) {
        /* The time-out comes at once: the host sends nothing at a baud rate. */
        if (uart->fcr & FCR_ENABLE && uart->rx_count < trigger[uart->fcr >> 6])
            return IIR_TIMEOUT;
        return IIR_RDA;
    }
    if (uart->ier & IER_THRE && uart->thre_pending)
        return IIR_THRE;
    if (uart->ier & IER_MS && uart->msr & 0x0f)
        return IIR_MS;
    return IIR_NONE;
}

static void update_irq(serial *uart)
{
    bool level = interrupt_id(uart) != IIR_NONE;

    if (level != uart->irq_level) {
        uart->irq_level = level;
        uart->host->set_irq(uart->host->irq_context, uart->config.gsi, level);
    }
}

/* The far end is always there; in loop mode our own outputs are. */
static void update_modem(serial *uart)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, old = uart->msr & 0xf0, changed;

    if (uart->mcr & MCR_LOOP) {
        lines =
            (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                      (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
    }
    changed = (uint8_t)((old ^ lines) >> 4);
    if (!(old & MSR_RI) || lines & MSR_RI)
        changed &= 0x0b; /* the ring indicator reports only its trailing edge */
    uart->msr = (uint8_t)(lines | (uart->msr & 0x0f) | changed);
}

/* Offers what is waiting to the sink. */
static void drain(serial *uart)
{
    size_t taken = uart->tx_count;

    if (!uart->tx_count)
        return;
    if (uart->config.write && !uart->stopped)
        taken = uart->config.write(uart->config.context, uart->tx, uart->tx_count);
    if (taken > uart->tx_count)
        taken = uart->tx_count;
    memmove(uart->tx, uart->tx + taken, uart->tx_count - taken);
    uart->tx_count -= (unsigned)taken;
    if (!uart->tx_count)
        uart->thre_pending = true;
    if (taken)
        pthread_cond_broadcast(&uart->drained);
}

static void transmit(serial *uart, uint8_t byte)
{
    if (uart->mcr & MCR_LOOP) {
        rx_put(uart, byte, false);
        uart->thre_pending = true;
        return;
    }
    while (uart->tx_count == FIFO_SIZE) {
        drain(uart);
        if (uart->tx_count == FIFO_SIZE)
            pthread_cond_wait(&uart->drained, &uart->lock);
    }
    uart->thre_pending = false;
    uart->tx[uart->tx_count++] = byte;
    drain(uart);
    /* When the host takes a byte is not for a guest to see whose time is its own. */
    while (uart->host->guest_time != NULL && uart->tx_count) {
        pthread_cond_wait(&uart->drained, &uart->lock);
        drain(uart);
    }
}

static void write_fcr(serial *uart, uint8_t value)
{
    /*
     * The transmit FIFO is not cleared: what the guest sent is on the line already. Nor is the
     * receive FIFO when it is only switched on or off, as the data sheet has it: Linux does that
     * right after it has let bytes in.
     */
    if (value & FCR_CLEAR_RX) {
        uart->rx_first = 0;
        uart->rx_count = 0;
    }
    uart->fcr = value & FCR_ENABLE ? value & (0xc0 | FCR_ENABLE) : 0;
}

static void write_register(serial *uart, unsigned reg, uint8_t value)
{
    switch (reg) {
    case REG_DATA:
        if (uart->lcr & LCR_DLAB)
            uart->dll = value;
        else
            transmit(uart, value);
        break;
    case REG_IER:
        if (uart->lcr & LCR_DLAB) {
            uart->dlm = value;
            break;
        }
        if (value & IER_THRE && !(uart->ier & IER_THRE) && !uart->tx_count)
            uart->thre_pending = true;
        uart->ier = value & IER_ALL;
        break;
    case REG_IIR: write_fcr(uart, value); break;
    case REG_LCR: uart->lcr = value; break;
    case REG_MCR:
        uart->mcr = value & 0x1f;
        update_modem(uart);
        break;
    case REG_SCR: uart->scr = value; break;
    default: break; /* LSR and MSR are for the factory's tests */
    }
}

static uint8_t read_register(serial *uart, unsigned reg)
{
    uint8_t value;

    switch (reg) {
    case REG_DATA: return uart->lcr & LCR_DLAB ? uart->dll : rx_get(uart);
    case REG_IER: return uart->lcr & LCR_DLAB ? uart->dlm : uart->ier;
    case REG_IIR:
        value = interrupt_id(uart);
        if (value == IIR_THRE)
            uart->thre_pending = false;
        return (uint8_t)(value | (uart->fcr & FCR_ENABLE ? IIR_FIFO : 0));
    case REG_LCR: return uart->lcr;
    case REG_MCR: return uart->mcr;
    case REG_LSR:
        value = line_status(uart);
        uart->overrun = false;
        if (uart->rx_count)
            uart->rx[uart->rx_first].is_break = false;
        return value;
    case REG_MSR:
        value = uart->msr;
        uart->msr &= 0xf0;
        return value;
    case REG_SCR: return uart->scr;
    default: return 0xff;
    }
}

static int handle(void *context, visor_vcpu *vcpu, visor_io *io)
{
    serial *uart = context;
    uint64_t offset = io->address - uart->config.address;
    size_t room;

    (void)vcpu;
    pthread_mutex_lock(&uart->lock);
    room = rx_room(uart);
    for (uint32_t i = 0; i < io->length; i++) {
        uint64_t reg = (offset + i) / uart->config.stride;
        bool there = (offset + i) % uart->config.stride == 0 && reg < SERIAL_REGISTERS;

        if (io->is_write && there)
            write_register(uart, (unsigned)reg, io->data[i]);
        else if (!io->is_write && there)
            io->data[i] = read_register(uart, (unsigned)reg);
        else if (!io->is_write)
            io->data[i] = reg < SERIAL_REGISTERS ? 0 : 0xff;
    }
    uart->interrupt_driven |=
        uart->ier & IER_RDA && (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    update_irq(uart);
    if (!room && rx_room(uart) && uart->config.read_ready)
        uart->config.read_ready(uart->config.context);
    pthread_mutex_unlock(&uart->lock);
    return VISOR_IO_DONE;
}

static int handle_debug_console(void *context, visor_vcpu *vcpu, visor_io *io)
{
    serial *uart = context;

    (void)vcpu;
    pthread_mutex_lock(&uart->lock);
    if (io->is_write)
        transmit(uart, io->data[0]);
    else
        visor_io_set_value(io, DEBUG_CONSOLE);
    pthread_mutex_unlock(&uart->lock);
    return VISOR_IO_DONE;
}

int serial_create(serial **out, const vmm_host *host, const serial_config *config, vmm_error *error)
{
    serial *uart = calloc(1, sizeof(*uart));
    int result;

    if (!uart)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    uart->host = host;
    uart->config = *config;
    uart->dll = 12; /* 9600 baud of a 1.8432 MHz clock, a divisor that drivers find sane */
    uart->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    pthread_mutex_init(&uart->lock, NULL);
    pthread_cond_init(&uart->drained, NULL);
    if (config->debug_console)
        result = vmm_map_io(host, config->space, config->address, 1, handle_debug_console, uart,
                            "debug console", error);
    else
        result = vmm_map_io(host, config->space, config->address,
                            (uint64_t)SERIAL_REGISTERS * config->stride, handle, uart,
                            "serial port", error);
    if (result < 0) {
        serial_free(uart);
        return result;
    }
    *out = uart;
    return 0;
}

void serial_free(serial *uart)
{
    if (!uart)
        return;
    pthread_cond_destroy(&uart->drained);
    pthread_mutex_destroy(&uart->lock);
    free(uart);
}

size_t serial_room(serial *uart)
{
    size_t room;

    pthread_mutex_lock(&uart->lock);
    room = rx_room(uart);
    pthread_mutex_unlock(&uart->lock);
    return room;
}

size_t serial_input(serial *uart, const uint8_t *data, size_t length)
{
    size_t room;

    pthread_mutex_lock(&uart->lock);
    room = rx_room(uart);
    if (length > room)
        length = room;
    for (size_t i = 0; i < length; i++)
        rx_put(uart, data[i], false);
    update_irq(uart);
    pthread_mutex_unlock(&uart->lock);
    return length;
}

void serial_break(serial *uart)
{
    pthread_mutex_lock(&uart->lock);
    if (rx_room(uart))
        rx_put(uart, 0, true);
    update_irq(uart);
    pthread_mutex_unlock(&uart->lock);
}

void serial_write_ready(void *context)
{
    serial *uart = context;

    pthread_mutex_lock(&uart->lock);
    drain(uart);
    /* With guest time a vCPU is held in an access, at whose end this is done. */
    if (uart->host->guest_time == NULL)
        update_irq(uart);
    pthread_mutex_unlock(&uart->lock);
}

void serial_stop(serial *uart)
{
    pthread_mutex_lock(&uart->lock);
    uart->stopped = true;
    drain(uart);
    pthread_mutex_unlock(&uart->lock);
}
