/*
 * probe - the program that the lab's self-test runs inside the labs.
 *
 * It stands on libc and the kernel's ABI alone, so that it tells a broken lab from a
 * broken library. Facts: Linux, Documentation/virt/kvm/api.rst; Intel SDM volume 3B,
 * section 18.2 (debug registers).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_BASE 0x1000u
#define BREAK_AT   (GUEST_BASE + 3u) /* the second instruction of guest_code */

static const uint8_t guest_code[] = {
    0xb0, 0x56, 0x90, /* mov $'V', %al; nop */
    0xe6, 0xe9,       /* out %al, $0xe9 */
    0xf4,             /* hlt */
};

struct machine {
    int vcpu;
    struct kvm_run *run;
};

static int fail(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    return -1;
}

static int enter_real_mode(int vcpu)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = GUEST_BASE, .rflags = 2};

    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
        return fail("KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0)
        return fail("KVM_SET_SREGS");
    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
        return fail("KVM_SET_REGS");
    return 0;
}

/* The process ends soon: it leaves the closing to the kernel. */
static int machine_make(struct machine *m)
{
    struct kvm_userspace_memory_region region = {
        .guest_phys_addr = GUEST_BASE,
        .memory_size = 0x1000,
    };
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        return fail("/dev/kvm");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        return fail("KVM_CREATE_VM");

    void *page = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return fail("mmap");
    memcpy(page, guest_code, sizeof(guest_code));
    region.userspace_addr = (uintptr_t)page;
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return fail("KVM_SET_USER_MEMORY_REGION");

    m->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (m->vcpu < 0)
        return fail("KVM_CREATE_VCPU");
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < 0)
        return fail("KVM_GET_VCPU_MMAP_SIZE");
    m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    if (m->run == MAP_FAILED)
        return fail("mmap of the run page");
    return enter_real_mode(m->vcpu);
}

static int expect_exit(struct machine *m, uint32_t reason, const char *name)
{
    if (ioctl(m->vcpu, KVM_RUN, 0) < 0)
        return fail("KVM_RUN");
    if (m->run->exit_reason != reason) {
        fprintf(stderr, "probe: exit %u where %s was due\n", m->run->exit_reason, name);
        return -1;
    }
    return 0;
}

static int expect_output_and_halt(struct machine *m)
{
    if (expect_exit(m, KVM_EXIT_IO, "KVM_EXIT_IO") < 0)
        return -1;
    const char *data = (const char *)m->run + m->run->io.data_offset;
    if (m->run->io.port != 0xe9 || *data != 'V') {
        fprintf(stderr, "probe: port %#x, byte %#x\n", m->run->io.port, (unsigned)*data);
        return -1;
    }
    return expect_exit(m, KVM_EXIT_HLT, "KVM_EXIT_HLT");
}

static int test_kvm(void)
{
    struct machine m;

    if (machine_make(&m) < 0 || expect_output_and_halt(&m) < 0)
        return 1;
    puts("kvm: a guest ran");
    return 0;
}

static int test_breakpoint(void)
{
    struct machine m;
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP};

    if (machine_make(&m) < 0)
        return 1;
    debug.arch.debugreg[0] = BREAK_AT;
    debug.arch.debugreg[7] = 0x2; /* G0: breakpoint 0, on execution, one byte */
    if (ioctl(m.vcpu, KVM_SET_GUEST_DEBUG, &debug) < 0) {
        fail("KVM_SET_GUEST_DEBUG");
        return 1;
    }
    if (expect_exit(&m, KVM_EXIT_DEBUG, "KVM_EXIT_DEBUG") < 0)
        return 1;
    if (m.run->debug.arch.pc != BREAK_AT) {
        fprintf(stderr, "probe: stopped at %#llx\n", (unsigned long long)m.run->debug.arch.pc);
        return 1;
    }
    debug = (struct kvm_guest_debug){0};
    if (ioctl(m.vcpu, KVM_SET_GUEST_DEBUG, &debug) < 0) {
        fail("KVM_SET_GUEST_DEBUG");
        return 1;
    }
    if (expect_output_and_halt(&m) < 0)
        return 1;
    puts("kvm: a hardware breakpoint was hit");
    return 0;
}

/* Every byte value, often enough to pass the buffers on the way. */
static int put_bytes(FILE *to)
{
    for (int i = 0; i < 256 * 1024; i++) {
        if (putc(i & 0xff, to) == EOF)
            return fail("putc");
    }
    return fflush(to) == EOF ? fail("fflush") : 0;
}

static int test_file(void)
{
    FILE *file = fopen("/out/bytes", "w");

    return !file || put_bytes(file) < 0 || fclose(file) == EOF;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "exit") == 0 && argc > 2)
        return (int)strtol(argv[2], NULL, 10);
    if (strcmp(what, "stdout") == 0)
        return put_bytes(stdout) < 0;
    if (strcmp(what, "stderr") == 0)
        return put_bytes(stderr) < 0;
    if (strcmp(what, "file") == 0)
        return test_file();
    if (strcmp(what, "arguments") == 0) {
        for (int i = 2; i < argc; i++)
            printf("<%s>", argv[i]);
        printf("[%s]\n", getenv("PROBE") ? getenv("PROBE") : "");
        return 0;
    }
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "sleep") == 0) {
        puts("asleep");
        fflush(stdout);
        pause();
    }
    if (strcmp(what, "kvm") == 0)
        return test_kvm();
    if (strcmp(what, "breakpoint") == 0)
        return test_breakpoint();
    fputs("usage: probe exit N|stdout|stderr|file|arguments ...|abort|sleep|kvm|breakpoint\n",
          stderr);
    return 2;
}
