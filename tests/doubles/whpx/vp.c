/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual processors: life, running, what an exit says. */
#include "platform.h"

#include <string.h>

#include "irqchip/irqchip.h"
#include "soft/flags.h"
#include "soft/system.h"

#define MSR_TSC           0x10u
#define MSR_APIC_BASE     0x1bu
#define LATE_MS           300u
#define MSR_PATCH_LEVEL   0x8bu
#define MSR_MISC_ENABLE   0x1a0u
#define INSTRUCTION_BYTES 16u
#define MAX_LEAVES        256u

/* ---- what leaves ---- */

static bool cpuid_exits(void *context, struct soft_cpu *cpu, uint32_t function)
{
    const struct partition *partition = partition_of(((struct soft_vm *)context)->vm);

    (void)cpu;
    if (partition == NULL)
        return false;
    for (size_t i = 0; i < partition->cpuid_exit_count; i++) {
        if (partition->cpuid_exits[i] == function)
            return true;
    }
    return false;
}

static bool event_exits(void *context, struct soft_cpu *cpu, const struct soft_event *event)
{
    struct partition *partition = partition_of(((struct soft_vm *)context)->vm);
    struct vp *vp;
    bool leaves;

    if (partition == NULL)
        return false;
    vp = &partition->vps[cpu->id];
    if (event->kind == SOFT_EVENT_NMI) {
        /* Only asked for to see when the next one could be delivered. */
        leaves = vp->notify_nmi;
    } else {
        /* What the client has injected is not intercepted again. */
        leaves = !event->pending && event->kind != SOFT_EVENT_INTERRUPT &&
                 (event->kind == SOFT_EVENT_EXCEPTION || event->kind == SOFT_EVENT_SOFTWARE_DEBUG ||
                  event->kind == SOFT_EVENT_SOFTWARE) &&
                 event->vector < 64 && (partition->exception_exits >> event->vector & 1) != 0 &&
                 (event->kind != SOFT_EVENT_SOFTWARE || event->vector == SOFT_OF_TRAP);
    }
    if (leaves) {
        vp->caught = *event;
        vp->caught_at_halt = cpu->halted && event->vector == SOFT_DB;
    }
    return leaves;
}

/* The task priority has moved: the window may have opened. */
static void set_cr8(void *context, struct soft_cpu *cpu, uint64_t value)
{
    struct partition *partition = partition_of(((struct soft_vm *)context)->vm);

    soft_chip_set_cr8(context, cpu, value);
    if (partition == NULL || partition->vps[cpu->id].vcpu == NULL)
        return;
    vp_update_window(&partition->vps[cpu->id]);
    cpu->irq_waiting |= soft_vcpu_of(cpu->vcpu)->irq_window;
}

void vp_update_window(struct vp *vp)
{
    const struct soft_cpu *cpu = vp_cpu(vp);
    bool open =
        vp->notify_interrupt && (vp->notify_priority == 0 || vp->notify_priority > cpu->cr8);

    visor_x86_request_irq_window(vp->vcpu, open);
}

int vp_set_exits(struct partition *partition)
{
    struct soft_devices *devices = &soft_vm_of(partition->vm)->machine.devices;
    const WHV_X64_MSR_EXIT_BITMAP bitmap = partition->msr_exits;
    visor_x86_msr_range ranges[16];
    size_t count = 0;

    if (bitmap.TscMsrRead || bitmap.TscMsrWrite)
        ranges[count++] = (visor_x86_msr_range){MSR_TSC, 1, bitmap.TscMsrRead, bitmap.TscMsrWrite};
    if (bitmap.ApicBaseMsrWrite)
        ranges[count++] = (visor_x86_msr_range){MSR_APIC_BASE, 1, false, true};
    if (bitmap.MiscEnableMsrRead)
        ranges[count++] = (visor_x86_msr_range){MSR_MISC_ENABLE, 1, true, false};
    ranges[count++] = (visor_x86_msr_range){MSR_PATCH_LEVEL, 1, true, false}; /* see answers() */
    for (size_t i = 0; i < partition->msr_action_count && count < 16; i++) {
        const WHV_MSR_ACTION_ENTRY *entry = &partition->msr_actions[i];

        ranges[count++] =
            (visor_x86_msr_range){entry->Index, 1, entry->ReadAction == WHvMsrActionExit,
                                  entry->WriteAction == WHvMsrActionExit};
    }
    soft_machine_stop(&soft_vm_of(partition->vm)->machine);
    devices->cpuid_exits = partition->exits.X64CpuidExit ? cpuid_exits : NULL;
    devices->event_exits = event_exits;
    devices->set_cr8 = set_cr8;
    soft_machine_go(&soft_vm_of(partition->vm)->machine);
    if (!partition->exits.X64MsrExit)
        return visor_x86_set_msr_exits(partition->vm, NULL, 0, false);
    return visor_x86_set_msr_exits(partition->vm, ranges, count, bitmap.UnhandledMsrs);
}

/* ---- life ---- */

/* What the client has asked CPUID to be. */
static void change_cpuid(visor_x86_cpuid_entry *entries, size_t *count, size_t capacity,
                         const WHV_X64_CPUID_RESULT2 *result)
{
    const bool indexed = (result->Flags & WHvX64CpuidResult2FlagSubleafSpecific) != 0;
    const uint32_t *mask = &result->Mask.Eax, *value = &result->Output.Eax;
    bool found = false;

    for (size_t i = 0; i < *count; i++) {
        uint32_t *regs = &entries[i].eax;

        if (entries[i].function != result->Function ||
            (indexed && entries[i].index != result->Index))
            continue;
        for (unsigned n = 0; n < 4; n++)
            regs[n] = (regs[n] & ~mask[n]) | (value[n] & mask[n]);
        found = true;
    }
    if (found || *count == capacity)
        return;
    entries[(*count)++] = (visor_x86_cpuid_entry){.function = result->Function,
                                                  .index = indexed ? result->Index : 0,
                                                  .flags = indexed ? VISOR_X86_CPUID_INDEXED : 0,
                                                  .eax = value[0] & mask[0],
                                                  .ebx = value[1] & mask[1],
                                                  .ecx = value[2] & mask[2],
                                                  .edx = value[3] & mask[3]};
}

static int set_cpuid(struct partition *partition, struct vp *vp)
{
    visor_x86_cpuid_entry entries[MAX_LEAVES];
    visor_x86_cpu_config config = VISOR_X86_CPU_CONFIG_INIT;
    size_t count = MAX_LEAVES;
    int ret;

    config.vcpu_count = partition->processor_count;
    config.x2apic = partition->apic != WHvX64LocalApicEmulationModeXApic;
    config.tsc_deadline = true;
    ret = visor_x86_supported_cpuid(entries, count, partition->hv);
    if (ret < 0)
        return ret;
    count = (size_t)ret;
    ret = visor_x86_adjust_cpuid(entries, &count, MAX_LEAVES, &config, vp->index, NULL, NULL);
    for (size_t i = 0; i < partition->cpuid_result_count; i++) {
        const WHV_X64_CPUID_RESULT2 *result = &partition->cpuid_results[i];

        if ((result->Flags & WHvX64CpuidResult2FlagVpSpecific) == 0 || result->VpIndex == vp->index)
            change_cpuid(entries, &count, MAX_LEAVES, result);
    }
    return ret < 0 ? ret : visor_x86_set_cpuid(vp->vcpu, entries, count);
}

/* As fresh as the platform's are: not quite what a processor's reset leaves. */
static int make_fresh(struct vp *vp)
{
    visor_x86_sregs sregs;
    int ret = visor_x86_get_sregs(&sregs, vp->vcpu);

    sregs.cs.base = 0xf0000;
    return ret < 0 ? ret : visor_x86_set_sregs(vp->vcpu, &sregs);
}

static HRESULT create(struct partition *partition, uint32_t index)
{
    struct vp *vp = &partition->vps[index];
    int ret;

    if (vp->vcpu != NULL)
        return WHV_E_VP_ALREADY_EXISTS;
    *vp = (struct vp){.index = index};
    ret = visor_vcpu_create(&vp->vcpu, partition->vm, index);
    if (ret == VISOR_EEXIST)
        return E_NOTIMPL; /* it was deleted: an index does not come back here */
    if (ret == 0)
        ret = set_cpuid(partition, vp);
    if (ret == 0)
        ret = make_fresh(vp);
    if (ret < 0) {
        visor_vcpu_free(vp->vcpu);
        vp->vcpu = NULL;
    }
    return platform_result(ret);
}

HRESULT WINAPI WHvCreateVirtualProcessor(WHV_PARTITION_HANDLE handle, UINT32 index, UINT32 flags)
{
    struct partition *partition = partition_enter(handle);
    HRESULT result = E_INVALIDARG;

    if (partition == NULL)
        return E_INVALIDARG;
    if (partition->is_set_up && flags == 0 && index < partition->processor_count)
        result = create(partition, index);
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvCreateVirtualProcessor2(WHV_PARTITION_HANDLE handle, UINT32 index,
                                          const WHV_VIRTUAL_PROCESSOR_PROPERTY *properties,
                                          UINT32 count)
{
    if (count > 0 && properties == NULL)
        return E_POINTER;
    for (uint32_t i = 0; i < count; i++) {
        if (properties[i].PropertyCode != WHvVirtualProcessorPropertyCodeNumaNode ||
            properties[i].NumaNode != 0)
            return E_INVALIDARG;
    }
    return WHvCreateVirtualProcessor(handle, index, 0);
}

HRESULT WINAPI WHvDeleteVirtualProcessor(WHV_PARTITION_HANDLE handle, UINT32 index)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (vp->running) {
        result = WHV_E_INVALID_VP_STATE;
    } else {
        visor_vcpu_free(vp->vcpu);
        vp->vcpu = NULL;
    }
    partition_leave(partition);
    return result;
}

/* ---- exits ---- */

WHV_X64_SEGMENT_REGISTER platform_segment(const visor_x86_segment *in)
{
    return (WHV_X64_SEGMENT_REGISTER){
        .Base = in->base,
        .Limit = in->limit,
        .Selector = in->selector,
        .Attributes = (uint16_t)((in->type & 15) | (in->s & 1) << 4 | (in->dpl & 3) << 5 |
                                 (in->present & 1) << 7 | (in->avl & 1) << 12 | (in->l & 1) << 13 |
                                 (in->db & 1) << 14 | (in->g & 1) << 15),
    };
}

static void fill_context(WHV_VP_EXIT_CONTEXT *out, const struct vp *vp)
{
    const struct soft_vcpu *soft = soft_vcpu_of(vp->vcpu);
    struct soft_cpu *cpu = soft->cpu;

    out->ExecutionState.Cpl = soft_cpl(cpu) & 3;
    out->ExecutionState.Cr0Pe = cpu->cr0 & 1;
    out->ExecutionState.Cr0Am = cpu->cr0 >> 18 & 1;
    out->ExecutionState.EferLma = soft_is_long(cpu);
    out->ExecutionState.DebugActive = (cpu->dr7 & 0xff) != 0;
    out->ExecutionState.InterruptionPending =
        soft->irq_pending || cpu->event.kind != SOFT_EVENT_NONE;
    out->ExecutionState.InterruptShadow = cpu->shadow != 0;
    out->Cr8 = soft_chip_get_cr8(NULL, cpu) & 15;
    out->Cs = platform_segment(&cpu->seg[SOFT_SEG_CS]);
    out->Rip = cpu->rip;
    out->Rflags = soft_eflags(cpu);
}

/* The bytes from RIP on, as far as they are in memory. */
static uint8_t fetch(uint8_t *out, struct partition *partition, const struct vp *vp)
{
    const struct soft_cpu *cpu = vp_cpu(vp);
    uint64_t linear =
        soft_is_64(cpu) ? cpu->rip : (uint32_t)(cpu->seg[SOFT_SEG_CS].base + cpu->rip);
    uint8_t count = 0;

    for (; count < INSTRUCTION_BYTES; count++) {
        const uint8_t *host;
        uint64_t gpa;

        if (memory_translate(&gpa, partition, cpu, linear + count, 0) !=
            WHvTranslateGvaResultSuccess)
            break;
        host = memory_at(partition, gpa, WHvMapGpaRangeFlagExecute);
        if (host == NULL)
            break;
        out[count] = *host;
    }
    return count;
}

/* How many prefixes the instruction begins with. */
static unsigned prefixes_of(bool *repeats, const uint8_t *bytes, unsigned count, bool is_64)
{
    static const uint8_t known[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                    0x66, 0x67, 0xf0, 0xf2, 0xf3};
    unsigned n = 0;

    *repeats = false;
    for (; n < count; n++) {
        if (memchr(known, bytes[n], sizeof(known)) == NULL && !(is_64 && (bytes[n] & 0xf0) == 0x40))
            break;
        *repeats |= bytes[n] == 0xf2 || bytes[n] == 0xf3;
    }
    return n;
}

static void fill_memory(WHV_RUN_VP_EXIT_CONTEXT *out, struct partition *partition,
                        const struct vp *vp, const visor_io *io)
{
    WHV_MEMORY_ACCESS_CONTEXT *memory = &out->MemoryAccess;

    out->ExitReason = WHvRunVpExitReasonMemoryAccess;
    memory->InstructionByteCount = fetch(memory->InstructionBytes, partition, vp);
    memory->AccessInfo.AccessType = io->is_write ? WHvMemoryAccessWrite : WHvMemoryAccessRead;
    memory->AccessInfo.GpaUnmapped = memory_at(partition, io->address, 0) == NULL;
    memory->Gpa = io->address;
}

/* The guest executes what is not in memory. */
static void fill_fetch(WHV_RUN_VP_EXIT_CONTEXT *out, struct partition *partition,
                       const struct vp *vp)
{
    const struct soft_cpu *cpu = vp_cpu(vp);
    WHV_MEMORY_ACCESS_CONTEXT *memory = &out->MemoryAccess;
    uint64_t linear =
        soft_is_64(cpu) ? cpu->rip : (uint32_t)(cpu->seg[SOFT_SEG_CS].base + cpu->rip);
    uint64_t gpa = 0;

    out->ExitReason = WHvRunVpExitReasonMemoryAccess;
    memory->InstructionByteCount = fetch(memory->InstructionBytes, partition, vp);
    linear += memory->InstructionByteCount;
    (void)memory_translate(&gpa, partition, cpu, linear, 0);
    memory->AccessInfo.AccessType = WHvMemoryAccessExecute;
    memory->AccessInfo.GpaUnmapped = memory_at(partition, gpa, 0) == NULL;
    memory->AccessInfo.GvaValid = 1;
    memory->Gpa = gpa;
    memory->Gva = linear;
}

static void fill_port(WHV_RUN_VP_EXIT_CONTEXT *out, struct partition *partition,
                      const struct vp *vp, const visor_io *io)
{
    const struct soft_cpu *cpu = vp_cpu(vp);
    WHV_X64_IO_PORT_ACCESS_CONTEXT *port = &out->IoPortAccess;
    unsigned at;
    bool repeats;
    uint8_t opcode;

    out->ExitReason = WHvRunVpExitReasonX64IoPortAccess;
    port->InstructionByteCount = fetch(port->InstructionBytes, partition, vp);
    at = prefixes_of(&repeats, port->InstructionBytes, port->InstructionByteCount, soft_is_64(cpu));
    opcode = at < port->InstructionByteCount ? port->InstructionBytes[at] : 0;
    port->AccessInfo.IsWrite = io->is_write;
    port->AccessInfo.AccessSize = io->length & 7u;
    port->AccessInfo.StringOp = opcode >= 0x6c && opcode <= 0x6f;
    port->AccessInfo.RepPrefix = port->AccessInfo.StringOp && repeats;
    port->PortNumber = (uint16_t)io->address;
    port->Rax = cpu->r[SOFT_RAX];
    port->Rcx = cpu->r[SOFT_RCX];
    port->Rsi = cpu->r[SOFT_RSI];
    port->Rdi = cpu->r[SOFT_RDI];
    port->Ds = platform_segment(&cpu->seg[SOFT_SEG_DS]);
    port->Es = platform_segment(&cpu->seg[SOFT_SEG_ES]);
    out->VpContext.InstructionLength = (at + (opcode >= 0xe4 && opcode <= 0xe7 ? 2u : 1u)) & 15u;
}

/* The length of an instruction whose opcode has two bytes and no operand. */
static uint8_t length_of_pair(struct partition *partition, const struct vp *vp)
{
    uint8_t bytes[INSTRUCTION_BYTES];
    uint8_t count = fetch(bytes, partition, vp);
    bool repeats;

    return (uint8_t)(prefixes_of(&repeats, bytes, count, soft_is_64(vp_cpu(vp))) + 2) & 15;
}

static void fill_msr(WHV_RUN_VP_EXIT_CONTEXT *out, const struct vp *vp, const visor_exit *exit)
{
    const struct soft_cpu *cpu = vp_cpu(vp);

    out->ExitReason = WHvRunVpExitReasonX64MsrAccess;
    out->MsrAccess.AccessInfo.IsWrite = exit->msr.is_write;
    out->MsrAccess.MsrNumber = exit->msr.index;
    out->MsrAccess.Rax = cpu->r[SOFT_RAX];
    out->MsrAccess.Rdx = cpu->r[SOFT_RDX];
}

static void fill_cpuid(WHV_RUN_VP_EXIT_CONTEXT *out, const struct vp *vp, const visor_exit *exit)
{
    const struct soft_cpu *cpu = vp_cpu(vp);

    out->ExitReason = WHvRunVpExitReasonX64Cpuid;
    out->CpuidAccess = (WHV_X64_CPUID_ACCESS_CONTEXT){
        .Rax = cpu->r[SOFT_RAX],
        .Rcx = cpu->r[SOFT_RCX],
        .Rdx = cpu->r[SOFT_RDX],
        .Rbx = cpu->r[SOFT_RBX],
        .DefaultResultRax = exit->cpuid.eax,
        .DefaultResultRcx = exit->cpuid.ecx,
        .DefaultResultRdx = exit->cpuid.edx,
        .DefaultResultRbx = exit->cpuid.ebx,
    };
}

static void fill_exception(WHV_RUN_VP_EXIT_CONTEXT *out, struct partition *partition, struct vp *vp)
{
    struct soft_cpu *cpu = vp_cpu(vp);
    const struct soft_event *event = &vp->caught;
    WHV_VP_EXCEPTION_CONTEXT *exception = &out->VpException;
    const bool software =
        event->kind == SOFT_EVENT_SOFTWARE || event->kind == SOFT_EVENT_SOFTWARE_DEBUG;

    if (event->kind == SOFT_EVENT_NMI) {
        out->ExitReason = WHvRunVpExitReasonX64InterruptWindow;
        out->InterruptWindow.DeliverableType = WHvX64PendingNmi;
        vp->notify_nmi = false;
        return;
    }
    if (vp->caught_at_halt) {
        /* HLT leaves before a trap behind it could be taken. */
        out->ExitReason = WHvRunVpExitReasonX64Halt;
        return;
    }
    if (software)
        cpu->rip -= event->length; /* back at the instruction */
    fill_context(&out->VpContext, vp);
    out->ExitReason = WHvRunVpExitReasonException;
    out->VpContext.InstructionLength = software ? event->length & 15u : 0;
    exception->InstructionByteCount = fetch(exception->InstructionBytes, partition, vp);
    exception->ExceptionInfo.ErrorCodeValid = event->has_error;
    exception->ExceptionInfo.SoftwareException = software;
    exception->ExceptionType = event->vector;
    exception->ErrorCode = event->has_error ? event->error : 0;
    if (event->vector == SOFT_PF_FAULT)
        exception->ExceptionParameter = event->has_payload ? event->payload : cpu->cr2;
    else if (event->vector == SOFT_DB)
        exception->ExceptionParameter = event->has_payload ? event->payload : cpu->dr6;
}

/* The caller performs the access itself: here it has never been. */
static void forget(struct vp *vp)
{
    struct soft_vcpu *soft = soft_vcpu_of(vp->vcpu);

    soft->due = VISOR_EXIT_NONE;
    soft->cpu->log.pending = false;
    soft->cpu->log.count = soft->cpu->log.cursor = 0;
}

static void fill(WHV_RUN_VP_EXIT_CONTEXT *out, struct partition *partition, struct vp *vp,
                 int reason)
{
    const visor_exit *exit = visor_vcpu_exit(vp->vcpu);

    fill_context(&out->VpContext, vp);
    switch (reason) {
    case VISOR_EXIT_KICKED: out->ExitReason = WHvRunVpExitReasonCanceled; break;
    case VISOR_EXIT_MMIO: fill_memory(out, partition, vp, &exit->io); break;
    case VISOR_EXIT_IO: fill_port(out, partition, vp, &exit->io); break;
    case VISOR_EXIT_MSR:
        fill_msr(out, vp, exit);
        out->VpContext.InstructionLength = length_of_pair(partition, vp) & 15u;
        break;
    case VISOR_EXIT_CPUID:
        fill_cpuid(out, vp, exit);
        out->VpContext.InstructionLength = length_of_pair(partition, vp) & 15u;
        break;
    case VISOR_EXIT_EXCEPTION: fill_exception(out, partition, vp); break;
    case VISOR_EXIT_HLT: out->ExitReason = WHvRunVpExitReasonX64Halt; break;
    case VISOR_EXIT_SHUTDOWN:
        out->ExitReason = WHvRunVpExitReasonUnrecoverableException;
        vp_cpu(vp)->dead = false; /* the client may set registers and go on */
        break;
    case VISOR_EXIT_IRQ_WINDOW:
        out->ExitReason = WHvRunVpExitReasonX64InterruptWindow;
        out->InterruptWindow.DeliverableType = WHvX64PendingInterrupt;
        vp->notify_interrupt = false;
        vp_update_window(vp);
        break;
    case VISOR_EXIT_IOAPIC_EOI:
        out->ExitReason = WHvRunVpExitReasonX64ApicEoi;
        out->ApicEoi.InterruptVector = exit->eoi.vector;
        break;
    case VISOR_EXIT_INTERNAL_ERROR: fill_fetch(out, partition, vp); break;
    default: out->ExitReason = WHvRunVpExitReasonUnsupportedFeature; break;
    }
    forget(vp);
}

/* Asks for what tells when an NMI can be delivered: an NMI, see event_exits(). */
static void arm_nmi_window(struct vp *vp)
{
    if (vp->notify_nmi)
        vp_cpu(vp)->nmi_pending = true;
}

/* The platform has a version of the microcode, which the software CPU has not. */
static bool answers(struct partition *partition, visor_exit *exit)
{
    bool leaves;

    AcquireSRWLockExclusive(&partition->lock);
    leaves = partition->msr_exits.McUpdatePatchLevelMsrRead;
    partition_leave(partition);
    if (leaves || exit->msr.is_write || exit->msr.index != MSR_PATCH_LEVEL)
        return false;
    exit->msr.value = 0;
    exit->msr.fault = false;
    return true;
}

HRESULT WINAPI WHvRunVirtualProcessor(WHV_PARTITION_HANDLE handle, UINT32 index, VOID *buffer,
                                      UINT32 size)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);
    WHV_RUN_VP_EXIT_CONTEXT context;
    int reason;

    if (partition == NULL)
        return result;
    if (buffer == NULL)
        result = E_POINTER;
    else if (size < sizeof(context))
        result = WHV_E_INSUFFICIENT_BUFFER;
    else if (vp->running)
        result = WHV_E_INVALID_VP_STATE;
    if (result != S_OK) {
        partition_leave(partition);
        return result;
    }
    partition_resume_time(partition);
    arm_nmi_window(vp);
    vp->running = true;
    partition_leave(partition);

    do {
        reason = visor_vcpu_run(vp->vcpu);
    } while (reason == VISOR_EXIT_INTR ||
             (reason == VISOR_EXIT_MSR && answers(partition, visor_vcpu_exit(vp->vcpu))));
    if (reason == VISOR_EXIT_MSR && platform_plays("late"))
        Sleep(LATE_MS);

    AcquireSRWLockExclusive(&partition->lock);
    vp->running = false;
    memset(&context, 0, sizeof(context));
    result = platform_result(reason);
    if (vp->notify_nmi)
        vp_cpu(vp)->nmi_pending = false;
    if (reason >= 0)
        fill(&context, partition, vp, reason);
    partition_leave(partition);
    memcpy(buffer, &context, sizeof(context));
    return result;
}

HRESULT WINAPI WHvCancelRunVirtualProcessor(WHV_PARTITION_HANDLE handle, UINT32 index, UINT32 flags)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (flags != 0)
        result = E_INVALIDARG;
    else
        visor_vcpu_kick(vp->vcpu);
    partition_leave(partition);
    return result;
}

HRESULT WINAPI WHvGetVirtualProcessorCpuidOutput(WHV_PARTITION_HANDLE handle, UINT32 index,
                                                 UINT32 function, UINT32 subleaf,
                                                 WHV_CPUID_OUTPUT *out)
{
    HRESULT result;
    struct vp *vp;
    struct partition *partition = partition_enter_vp(&result, &vp, handle, index);

    if (partition == NULL)
        return result;
    if (out == NULL) {
        result = E_POINTER;
    } else {
        const visor_x86_cpuid_entry *entry = soft_cpuid_find(vp_cpu(vp), function, subleaf);

        *out = (WHV_CPUID_OUTPUT){0};
        if (entry != NULL)
            *out = (WHV_CPUID_OUTPUT){entry->eax, entry->ebx, entry->ecx, entry->edx};
    }
    partition_leave(partition);
    return result;
}
