/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The paravirtual clock of KVM (kernel, Documentation/virt/kvm/x86/msr.rst, MSRs 0x4b564d00 and
 * 0x4b564d01; cpuid.rst has the bits that announce it).
 *
 * The clock is a straight line over the machine's counter: at `at` it said `ns`. A vCPU's page has
 * the same two numbers, in terms of its own TSC, so that all vCPUs compute the same time, whenever
 * their page was written, and a page stays right until somebody sets the clock or the TSC.
 */
#include "irqchip/irqchip.h"
#include "soft/block.h"
#include "soft/memory.h"
#include "soft/soft.h"
#include "soft/system.h"

#define MSR_WALL_CLOCK  0x4b564d00u
#define MSR_SYSTEM_TIME 0x4b564d01u

#define SYSTEM_TIME_ON UINT64_C(1)

/* struct pvclock_vcpu_time_info: version, padding, tsc_timestamp, system_time, multiplier, shift,
 * flags. */
#define PAGE_VERSION   0u
#define PAGE_TSC       8u
#define PAGE_NS        16u
#define PAGE_SCALE     24u /* the multiplier, then shift, flags and padding */
#define PAGE_FLAGS     29u
#define PAGE_SIZE_USED 32u
#define FLAG_STABLE    1u /* all vCPUs' clocks agree */
#define FLAG_STOPPED   2u /* the guest has been paused; it clears this itself */

/* struct pvclock_wall_clock: version, seconds, nanoseconds, of when the clock was 0. */
#define WALL_SIZE 12u

#define NS_PER_S      UINT64_C(1000000000)
#define COUNTED_START UINT64_C(946684800) /* 2000-01-01 */

/* ---- the line ---- */

/* ns = (ticks << shift) * multiplier >> 32, with the largest multiplier that fits. */
void soft_clock_init(struct soft_vm *soft)
{
    uint64_t hz = soft->tsc_hz;
    int shift = 0;

    for (; hz <= NS_PER_S; shift++)
        hz <<= 1;
    for (; hz > 2 * NS_PER_S; shift--)
        hz >>= 1;
    soft->clock.shift = (int8_t)shift;
    soft->clock.multiplier = (uint32_t)((NS_PER_S << 32) / hz);
    soft->clock.generation = 1;
    soft->clock.at = soft_clock_ticks(soft);
}

uint64_t soft_clock_ticks(const struct soft_vm *soft)
{
    const struct soft_machine *machine = &soft->machine;
    uint64_t least = UINT64_MAX;

    if (machine->devices.tsc != NULL)
        return machine->devices.tsc(machine->devices.context, NULL);
    /* Each vCPU counts its own instructions; none may be before the start of the line. */
    for (size_t i = 0; i < machine->cpu_count; i++) {
        uint64_t time = soft_time(machine->cpus[i], NULL);

        least = time < least ? time : least;
    }
    return machine->cpu_count > 0 ? least : 0;
}

static uint64_t ns_now(const struct soft_vm *soft)
{
    const struct soft_clock *clock = &soft->clock;
    uint64_t ticks = soft_clock_ticks(soft) - clock->at;

    ticks = clock->shift >= 0 ? ticks << clock->shift : ticks >> -clock->shift;
    return clock->ns + (uint64_t)((unsigned __int128)ticks * clock->multiplier >> 32);
}

static int get_clock(uint64_t *out, visor_vm *vm)
{
    struct soft_vm *soft = soft_vm_of(vm);

    visor__mutex_lock(&soft->machine.lock);
    *out = ns_now(soft);
    visor__mutex_unlock(&soft->machine.lock);
    return 0;
}

static int set_clock(visor_vm *vm, uint64_t ns)
{
    struct soft_vm *soft = soft_vm_of(vm);
    struct soft_machine *machine = &soft->machine;

    visor__mutex_lock(&machine->lock);
    soft->clock.at = soft_clock_ticks(soft);
    soft->clock.ns = ns;
    atomic_fetch_add(&soft->clock.generation, 1);
    for (size_t i = 0; i < machine->cpu_count; i++) {
        visor_vcpu *vcpu = machine->cpus[i]->vcpu;

        atomic_fetch_or(&machine->cpus[i]->attention, SOFT_LOOK_INTERRUPT);
        if (vcpu->lapic != NULL)
            visor__lapic_ring(vcpu->lapic);
    }
    visor__mutex_unlock(&machine->lock);
    return 0;
}

const struct visor__clock_ops soft_clock_ops = {.get = get_clock, .set = set_clock};

/* ---- what the guest reads ---- */

/* The host's address of guest memory for writing, in one page; NULL: it is none. */
static uint8_t *memory_at(struct soft_cpu *cpu, uint64_t gpa, unsigned length)
{
    const struct soft_range *range = soft_range_find(cpu->machine, gpa);

    if (range == NULL || range->read_only || (gpa & (SOFT_PAGE - 1)) + length > SOFT_PAGE)
        return NULL;
    soft_block_writing(cpu, NULL, gpa, length);
    soft_range_mark(range, gpa);
    return range->host + (gpa - range->gpa);
}

/* A version is odd while the rest changes. Returns the even one that follows. */
static uint32_t begin(uint8_t *at)
{
    uint32_t version = (soft_load32(at) | 1) + 1;

    soft_store32(at, version - 1);
    atomic_thread_fence(memory_order_seq_cst);
    return version;
}

static void end(uint8_t *at, uint32_t version)
{
    atomic_thread_fence(memory_order_seq_cst);
    soft_store32(at, version);
}

static void write_page(visor_vcpu *vcpu)
{
    struct soft_vm *soft = soft_vm_of(vcpu->vm);
    struct soft_vcpu *own = soft_vcpu_of(vcpu);
    uint8_t *at = memory_at(own->cpu, own->clock.msr & ~SYSTEM_TIME_ON, PAGE_SIZE_USED);
    uint32_t version, flags = FLAG_STABLE;

    visor__mutex_lock(&soft->machine.lock);
    own->clock.generation = atomic_load(&soft->clock.generation);
    own->clock.tsc_offset = own->cpu->tsc_offset;
    if (at != NULL) {
        flags |= own->clock.paused ? FLAG_STOPPED : at[PAGE_FLAGS] & FLAG_STOPPED;
        version = begin(at + PAGE_VERSION);
        soft_store64(at + PAGE_TSC, soft->clock.at + own->clock.tsc_offset);
        soft_store64(at + PAGE_NS, soft->clock.ns);
        soft_store64(at + PAGE_SCALE, soft->clock.multiplier |
                                          (uint64_t)(uint8_t)soft->clock.shift << 32 |
                                          (uint64_t)flags << 40);
        end(at + PAGE_VERSION, version);
    }
    own->clock.paused = false;
    visor__mutex_unlock(&soft->machine.lock);
}

void soft_clock_publish(visor_vcpu *vcpu)
{
    const struct soft_vcpu *own = soft_vcpu_of(vcpu);

    if ((own->clock.msr & SYSTEM_TIME_ON) != 0 &&
        (own->clock.generation != atomic_load(&soft_vm_of(vcpu->vm)->clock.generation) ||
         own->clock.tsc_offset != own->cpu->tsc_offset || own->clock.paused))
        write_page(vcpu);
}

/* When the clock was 0, by the host's calendar. Where time is a count of instructions nothing may
 * depend on the host: the clock began on COUNTED_START. */
static void write_wall_clock(visor_vcpu *vcpu, uint64_t gpa)
{
    struct soft_vm *soft = soft_vm_of(vcpu->vm);
    uint8_t *at = memory_at(soft_vcpu_of(vcpu)->cpu, gpa, WALL_SIZE);
    uint64_t ns = COUNTED_START * NS_PER_S;
    uint32_t version;

    if (at == NULL)
        return;
    visor__mutex_lock(&soft->machine.lock);
    if (soft->machine.devices.tsc != NULL)
        ns = visor__os_calendar_ns() - ns_now(soft);
    visor__mutex_unlock(&soft->machine.lock);
    version = begin(at);
    soft_store32(at + 4, (uint32_t)(ns / NS_PER_S));
    soft_store32(at + 8, (uint32_t)(ns % NS_PER_S));
    end(at, version);
}

/* ---- the MSRs ---- */

enum msr { NEITHER, WALL_CLOCK, SYSTEM_TIME };

/* Both have an older number too, by which KVM's snapshots name them once more. */
static enum msr msr_of(uint32_t index)
{
    switch (index) {
    case MSR_WALL_CLOCK:
    case 0x11: return WALL_CLOCK;
    case MSR_SYSTEM_TIME:
    case 0x12: return SYSTEM_TIME;
    default: return NEITHER;
    }
}

bool soft_clock_read_msr(uint64_t *out, const visor_vcpu *vcpu, uint32_t index)
{
    switch (msr_of(index)) {
    case WALL_CLOCK: *out = soft_vm_of(vcpu->vm)->clock.wall_msr; return true;
    case SYSTEM_TIME: *out = soft_vcpu_of(vcpu)->clock.msr; return true;
    default: return false;
    }
}

bool soft_clock_write_msr(visor_vcpu *vcpu, uint32_t index, uint64_t value, bool by_guest)
{
    switch (msr_of(index)) {
    case WALL_CLOCK:
        soft_vm_of(vcpu->vm)->clock.wall_msr = value;
        if (by_guest && value != 0)
            write_wall_clock(vcpu, value);
        return true;
    case SYSTEM_TIME:
        soft_vcpu_of(vcpu)->clock.msr = value;
        soft_vcpu_of(vcpu)->clock.generation = 0;
        if (by_guest)
            soft_clock_publish(vcpu);
        return true;
    default: return false;
    }
}

size_t soft_clock_msr_list(uint32_t *out, size_t capacity)
{
    static const uint32_t list[] = {MSR_WALL_CLOCK, MSR_SYSTEM_TIME};
    const size_t count = sizeof(list) / sizeof(list[0]);

    for (size_t i = 0; i < count && i < capacity; i++)
        out[i] = list[i];
    return count;
}

int soft_clock_paused(visor_vcpu *vcpu)
{
    struct soft_vcpu *own = soft_vcpu_of(vcpu);

    own->clock.paused = (own->clock.msr & SYSTEM_TIME_ON) != 0;
    return 0;
}

void soft_clock_reset(visor_vcpu *vcpu)
{
    soft_vcpu_of(vcpu)->clock.msr = 0;
}

/* ---- CPUID ---- */

/* "KVMKVMKVM": bit 3 for these two MSRs, bit 24 for FLAG_STABLE. */
static const visor_x86_cpuid_entry leaves[] = {
    {.function = 0x40000000,
     .eax = 0x40000001,
     .ebx = 0x4b4d564b,
     .ecx = 0x564b4d56,
     .edx = 0x0000004d},
    {.function = 0x40000001, .eax = 1u << 3 | 1u << 24},
};

size_t soft_clock_cpuid(visor_x86_cpuid_entry *out, size_t capacity)
{
    const size_t count = sizeof(leaves) / sizeof(leaves[0]);

    for (size_t i = 0; i < count && i < capacity; i++)
        out[i] = leaves[i];
    return count;
}
