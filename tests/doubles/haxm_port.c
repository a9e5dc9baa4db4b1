/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Port accesses of the double of HAXM. The software CPU leaves with each element; VMX leaves once
 * with the instruction, and the driver takes as many elements of it as its buffer holds, advances
 * the guest, and stores what the client has read at the start of the next run.
 */
#include <string.h>

#include "haxm_machine.h"

#define REASON_IO 30

#define RFLAGS_TF 0x100u
#define RFLAGS_DF 0x400u

struct access {
    visor_x86_regs regs;
    visor_x86_sregs sregs;
    struct insn insn;
    uint64_t start; /* of the elements in memory, linear */
    unsigned size, count;
};

static bool is_string(const struct insn *insn)
{
    return insn->opcode >= 0x6c && insn->opcode <= 0x6f;
}

/* Tells the software CPU that the access is done. Returns whether another of the same instruction
 * follows at once. */
static bool next_element(struct vcpu_double *v)
{
    int reason = SOFT_OK(visor_vcpu_settle(v->vcpu));

    if (reason != VISOR_EXIT_NONE && reason != VISOR_EXIT_IO)
        double_die("a port access became \"%s\"", visor_exit_name(reason));
    return reason == VISOR_EXIT_IO;
}

/* Where INS stores its elements. */
static uint64_t destination(const struct access *access)
{
    uint64_t di = access->regs.rdi;
    uint64_t span = (uint64_t)(access->count - 1) * access->size;

    if (access->insn.narrow_address)
        di = (uint16_t)di;
    else if (!access->insn.wide_address)
        di = (uint32_t)di;
    if (!access->sregs.cs.l)
        di = (uint32_t)(di + access->sregs.es.base);
    return (access->regs.rflags & RFLAGS_DF) != 0 ? di - span : di;
}

/* Executes `count` iterations. IN stores zeros, which are taken back. */
static void iterate(struct vcpu_double *v, struct access *access, bool is_out)
{
    bool down = (access->regs.rflags & RFLAGS_DF) != 0;
    uint8_t before[IOS_MAX_BUFFER];
    size_t length = (size_t)access->count * access->size, saved = 0;

    if (!is_out) {
        access->start = destination(access);
        saved = driver_read_linear(v, access->start, before, length);
    }
    for (unsigned i = 0; i < access->count; i++) {
        visor_io *io = &visor_vcpu_exit(v->vcpu)->io;
        unsigned place = down ? access->count - 1 - i : i;
        bool more;

        if (is_out)
            memcpy((uint8_t *)v->io + place * access->size, io->data, access->size);
        else
            visor_io_set_value(io, 0);
        more = next_element(v);
        v->carried = more && i + 1 == access->count;
        if (!more && i + 1 < access->count) {
            int reason;

            do
                reason = SOFT_OK(visor_vcpu_run(v->vcpu));
            while (reason == VISOR_EXIT_INTR || reason == VISOR_EXIT_KICKED);
            if (reason != VISOR_EXIT_IO)
                double_die("string I/O became \"%s\"", visor_exit_name(reason));
        }
    }
    if (!is_out && driver_write_linear(v, access->start, before, saved) != saved)
        double_die("memory of string I/O has gone");
}

/* A single access: the guest goes on behind it, with the register as it was. */
static void single(struct vcpu_double *v, const struct access *access, bool is_out)
{
    visor_io *io = &visor_vcpu_exit(v->vcpu)->io;
    visor_x86_events events;
    visor_x86_regs regs;

    if (is_out) {
        memcpy(v->io, io->data, io->length);
        next_element(v);
        return;
    }
    visor_io_set_value(io, 0);
    next_element(v);
    SOFT_OK(visor_x86_get_events(&events, v->vcpu));
    SOFT_OK(visor_x86_get_regs(&regs, v->vcpu));
    regs.rax = access->regs.rax;
    SOFT_OK(visor_x86_set_regs(v->vcpu, &regs));
    if ((regs.rflags & RFLAGS_TF) != 0) /* or a trap would be lost */
        SOFT_OK(visor_x86_set_events(v->vcpu, &events));
}

void driver_port_exit(struct vcpu_double *v)
{
    struct hax_tunnel *tunnel = v->tunnel;
    const visor_io *io = &visor_vcpu_exit(v->vcpu)->io;
    struct access access = {.size = io->length, .count = 1};
    bool is_out = io->is_write;

    SOFT_OK(visor_x86_get_regs(&access.regs, v->vcpu));
    driver_sregs(v, &access.sregs);
    driver_decode(&access.insn, v, &access.regs, &access.sregs);
    tunnel->_exit_reason = REASON_IO;
    tunnel->_exit_status = HAX_EXIT_IO;
    tunnel->io._direction = is_out ? HAX_IO_OUT : HAX_IO_IN;
    tunnel->io._df = 0;
    tunnel->io._size = (uint16_t)access.size;
    tunnel->io._port = (uint16_t)io->address;
    tunnel->io._flags = is_string(&access.insn);
    if (!is_string(&access.insn)) {
        single(v, &access, is_out);
    } else {
        if (access.insn.rep) {
            uint64_t count = access.insn.narrow_address ? (uint16_t)access.regs.rcx
                             : access.insn.wide_address ? access.regs.rcx
                                                        : (uint32_t)access.regs.rcx;
            unsigned most = IOS_MAX_BUFFER / access.size;

            access.count = count > most ? most : (unsigned)count;
        }
        tunnel->io._df = (access.regs.rflags & RFLAGS_DF) != 0;
        iterate(v, &access, is_out);
        tunnel->io._vaddr = access.start;
    }
    tunnel->io._count = (uint16_t)access.count;
}

void driver_port_post(struct vcpu_double *v)
{
    const struct hax_tunnel *tunnel = v->tunnel;
    size_t size = tunnel->io._size;
    visor_x86_events events;
    visor_x86_regs regs;

    if (tunnel->io._direction == HAX_IO_OUT)
        return;
    if (tunnel->io._flags == 1) {
        size *= tunnel->io._count;
        if (driver_write_linear(v, tunnel->io._vaddr, v->io, size) != size)
            v->panicked = true;
        return;
    }
    SOFT_OK(visor_x86_get_events(&events, v->vcpu));
    SOFT_OK(visor_x86_get_regs(&regs, v->vcpu));
    memcpy(&regs.rax, v->io, size); /* the upper half stays, unlike on a processor */
    SOFT_OK(visor_x86_set_regs(v->vcpu, &regs));
    if ((regs.rflags & RFLAGS_TF) != 0)
        SOFT_OK(visor_x86_set_events(v->vcpu, &events));
}
