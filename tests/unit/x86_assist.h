/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the x86 assist begin with: 64-bit code beside a device. */
#ifndef VISOR_TESTS_X86_ASSIST_H
#define VISOR_TESTS_X86_ASSIST_H

#include "unit.h"
#include "x86_machine.h"

#define CF UINT64_C(0x001)
#define ZF UINT64_C(0x040)
#define TF UINT64_C(0x100)
#define DF UINT64_C(0x400)

#define NUMBER UINT64_C(0x1122334455667788)

/* The bytes of a string literal. */
#define RUN(code) x86_run(machine, (code), sizeof(code) - 1)

static struct x86_machine *machine;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static inline void put(uint64_t gpa, uint64_t value, size_t size)
{
    memcpy(x86_at(machine, gpa), &value, size);
}

static inline uint64_t in_memory(uint64_t gpa, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, x86_at(machine, gpa), size);
    return value;
}

static inline uint64_t in_device(uint64_t gpa, size_t size)
{
    uint64_t value = 0;

    memcpy(&value, machine->device + (gpa - X86_DEVICE), size);
    return value;
}

static inline void set_registers(void)
{
    visor_x86_regs *regs = &machine->vcpu.regs;

    regs->rax = NUMBER;
    regs->rbx = X86_DEVICE;
    regs->rcx = 2;
    regs->rdx = 0x3f8;
    regs->rsi = X86_DEVICE + 0x100;
    regs->rdi = X86_DATA;
    regs->rbp = X86_DATA + 0x400;
    for (unsigned i = 0; i < 16; i++) {
        memset(machine->vcpu.fpu.xmm[i], (int)(0x10 + i), 16);
        memset(machine->vcpu.ymm_high[i], (int)(0xa0 + i), 16);
    }
}

/* 64-bit code in ring 0; each byte of the device tells where it is. */
static inline void set_up(void)
{
    machine = x86_new();
    for (unsigned i = 0; i < sizeof(machine->device); i++)
        machine->device[i] = (uint8_t)(i + (i >> 8) * 3 + 1);
    x86_long_mode(machine, 0);
    set_registers();
}

static inline void check_access(unsigned i, uint64_t address, unsigned length, bool is_write)
{
    CHECK(i < machine->logged);
    CHECK_INT(machine->log[i].address, address);
    CHECK_INT(machine->log[i].length, length);
    CHECK_INT(machine->log[i].is_write, is_write);
}

static inline void check_exception(unsigned vector, int64_t error_code)
{
    CHECK_INT(machine->injects, 1);
    CHECK_INT(machine->exception.vector, vector);
    CHECK_INT(machine->exception.has_error_code, error_code >= 0);
    if (error_code >= 0)
        CHECK_INT(machine->exception.error_code, error_code);
}

#endif
