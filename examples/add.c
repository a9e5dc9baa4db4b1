/* SPDX-License-Identifier: BSD-3-Clause */
/* The README's example: a guest that adds two numbers, writes the sum to a port, and halts. */
#include <stdio.h>
#include <visor.h>

/* 16-bit code: add %bx, %ax; out %al, $0x10; hlt */
static const uint8_t code[] = {0x01, 0xd8, 0xe6, 0x10, 0xf4};

static int fail(void)
{
    char text[512];

    visor_error_format(text, sizeof(text));
    fprintf(stderr, "%s\n", text);
    return 1;
}

int main(int argc, char **argv)
{
    const visor_memory_region ram = {.gpa = 0, .length = 0x10000};
    visor_x86_regs regs = {.rax = 2, .rbx = 3, .rip = 0x1000, .rflags = 2};
    visor_hypervisor *hv = NULL;
    visor_memory *memory = NULL;
    visor_vm *vm = NULL;
    visor_vcpu *vcpu = NULL;
    visor_x86_sregs sregs;
    int exit;

    if (visor_hypervisor_open(&hv, argc > 1 ? argv[1] : "auto") < 0 ||
        visor_memory_create(&memory, &ram, 1, NULL) < 0 ||
        visor_memory_write(memory, 0x1000, code, sizeof(code)) < 0 ||
        visor_vm_create(&vm, hv, memory, NULL) < 0 || visor_vcpu_create(&vcpu, vm, 0) < 0 ||
        visor_x86_get_sregs(&sregs, vcpu) < 0)
        return fail();
    sregs.cs.base = sregs.cs.selector = 0;
    if (visor_x86_set_sregs(vcpu, &sregs) < 0 || visor_x86_set_regs(vcpu, &regs) < 0)
        return fail();

    while ((exit = visor_vcpu_run(vcpu)) == VISOR_EXIT_IO) {
        const visor_io *io = &visor_vcpu_exit(vcpu)->io;

        printf("%s: the guest wrote %llu to port 0x%llx\n", visor_hypervisor_backend(hv),
               (unsigned long long)visor_io_value(io), (unsigned long long)io->address);
    }
    if (exit < 0)
        return fail();
    printf("%s\n", visor_exit_text(exit));
    visor_vcpu_free(vcpu); /* in any order */
    visor_vm_free(vm);
    visor_memory_free(memory);
    visor_hypervisor_free(hv);
    return 0;
}
