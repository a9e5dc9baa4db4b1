/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The backend "whpx" in front of both doubles, as a program that uses the library sees it: what an
 * old Windows lacks is done in another way or said, and the guest sees no difference.
 */
#include <visor.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static int number, failures;

static bool check(bool ok, const char *text, int line)
{
    number++;
    printf("%s %d - %s\n", ok ? "ok" : "not ok", number, text);
    if (!ok) {
        char error[512];

        visor_error_format(error, sizeof(error));
        printf("# line %d; last error: %s\n", line, error);
        failures++;
    }
    return ok;
}
#define CHECK(condition) check((condition), #condition, __LINE__)

#define NEW "whpx"
#define OLD "whpx[library=WinHvPlatform_1809.dll]"

static void opens(void)
{
    visor_hypervisor *hv;

    CHECK(visor_hypervisor_open(&hv, "whpx[library=not_there.dll]") == VISOR_EABSENT);
    CHECK(strstr(visor_error_last()->hint, "HypervisorPlatform") != NULL);
    CHECK(visor_hypervisor_open(&hv, "whpx[library=kernel32.dll]") == VISOR_EUNSUPPORTED);
    CHECK(strstr(visor_error_last()->detail, "WHv") != NULL);
}

/* The double plays a platform that refuses. */
static void is_refused(const char *how, int code, const char *hint)
{
    visor_hypervisor *hv;

    SetEnvironmentVariableA("WHPX_DOUBLE", how);
    printf("# %s\n", how);
    CHECK(visor_hypervisor_open(&hv, NEW) == code);
    CHECK(strstr(visor_error_last()->hint, hint) != NULL);
    SetEnvironmentVariableA("WHPX_DOUBLE", NULL);
}

static void probes(const char *spec)
{
    visor_probe probe = VISOR_PROBE_INIT;

    CHECK(visor_hypervisor_probe(&probe, spec) == 0);
    if (!CHECK(probe.status == 0 && probe.full))
        printf("# %s\n", probe.detail);
}

/* CPUID comes by a call on newer systems, by exits on older ones. */
static void same_processor(void)
{
    visor_x86_cpuid_entry one[256], other[256];
    uint32_t one_msrs[256], other_msrs[256];
    visor_hypervisor *hv, *old;
    int count, msrs;

    if (!CHECK(visor_hypervisor_open(&hv, NEW) == 0) ||
        !CHECK(visor_hypervisor_open(&old, OLD) == 0))
        return;
    memset(one, 0, sizeof(one));
    memset(other, 0, sizeof(other));
    count = visor_x86_supported_cpuid(one, 256, hv);
    CHECK(count > 10 && visor_x86_supported_cpuid(other, 256, old) == count);
    CHECK(memcmp(one, other, sizeof(one)) == 0);
    msrs = visor_x86_msr_list(one_msrs, 256, hv);
    CHECK(msrs > 30 && visor_x86_msr_list(other_msrs, 256, old) == msrs);
    CHECK(visor_hypervisor_cap(old, VISOR_CAP_GPA_BITS) == 40);
    visor_hypervisor_free(old);
    visor_hypervisor_free(hv);
}

/* The upper half of a YMM register goes through the platform's image, whatever form that has. */
static void xsave(const char *spec)
{
    const visor_memory_region ram = {.length = 0x10000};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    uint8_t *image, *again;
    int64_t size;

    if (CHECK(visor_hypervisor_open(&hv, spec) == 0) &&
        CHECK(visor_memory_create(&memory, &ram, 1, NULL) == 0) &&
        CHECK(visor_vm_create(&vm, hv, memory, NULL) == 0) &&
        CHECK(visor_vcpu_create(&vcpu, vm, 0) == 0)) {
        size = visor_vm_cap(vm, VISOR_CAP_X86_XSAVE_SIZE);
        CHECK(size == 832);
        image = calloc(1, (size_t)size);
        again = calloc(1, (size_t)size);
        CHECK(visor_x86_get_xsave(image, (size_t)size, vcpu) == size);
        CHECK(image[512 + 15] == 0); /* the standard form */
        image[512] = 7;
        memset(image + 576, 0x5a, 256);
        CHECK(visor_x86_set_xsave(vcpu, image, (size_t)size) == 0);
        CHECK(visor_x86_get_xsave(again, (size_t)size, vcpu) == size);
        CHECK(memcmp(image + 576, again + 576, 256) == 0);
        free(again);
        free(image);
    }
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

/* ---- MSR exits ---- */

static DWORD WINAPI switch_off(void *vm)
{
    Sleep(100);
    return visor_x86_set_msr_exits(vm, NULL, 0, false) == 0 ? 0 : 1;
}

/* Runs a guest that reads the microcode's version, whose exit is switched off while it is under
 * way. What the guest's run ends with. */
static int read_while_switched(visor_x86_regs *regs)
{
    static const uint8_t code[] = {0x66, 0xb9, 0x8b, 0, 0, 0, 0x0f, 0x32, 0xf4};
    const visor_memory_region ram = {.length = 0x10000};
    const visor_x86_msr_range range = {.first = 0x8b, .count = 1, .reads = true};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    visor_x86_sregs sregs;
    HANDLE thread;
    int reason = -1;

    if (visor_hypervisor_open(&hv, NEW) == 0 && visor_memory_create(&memory, &ram, 1, NULL) == 0 &&
        visor_memory_write(memory, 0, code, sizeof(code)) == 0 &&
        visor_vm_create(&vm, hv, memory, NULL) == 0 && visor_vcpu_create(&vcpu, vm, 0) == 0 &&
        visor_x86_get_sregs(&sregs, vcpu) == 0 &&
        visor_x86_set_msr_exits(vm, &range, 1, false) == 0) {
        sregs.cs.selector = 0;
        sregs.cs.base = 0;
        *regs = (visor_x86_regs){.rax = 0x55, .rsp = 0x900, .rflags = 2};
        if (visor_x86_set_sregs(vcpu, &sregs) == 0 && visor_x86_set_regs(vcpu, regs) == 0) {
            thread = CreateThread(NULL, 0, switch_off, vm, 0, NULL);
            reason = visor_vcpu_run(vcpu);
            WaitForSingleObject(thread, INFINITE);
            CloseHandle(thread);
        }
        visor_x86_get_regs(regs, vcpu);
    }
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return reason;
}

/* The platform executes the access then. On a busy machine the exit may be there first. */
static void switched_meanwhile(void)
{
    visor_x86_regs regs = {0};
    int reason = VISOR_EXIT_MSR;

    SetEnvironmentVariableA("WHPX_DOUBLE", "late");
    for (unsigned tries = 0; tries < 5 && reason == VISOR_EXIT_MSR; tries++)
        reason = read_while_switched(&regs);
    SetEnvironmentVariableA("WHPX_DOUBLE", NULL);
    CHECK(reason == VISOR_EXIT_HLT);
    CHECK(regs.rip == 9 && regs.rax == 0 && regs.rsp == 0x900);
}

/* Before Windows 10 1909 exits are what they were when the partition was set up. */
static void cannot_change(void)
{
    const visor_memory_region ram = {.length = 0x10000};
    const visor_x86_msr_range range = {.first = 0x10, .count = 1, .reads = true};
    visor_debug_config debug = VISOR_DEBUG_CONFIG_INIT;
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;

    debug.single_step = true;
    if (CHECK(visor_hypervisor_open(&hv, OLD) == 0) &&
        CHECK(visor_memory_create(&memory, &ram, 1, NULL) == 0) &&
        CHECK(visor_vm_create(&vm, hv, memory, NULL) == 0) &&
        CHECK(visor_vcpu_create(&vcpu, vm, 0) == 0)) {
        CHECK(visor_x86_set_msr_exits(vm, NULL, 0, true) == 0);
        CHECK(visor_x86_set_msr_exits(vm, &range, 1, false) == VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->hint, "1909") != NULL);
        CHECK(visor_vcpu_set_debug(vcpu, &debug) == VISOR_EUNSUPPORTED);
        CHECK(strstr(visor_error_last()->hint, "1909") != NULL);
    }
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
}

/* ---- IA32_APIC_BASE ---- */

struct image {
    uint8_t bytes[0x40000];
    size_t length, position;
};

static int put(void *context, const void *data, size_t length)
{
    struct image *image = context;

    if (length > sizeof(image->bytes) - image->length)
        return -1;
    memcpy(image->bytes + image->length, data, length);
    image->length += length;
    return 0;
}

static int take(void *context, void *data, size_t length)
{
    struct image *image = context;

    if (length > image->length - image->position)
        return -1;
    memcpy(data, image->bytes + image->position, length);
    image->position += length;
    return 0;
}

/* Saves a VM with two vCPUs, or restores it and reads the register of both. */
static bool bases(uint64_t out[2], struct image *image, const char *spec, bool saves)
{
    const visor_memory_region ram = {.length = 0x10000};
    const visor_stream stream = {.context = image, .write = put, .read = take};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpus[2] = {NULL, NULL};
    bool ok =
        visor_hypervisor_open(&hv, spec) == 0 && visor_memory_create(&memory, &ram, 1, NULL) == 0 &&
        visor_vm_create(&vm, hv, memory, NULL) == 0 && visor_vcpu_create(&vcpus[0], vm, 0) == 0 &&
        visor_vcpu_create(&vcpus[1], vm, 1) == 0 &&
        (saves ? visor_vm_save(vm, &stream, NULL) : visor_vm_restore(vm, &stream, NULL)) == 0;

    for (unsigned i = 0; ok && i < 2; i++)
        ok = visor_x86_get_msr(&out[i], vcpus[i], 0x1b) == 0;
    visor_vcpu_free(vcpus[1]);
    visor_vcpu_free(vcpus[0]);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return ok;
}

/* A platform without the register: elsewhere it is as after reset. */
static void has_no_base(void)
{
    struct image *image = calloc(1, sizeof(*image));
    uint64_t here[2] = {0}, there[2] = {0};

    SetEnvironmentVariableA("WHPX_DOUBLE", "baseless");
    CHECK(bases(here, image, NEW, true));
    SetEnvironmentVariableA("WHPX_DOUBLE", NULL);
    CHECK(here[0] == 0xfee00900 && here[1] == 0xfee00800);
    CHECK(bases(there, image, "soft", false));
    CHECK(there[0] == 0xfee00900 && there[1] == 0xfee00800);
    free(image);
}

/* ---- time ---- */

#define NAP_MS  300u
#define MOST_MS 225u /* of it; clocks are not exact */

static int nap_write(void *context, const void *data, size_t length)
{
    bool *slept = context;

    (void)data;
    (void)length;
    if (!*slept)
        Sleep(NAP_MS);
    *slept = true;
    return 0;
}

/* How much of the guest's time, in ms, goes by while a slow snapshot is taken; -1: it fails. */
static double time_of_snapshot(const char *spec)
{
    const visor_memory_region ram = {.length = 0x10000};
    bool slept = false;
    const visor_stream stream = {.context = &slept, .write = nap_write};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    uint64_t before, after, hz;
    double ms = -1;

    if (visor_hypervisor_open(&hv, spec) == 0 && visor_memory_create(&memory, &ram, 1, NULL) == 0 &&
        visor_vm_create(&vm, hv, memory, NULL) == 0 && visor_vcpu_create(&vcpu, vm, 0) == 0 &&
        visor_x86_get_tsc_hz(&hz, vcpu) == 0 && visor_x86_get_msr(&before, vcpu, 0x10) == 0 &&
        visor_vm_save(vm, &stream, NULL) == 0 && visor_x86_get_msr(&after, vcpu, 0x10) == 0)
        ms = (double)(after - before) * 1000 / (double)hz;
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return ms;
}

#define VECTOR       0x40u
#define DEADLINE_MSR 0x6e0u

/* Arms the local APIC's timer for when the TSC is there. */
static int arm(visor_vcpu *vcpu, uint64_t tsc, uint64_t ns, bool deadline)
{
    visor_x86_lapic lapic;
    int ret = visor_x86_get_lapic(&lapic, vcpu);

    lapic.regs[0xf] = 0x1ff;                               /* on */
    lapic.regs[0x32] = VECTOR | (deadline ? 2u << 17 : 0); /* its mode, else one shot */
    lapic.regs[0x3e] = 11;                                 /* divide by 1: ticks are ns */
    lapic.regs[0x38] = lapic.regs[0x39] = deadline ? 0 : (uint32_t)ns;
    if (ret == 0)
        ret = visor_x86_set_lapic(vcpu, &lapic);
    return ret == 0 && deadline ? visor_x86_set_msr(vcpu, DEADLINE_MSR, tsc) : ret;
}

/* A timer that would go off in the middle of a slow snapshot. 0: it has not, 1: it has, -1: it had
 * the right to, because the machine was busy, or something fails. */
static int goes_off(bool deadline)
{
    const visor_memory_region ram = {.length = 0x10000};
    bool slept = false;
    const visor_stream stream = {.context = &slept, .write = nap_write};
    visor_vm_config config = VISOR_VM_CONFIG_INIT;
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    visor_x86_lapic lapic;
    uint64_t tsc, end, after, hz;
    int result = -1;

    config.irqchip = VISOR_IRQCHIP_KERNEL;
    if (visor_hypervisor_open(&hv, NEW) == 0 && visor_memory_create(&memory, &ram, 1, NULL) == 0 &&
        visor_vm_create(&vm, hv, memory, &config) == 0 && visor_vcpu_create(&vcpu, vm, 0) == 0 &&
        visor_x86_get_tsc_hz(&hz, vcpu) == 0 && visor_x86_get_msr(&tsc, vcpu, 0x10) == 0) {
        end = tsc + hz * MOST_MS / 1000;
        if (arm(vcpu, end, MOST_MS * UINT64_C(1000000), deadline) == 0 &&
            visor_vm_save(vm, &stream, NULL) == 0 && visor_x86_get_lapic(&lapic, vcpu) == 0 &&
            visor_x86_get_msr(&after, vcpu, 0x10) == 0 && after < end)
            result = lapic.regs[0x20 + VECTOR / 32] >> VECTOR % 32 & 1;
    }
    visor_vcpu_free(vcpu);
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return result;
}

static void timer_stands_still(bool deadline)
{
    int result = -1;

    for (unsigned tries = 0; tries < 5 && result < 0; tries++)
        result = goes_off(deadline);
    printf("# %s\n", deadline ? "TSC deadline" : "one shot");
    CHECK(result == 0);
}

/* A busy machine takes its time, too, between the readings. */
static void stands_still(void)
{
    double ms = NAP_MS;

    for (unsigned tries = 0; tries < 5 && ms >= MOST_MS; tries++)
        ms = time_of_snapshot(NEW);
    if (!CHECK(ms >= 0 && ms < MOST_MS))
        printf("# %.0f ms\n", ms);
    /* It has no function for it: the clock goes on. */
    CHECK(time_of_snapshot(OLD) >= MOST_MS);
}

/* ---- choice ---- */

/* What "auto" has measured of a backend, from its own sentence; -1: no guest runs there. */
static double speed(const char *reason, const char *backend)
{
    const char *at = strchr(reason, '('), *end;
    double mips = -1;

    at = at != NULL ? strstr(at, backend) : NULL;
    end = at != NULL ? strchr(at, ';') : NULL;
    at = at != NULL ? strstr(at, " at ") : NULL;
    if (at != NULL && (end == NULL || at < end))
        sscanf(at, " at %lf million", &mips);
    return mips;
}

static void takes(bool is_there)
{
    visor_hypervisor *hv;
    const char *reason;
    double soft, whpx;
    bool took_whpx;

    if (!CHECK(visor_hypervisor_open(&hv, "auto") == 0))
        return;
    reason = visor_hypervisor_reason(hv);
    printf("# %s\n", reason);
    took_whpx = strcmp(visor_hypervisor_backend(hv), "whpx") == 0;
    soft = speed(reason, "soft: ");
    whpx = speed(reason, "whpx: ");
    CHECK(took_whpx || strcmp(visor_hypervisor_backend(hv), "soft") == 0);
    CHECK(soft >= 0 && is_there == (whpx >= 0));
    /* The sentence has whole numbers. */
    CHECK(soft == whpx || took_whpx == (whpx > soft));
    visor_hypervisor_free(hv);
}

/* On the double both have the same processor, so that the faster one is taken; which that is
 * differs from run to run. */
static void is_chosen(void)
{
    size_t place = 0;

    while (visor_backend_name(place) != NULL && strcmp(visor_backend_name(place), "whpx") != 0)
        place++;
    CHECK(visor_backend_is_auto(place));
    takes(true);
    SetEnvironmentVariableA("WHPX_DOUBLE", "off");
    takes(false);
    SetEnvironmentVariableA("WHPX_DOUBLE", NULL);
}

int main(void)
{
    opens();
    is_refused("off", VISOR_EDISABLED, "bcdedit");
    is_refused("denied", VISOR_EACCESS, "Administrators");
    is_refused("busy", VISOR_EBROKEN, "end other programs");
    probes(NEW);
    probes(OLD);
    same_processor();
    xsave(NEW);
    xsave(OLD);
    switched_meanwhile();
    cannot_change();
    has_no_base();
    stands_still();
    timer_stands_still(false);
    timer_stands_still(true);
    is_chosen();
    printf("1..%d\n", number);
    return failures > 0;
}
