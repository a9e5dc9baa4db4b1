/* SPDX-License-Identifier: BSD-3-Clause */
/* Extended state: x87, MMX, SSE, AVX, XSAVE. It must not leak, and must go both ways. */
#include "x86.h"

#include <stdlib.h>
#include <string.h>

#define SECRET 0x1337ffffu

static bool host_has(uint32_t function, unsigned reg, unsigned bit)
{
    uint32_t r[4];

    x86_host_cpuid(r, function, 0);
    return (r[reg] >> bit & 1) != 0;
}

VISOR_GUEST_ASM64(mmx_secret, "mov eax, 1; cpuid; test edx, 0x800000; jnz 2f; mov rdx, 1; hlt;"
                              "2: mov rdx, 0; mov rax, 0x1337ffff; mov rbx, 0; movq mm0, rax;"
                              "out 5, al; movq rbx, mm0; emms; hlt");

CASE(fpu, mmx_preserved, "MMX state survives an exit and is not seen by the host")
{
    uint64_t mm0;

    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = &mmx_secret});
    RUN_TO(g, IO);
    __asm__ volatile("movq %%mm0, %0; emms" : "=r"(mm0));
    CHECK(mm0 != SECRET);
    RUN_TO(g, HLT);
    CHECK(x86_regs(g->vcpu).rdx != 1);
    CHECK_EQ(x86_regs(g->vcpu).rbx, SECRET);
}

VISOR_GUEST_ASM64(avx_secret, "mov eax, 1; cpuid; test ecx, 0x10000000; jnz 2f; mov rdx, 1; hlt;"
                              "2: mov rax, cr4; or eax, 0x40000; mov cr4, rax;"
                              "xor ecx, ecx; xgetbv; or eax, 7; xsetbv;"
                              "xor edx, edx; xor eax, eax; xor ebx, ebx; vzeroall;"
                              "mov eax, 0x1337ffff; vpinsrd xmm0, xmm1, eax, 3;"
                              "vinserti128 ymm1, ymm2, xmm0, 1;"
                              "out 5, al; vextracti128 xmm3, ymm1, 1; vpextrd ebx, xmm3, 3; hlt");

CASE(fpu, avx_preserved, "AVX state survives an exit and is not seen by the host")
{
    uint32_t high;

    if (!host_has(7, 1, 5))
        SKIP("the processor has no AVX2");
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = &avx_secret});
    RUN_TO(g, IO);
    __asm__ volatile("vextracti128 $1, %%ymm1, %%xmm3; vpextrd $3, %%xmm3, %0"
                     : "=r"(high)
                     :
                     : "xmm3");
    CHECK(high != SECRET);
    RUN_TO(g, HLT);
    CHECK(x86_regs(g->vcpu).rdx != 1);
    CHECK_EQ(x86_regs(g->vcpu).rbx, SECRET);
}

/* XCR0 as the VMM sets it: x87, SSE, AVX. */
static void set_xcr0(struct guest *g, uint64_t value)
{
    visor_x86_xcrs xcrs;

    NEED(g, X86_XCRS);
    CHECK_OK(visor_x86_get_xcrs(&xcrs, g->vcpu));
    xcrs.xcr[0].value = value;
    CHECK_OK(visor_x86_set_xcrs(g->vcpu, &xcrs));
}

VISOR_GUEST_ASM64(avx_ready_secret,
                  "vzeroall; mov eax, 0x1337ffff; vpinsrd xmm0, xmm1, eax, 3;"
                  "vinserti128 ymm1, ymm2, xmm0, 1; xor ebx, ebx; xor eax, eax;"
                  "out 5, al; vextracti128 xmm3, ymm1, 1; vpextrd ebx, xmm3, 3; hlt");

CASE(fpu, avx_preserved_xcr0_set, "the same with XCR0 set by the VMM")
{
    uint32_t high;

    if (!host_has(7, 1, 5))
        SKIP("the processor has no AVX2");
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &avx_ready_secret,
                                     .extra_cr4 = X86_CR4_OSXSAVE});
    set_xcr0(g, 7);
    RUN_TO_OUT(g, 5, 1, 0);
    __asm__ volatile("vextracti128 $1, %%ymm1, %%xmm3; vpextrd $3, %%xmm3, %0"
                     : "=r"(high)
                     :
                     : "xmm3");
    CHECK(high != SECRET);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, SECRET);
}

VISOR_GUEST_ASM64(xsave_and_back,
                  "mov eax, 1; xor ecx, ecx; cpuid; test ecx, 0x4000000; jnz 2f; mov rdx, 1; hlt;"
                  "2: xor edx, edx; mov rax, cr4; or eax, 0x40000; mov cr4, rax;"
                  "xor ecx, ecx; xgetbv; or eax, 7; xsetbv;"
                  "mov eax, 0x1337ffff; vzeroall; vpinsrd xmm0, xmm0, eax, 3;"
                  "xor edx, edx; mov eax, 7; xsave [0x10000]; vpxor xmm0, xmm0, xmm0;"
                  "xor edx, edx; mov eax, 7; xrstor [0x10000]; xor ebx, ebx;"
                  "vpextrd ebx, xmm0, 3; hlt");

CASE(fpu, xsave_in_guest, "XSAVE and XRSTOR in the guest")
{
    if (!host_has(1, 2, 28))
        SKIP("the processor has no AVX");
    x86_start(g, &(struct x86_setup){
                     .mode = X86_LONG, .ram = 0x12000, .load = 0x1000, .code = &xsave_and_back});
    RUN_TO(g, HLT);
    CHECK(x86_regs(g->vcpu).rdx != 1);
    CHECK_EQ(x86_regs(g->vcpu).rbx, SECRET);
}

VISOR_GUEST_ASM64(xsave_ready_and_back,
                  "mov eax, 0x1337ffff; vzeroall; vpinsrd xmm0, xmm0, eax, 3;"
                  "xor edx, edx; mov eax, 7; xsave [0x10000]; vpxor xmm0, xmm0, xmm0;"
                  "xor edx, edx; mov eax, 7; xrstor [0x10000]; xor ebx, ebx;"
                  "vpextrd ebx, xmm0, 3; hlt");

CASE(fpu, xsave_in_guest_xcr0_set, "the same with XCR0 set by the VMM")
{
    if (!host_has(1, 2, 28))
        SKIP("the processor has no AVX");
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .ram = 0x12000,
                                     .load = 0x1000,
                                     .code = &xsave_ready_and_back,
                                     .extra_cr4 = X86_CR4_OSXSAVE});
    set_xcr0(g, 7);
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rbx, SECRET);
}

/* CR4.OSFXSR and OSXMMEXCPT make SSE usable. */
#define CR4_SSE 0x600u
VISOR_GUEST_ASM64(store_fpu, "movups [rdi], xmm5; movups [rdi + 16], xmm15; fnstcw [rdi + 32];"
                             "stmxcsr [rdi + 36]; fstp tbyte ptr [rdi + 48];"
                             "fstp tbyte ptr [rdi + 64]; hlt");

CASE(fpu, set_by_vmm, "x87 and SSE registers that the VMM sets are the guest's")
{
    uint8_t expected[16];
    visor_x86_fpu fpu;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &store_fpu,
                                     .extra_cr4 = CR4_SSE,
                                     .regs = {.rdi = 0x2000}});
    visor_x86_reset_fpu(&fpu);
    CHECK_EQ(fpu.fcw, 0x37f);
    CHECK_EQ(fpu.mxcsr, 0x1f80);
    for (unsigned i = 0; i < 16; i++)
        memset(fpu.xmm[i], (int)(0xa0 + i), 16);
    fpu.xmm[15][15] = 42;
    fpu.st[0].significand = 0xc90fdaa22168c235u; /* pi */
    fpu.st[0].sign_exponent = 0x4000;
    fpu.st[1].significand = 0x8000000000000000u; /* -1 */
    fpu.st[1].sign_exponent = 0xbfff;
    fpu.ftw = 3;
    fpu.fcw = 0x27f;
    fpu.mxcsr = 0x9f80;
    CHECK_OK(visor_x86_set_fpu(g->vcpu, &fpu));
    RUN_TO(g, HLT);
    memset(expected, 0xa5, sizeof(expected));
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(peek(g, 0x2000 + i, 1), expected[i]);
    CHECK_EQ(peek(g, 0x2010, 1), 0xaf);
    CHECK_EQ(peek(g, 0x201f, 1), 42);
    CHECK_EQ(peek(g, 0x2020, 2), 0x27f);
    CHECK_EQ(peek(g, 0x2024, 4), 0x9f80);
    CHECK_EQ(peek(g, 0x2030, 8), 0xc90fdaa22168c235u);
    CHECK_EQ(peek(g, 0x2038, 2), 0x4000);
    CHECK_EQ(peek(g, 0x2040, 8), 0x8000000000000000u);
    CHECK_EQ(peek(g, 0x2048, 2), 0xbfff);
}

/* With nothing between them that would end a run of the guest. */
VISOR_GUEST_ASM64(count_up, "cvtsi2sd xmm1, esi; 2: addsd xmm0, xmm1; comisd xmm0, xmm1;"
                            "cvtsd2si eax, xmm0; fld1; fadd qword ptr [rdi]; fstp qword ptr [rdi];"
                            "sub ecx, 1; jnz 2b; fld qword ptr [rdi]; fistp dword ptr [rdi]; hlt");

CASE(fpu, many_in_a_row, "a million rounds of x87 and SSE instructions give what one gives")
{
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &count_up,
                                     .extra_cr4 = CR4_SSE,
                                     .regs = {.rdi = 0x2000, .rsi = 1, .rcx = 1000000}});
    RUN_TO(g, HLT);
    CHECK_EQ(x86_regs(g->vcpu).rax, 1000000);
    CHECK_EQ(peek(g, 0x2000, 4), 1000000);
}

VISOR_GUEST_ASM64(load_fpu, "fninit; fldpi; fld1; mov word ptr [rdi], 0x17f; fldcw [rdi];"
                            "pcmpeqd xmm7, xmm7; mov dword ptr [rdi], 0x3f80; ldmxcsr [rdi]; hlt");

CASE(fpu, set_by_guest, "and the guest's are what the VMM reads")
{
    visor_x86_fpu fpu;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &load_fpu,
                                     .extra_cr4 = CR4_SSE,
                                     .regs = {.rdi = 0x2000}});
    RUN_TO(g, HLT);
    CHECK_OK(visor_x86_get_fpu(&fpu, g->vcpu));
    CHECK_EQ(fpu.st[0].significand, 0x8000000000000000u); /* 1 */
    CHECK_EQ(fpu.st[0].sign_exponent, 0x3fff);
    CHECK_EQ(fpu.st[1].significand, 0xc90fdaa22168c235u);
    CHECK_EQ(fpu.st[1].sign_exponent, 0x4000);
    CHECK_EQ(fpu.fcw, 0x17f);
    CHECK_EQ(fpu.fsw >> 11 & 7, 6); /* two values are on the stack */
    CHECK_EQ(fpu.ftw, 0xc0);
    CHECK_EQ(fpu.mxcsr, 0x3f80);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(fpu.xmm[7][i], 0xff);
}

CASE(fpu, round_trip, "what is set comes back, to the last byte of the last register")
{
    visor_x86_fpu set, got;

    x86_start(g, &(struct x86_setup){0});
    visor_x86_reset_fpu(&set);
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned j = 0; j < 16; j++)
            set.xmm[i][j] = (uint8_t)(16 * i + j);
    }
    set.xmm[15][15] = 42;
    for (unsigned i = 0; i < 8; i++) {
        set.st[i].significand = 0x8000000000000000u + i;
        set.st[i].sign_exponent = (uint16_t)(0x4000 + i);
    }
    set.ftw = 0xff;
    set.last_opcode = 0x123;
    set.last_ip = 0x11223344;
    set.last_dp = 0x55667788;
    CHECK_OK(visor_x86_set_fpu(g->vcpu, &set));
    CHECK_OK(visor_x86_get_fpu(&got, g->vcpu));
    CHECK_BYTES(got.xmm, set.xmm, sizeof(set.xmm));
    CHECK_BYTES(got.st, set.st, sizeof(set.st));
    CHECK_EQ(got.ftw, set.ftw);
    CHECK_EQ(got.last_opcode, set.last_opcode);
    CHECK_EQ(got.last_ip, set.last_ip);
    CHECK_EQ(got.last_dp, set.last_dp);
    CHECK_EQ(got.mxcsr, set.mxcsr);
}

/* Offsets in the XSAVE image: SDM vol. 1, 13.4. */
#define XSAVE_XMM 160u
#define XSAVE_BV  512u

static uint8_t *xsave_get(struct guest *g, size_t *size)
{
    uint8_t *image;

    *size = (size_t)NEED(g, X86_XSAVE_SIZE);
    image = malloc(*size + 16);
    CHECK(image != NULL);
    memset(image, 0xee, *size + 16);
    CHECK_EQ(visor_x86_get_xsave(image, *size, g->vcpu), *size);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(image[*size + i], 0xee);
    return image;
}

CASE(fpu, xsave_set_by_vmm, "the XSAVE image goes into the guest, and its size is kept to")
{
    uint8_t *image, *again;
    uint8_t byte = 0x77;
    size_t size;

    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &store_fpu,
                                     .extra_cr4 = CR4_SSE,
                                     .regs = {.rdi = 0x2000}});
    image = xsave_get(g, &size);
    CHECK(size >= 576);
    memset(image + XSAVE_XMM + 5 * 16, 0x5c, 16);
    image[XSAVE_BV] |= 2;
    CHECK_OK(visor_x86_set_xsave(g->vcpu, image, size));
    again = xsave_get(g, &size);
    CHECK_BYTES(again + XSAVE_XMM + 5 * 16, image + XSAVE_XMM + 5 * 16, 16);
    CHECK_EQ(visor_x86_get_xsave(&byte, 1, g->vcpu), size);
    CHECK_EQ(byte, 0x77);
    CHECK_EQ(visor_x86_get_xsave(NULL, 0, g->vcpu), size);
    CHECK_ERROR(visor_x86_set_xsave(g->vcpu, image, size - 4), EMISMATCH);
    CHECK_ERROR(visor_x86_set_xsave(g->vcpu, image, size + 4), EMISMATCH);
    RUN_TO(g, HLT);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(peek(g, 0x2000 + i, 1), 0x5c);
    free(image);
    free(again);
}

VISOR_GUEST_ASM64(fill_ymm, "vpcmpeqd ymm6, ymm6, ymm6; hlt; vmovdqu [rdi], ymm6; hlt");

CASE(fpu, xsave_carries_avx, "the upper half of a YMM register travels in the XSAVE image")
{
    uint8_t *image, *zero;
    uint32_t r[4];
    size_t size;

    if (!host_has(7, 1, 5))
        SKIP("the processor has no AVX2");
    x86_host_cpuid(r, 0xd, 2); /* AVX component: size, offset */
    x86_start(g, &(struct x86_setup){.mode = X86_LONG,
                                     .load = 0x1000,
                                     .code = &fill_ymm,
                                     .extra_cr4 = CR4_SSE | X86_CR4_OSXSAVE,
                                     .regs = {.rdi = 0x2000}});
    set_xcr0(g, 7);
    zero = xsave_get(g, &size);
    RUN_TO(g, HLT);
    image = xsave_get(g, &size);
    CHECK_EQ(image[XSAVE_BV] & 4, 4);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(image[r[1] + 6 * 16 + i], 0xff);
    image[r[1] + 6 * 16 + 3] = 0x21;
    CHECK_OK(visor_x86_set_xsave(g->vcpu, zero, size));
    CHECK_OK(visor_x86_set_xsave(g->vcpu, image, size));
    RUN_TO(g, HLT);
    CHECK_EQ(peek(g, 0x2000, 8), ~0ull);
    CHECK_EQ(peek(g, 0x2010, 8), ~0xff000000ull | 0x21000000u);
    free(image);
    free(zero);
}

CASE(fpu, xsave_larger_than_a_page, "images of more than 4096 bytes are handled whole")
{
    uint8_t *image;
    size_t size;

    x86_start(g, &(struct x86_setup){0});
    size = (size_t)NEED(g, X86_XSAVE_SIZE);
    if (size <= 4096)
        SKIP("the XSAVE image of this host has %zu bytes (only AMX makes it larger than 4096)",
             size);
    image = xsave_get(g, &size);
    CHECK_OK(visor_x86_set_xsave(g->vcpu, image, size));
    free(image);
}
