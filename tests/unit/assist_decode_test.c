/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding: the words that GNU as makes of each form of A64 load and store, and what they mean. */
#include "a64_text.h"
#include "unit.h"

static const struct {
    uint32_t word;
    const char *source;
    const char *text; /* see a64_text.h */
} vectors[] = {
    {0xa8c10861, "ldp x1, x2, [x3], #16", "load x1,x2 8 [x3] post 16"},
    {0xa9bf0be1, "stp x1, x2, [sp, #-16]!", "store x1,x2 8 [sp-16] pre"},
    {0x29410861, "ldp w1, w2, [x3, #8]", "load x1,x2 4 [x3+8]"},
    {0x2900147f, "stp wzr, w5, [x3]", "store x31,x5 4 [x3]"},
    {0x69ff0861, "ldpsw x1, x2, [x3, #-8]!", "load x1,x2 4 signed 8 [x3-8] pre"},
    {0xa8410861, "ldnp x1, x2, [x3, #16]", "load x1,x2 8 [x3+16]"},
    {0xac010861, "stnp q1, q2, [x3, #32]", "store v1,v2 16 [x3+32]"},
    {0xacff7c60, "ldp q0, q31, [x3], #-32", "load v0,v31 16 [x3] post -32"},
    {0x6d0127e8, "stp d8, d9, [sp, #16]", "store v8,v9 8 [sp+16]"},
    {0x2dc08bc1, "ldp s1, s2, [x30, #4]!", "load v1,v2 4 [x30+4] pre"},
    {0xf8408441, "ldr x1, [x2], #8", "load x1 8 [x2] post 8"},
    {0xb81fcc41, "str w1, [x2, #-4]!", "store x1 4 [x2-4] pre"},
    {0x39400441, "ldrb w1, [x2, #1]", "load x1 1 [x2+1]"},
    {0x39800041, "ldrsb x1, [x2]", "load x1 1 signed 8 [x2]"},
    {0x38c01441, "ldrsb w1, [x2], #1", "load x1 1 signed 4 [x2] post 1"},
    {0x79400441, "ldrh w1, [x2, #2]", "load x1 2 [x2+2]"},
    {0x78802c41, "ldrsh x1, [x2, #2]!", "load x1 2 signed 8 [x2+2] pre"},
    {0x79c00041, "ldrsh w1, [x2]", "load x1 2 signed 4 [x2]"},
    {0xb9800441, "ldrsw x1, [x2, #4]", "load x1 4 signed 8 [x2+4]"},
    {0x793ffc5f, "strh wzr, [x2, #8190]", "store x31 2 [x2+8190]"},
    {0xf97ffffe, "ldr x30, [sp, #32760]", "load x30 8 [sp+32760]"},
    {0xf85fd041, "ldur x1, [x2, #-3]", "load x1 8 [x2-3]"},
    {0xb80ff041, "stur w1, [x2, #255]", "store x1 4 [x2+255]"},
    {0xb8900041, "ldursw x1, [x2, #-256]", "load x1 4 signed 8 [x2-256]"},
    {0xf8408841, "ldtr x1, [x2, #8]", "load x1 8 [x2+8] as el0"},
    {0x38000841, "sttrb w1, [x2]", "store x1 1 [x2] as el0"},
    {0xb8800841, "ldtrsw x1, [x2]", "load x1 4 signed 8 [x2] as el0"},
    {0xf8636841, "ldr x1, [x2, x3]", "load x1 8 [x2+x3 lsl 0]"},
    {0xf8637841, "ldr x1, [x2, x3, lsl #3]", "load x1 8 [x2+x3 lsl 3]"},
    {0xb8635841, "ldr w1, [x2, w3, uxtw #2]", "load x1 4 [x2+x3 uxtw 2]"},
    {0x3823c841, "strb w1, [x2, w3, sxtw]", "store x1 1 [x2+x3 sxtw 0]"},
    {0x78a3f841, "ldrsh x1, [x2, x3, sxtx #1]", "load x1 2 signed 8 [x2+x3 sxtx 1]"},
    {0x3ce37841, "ldr q1, [x2, x3, lsl #4]", "load v1 16 [x2+x3 lsl 4]"},
    {0x7c235841, "str h1, [x2, w3, uxtw #1]", "store v1 2 [x2+x3 uxtw 1]"},
    {0x3d400441, "ldr b1, [x2, #1]", "load v1 1 [x2+1]"},
    {0x7d000441, "str h1, [x2, #2]", "store v1 2 [x2+2]"},
    {0xbd400441, "ldr s1, [x2, #4]", "load v1 4 [x2+4]"},
    {0xfd000441, "str d1, [x2, #8]", "store v1 8 [x2+8]"},
    {0x3dffffff, "ldr q31, [sp, #65520]", "load v31 16 [sp+65520]"},
    {0x3c9f0441, "str q1, [x2], #-16", "store v1 16 [x2] post -16"},
    {0x3cc01041, "ldur q1, [x2, #1]", "load v1 16 [x2+1]"},
    {0x58000041, "ldr x1, .+8", "load x1 8 [pc+8]"},
    {0x18ffffc1, "ldr w1, .-8", "load x1 4 [pc-8]"},
    {0x98000001, "ldrsw x1, .+0", "load x1 4 signed 8 [pc]"},
    {0x1c000021, "ldr s1, .+4", "load v1 4 [pc+4]"},
    {0x5c7fffe1, "ldr d1, .+1048572", "load v1 8 [pc+1048572]"},
    {0x9c800001, "ldr q1, .-1048576", "load v1 16 [pc-1048576]"},
    {0xf9800420, "prfm pldl1keep, [x1, #8]", "nothing"},
    {0xf8a26835, "prfm pstl3strm, [x1, x2]", "nothing"},
    {0xf89ff022, "prfum pldl2keep, [x1, #-1]", "nothing"},
    {0xd8000040, "prfm pldl1keep, .+8", "nothing"},
    {0xc8dffc41, "ldar x1, [x2]", "load x1 8 [x2]"},
    {0x889ffc41, "stlr w1, [x2]", "store x1 4 [x2]"},
    {0x08dffc41, "ldarb w1, [x2]", "load x1 1 [x2]"},
    {0x489ffc41, "stlrh w1, [x2]", "store x1 2 [x2]"},
    {0xc8df7c41, "ldlar x1, [x2]", "load x1 8 [x2]"},
    {0x089f7c41, "stllrb w1, [x2]", "store x1 1 [x2]"},
    {0xf8bfc041, "ldapr x1, [x2]", "load x1 8 [x2]"},
    {0x38bfc041, "ldaprb w1, [x2]", "load x1 1 [x2]"},
    {0xd95f9041, "ldapur x1, [x2, #-7]", "load x1 8 [x2-7]"},
    {0x19007041, "stlurb w1, [x2, #7]", "store x1 1 [x2+7]"},
    {0x19c00041, "ldapursb w1, [x2]", "load x1 1 signed 4 [x2]"},
    {0x99801041, "ldapursw x1, [x2, #1]", "load x1 4 signed 8 [x2+1]"},
    {0xf8210062, "ldadd x1, x2, [x3]", "add x2 by x1 8 [x3]"},
    {0x38e11062, "ldclralb w1, w2, [x3]", "clr x2 by x1 1 [x3]"},
    {0xb821207f, "steor w1, [x3]", "eor x31 by x1 4 [x3]"},
    {0x78213062, "ldseth w1, w2, [x3]", "set x2 by x1 2 [x3]"},
    {0xb8214062, "ldsmax w1, w2, [x3]", "smax x2 by x1 4 [x3]"},
    {0x382153e2, "ldsminb w1, w2, [sp]", "smin x2 by x1 1 [sp]"},
    {0xf8216062, "ldumax x1, x2, [x3]", "umax x2 by x1 8 [x3]"},
    {0xf8217062, "ldumin x1, x2, [x3]", "umin x2 by x1 8 [x3]"},
    {0xf8e18062, "swpal x1, x2, [x3]", "swp x2 by x1 8 [x3]"},
    {0xc8a17c62, "cas x1, x2, [x3]", "cas x2 by x1 8 [x3]"},
    {0x08e17c62, "casab w1, w2, [x3]", "cas x2 by x1 1 [x3]"},
    {0x48227cc4, "casp x2, x3, x4, x5, [x6]", "cas x4,x5 by x2,x3 8 [x6]"},
    {0x0862fcde, "caspal w2, w3, w30, wzr, [x6]", "cas x30,x31 by x2,x3 4 [x6]"},
    {0x4c407041, "ld1 {v1.16b}, [x2]", "load v1 1x16 [x2]"},
    {0x0c9f7041, "st1 {v1.8b}, [x2], #8", "store v1 1x8 [x2] post 8"},
    {0x0cc3a441, "ld1 {v1.4h, v2.4h}, [x2], x3", "load v1,v2 2x4 [x2] post x3 lsl 0"},
    {0x0cdf6c5f, "ld1 {v31.1d, v0.1d, v1.1d}, [x2], #24", "load v31,v0,v1 8 [x2] post 24"},
    {0x4c9f2c41, "st1 {v1.2d, v2.2d, v3.2d, v4.2d}, [x2], #64",
     "store v1,v2,v3,v4 8x2 [x2] post 64"},
    {0x0c408041, "ld2 {v1.8b, v2.8b}, [x2]", "load v1,v2 1x8 round [x2]"},
    {0x4c9f4be1, "st3 {v1.4s, v2.4s, v3.4s}, [sp], #48", "store v1,v2,v3 4x4 round [sp] post 48"},
    {0x4cc5045e, "ld4 {v30.8h, v31.8h, v0.8h, v1.8h}, [x2], x5",
     "load v30,v31,v0,v1 2x8 round [x2] post x5 lsl 0"},
    {0x4d401441, "ld1 {v1.b}[13], [x2]", "load v1 1 lane 13 [x2]"},
    {0x4d9f4841, "st1 {v1.h}[5], [x2], #2", "store v1 2 lane 5 [x2] post 2"},
    {0x4dc39041, "ld1 {v1.s}[3], [x2], x3", "load v1 4 lane 3 [x2] post x3 lsl 0"},
    {0x4d208441, "st2 {v1.d, v2.d}[1], [x2]", "store v1,v2 8 lane 1 [x2]"},
    {0x0ddf2041, "ld3 {v1.b, v2.b, v3.b}[0], [x2], #3", "load v1,v2,v3 1 lane 0 [x2] post 3"},
    {0x4d207841, "st4 {v1.h, v2.h, v3.h, v4.h}[7], [x2]", "store v1,v2,v3,v4 2 lane 7 [x2]"},
    {0x4d40c041, "ld1r {v1.16b}, [x2]", "load v1 1 fill 16 [x2]"},
    {0x0ddfcc41, "ld1r {v1.1d}, [x2], #8", "load v1 8 fill 8 [x2] post 8"},
    {0x0d60c441, "ld2r {v1.4h, v2.4h}, [x2]", "load v1,v2 2 fill 8 [x2]"},
    {0x4dc3ec41, "ld3r {v1.2d, v2.2d, v3.2d}, [x2], x3",
     "load v1,v2,v3 8 fill 16 [x2] post x3 lsl 0"},
    {0x4dffe841, "ld4r {v1.4s, v2.4s, v3.4s, v4.4s}, [x2], #16",
     "load v1,v2,v3,v4 4 fill 16 [x2] post 16"},
    {0xd50b7421, "dc zva, x1", "zero [zero+x1 lsl 0]"},
    {0xd50b743f, "dc zva, xzr", "zero [zero]"},
    {0xd50b7e21, "dc civac, x1", "nothing"},
    {0xd50b7a21, "dc cvac, x1", "nothing"},
    {0xd50b7b21, "dc cvau, x1", "nothing"},
    {0xd50b7c21, "dc cvap, x1", "nothing"},
    {0xd5087621, "dc ivac, x1", "nothing"},
    {0xd50b7d21, "dc cvadp, x1", "nothing"},
    {0xd50b7521, "ic ivau, x1", "nothing"},
    {0xc85f7c41, "ldxr x1, [x2]", "refused EXCLUSIVE"},
    {0xc8017c62, "stxr w1, x2, [x3]", "refused EXCLUSIVE"},
    {0xc87f8861, "ldaxp x1, x2, [x3]", "refused EXCLUSIVE"},
    {0x0801fc62, "stlxrb w1, w2, [x3]", "refused EXCLUSIVE"},
    {0xf8200441, "ldraa x1, [x2]", "refused POINTER_AUTH"},
    {0xf8a01c41, "ldrab x1, [x2, #8]!", "refused POINTER_AUTH"},
    {0xd9200841, "stg x1, [x2]", "refused TAGS"},
    {0xd9600041, "ldg x1, [x2]", "refused TAGS"},
    {0x69000861, "stgp x1, x2, [x3]", "refused TAGS"},
    {0xd50b7461, "dc gva, x1", "refused TAGS"},
    {0xf83fd040, "ld64b x0, [x2]", "refused LS64"},
    {0xf83f9040, "st64b x0, [x2]", "refused LS64"},
    {0xf821b040, "st64bv x1, x0, [x2]", "refused LS64"},
    {0xf821a040, "st64bv0 x1, x0, [x2]", "refused LS64"},
    {0x19010440, "cpyfp [x0]!, [x1]!, x2!", "refused COPY"},
    {0x19c24420, "setm [x0]!, x1!, x2", "refused COPY"},
    {0x85804041, "ldr z1, [x2]", "refused SVE"},
    {0xa400a441, "ld1b z1.b, p1/z, [x2]", "refused SVE"},
    {0xe5800041, "str p1, [x2]", "refused SVE"},
    {0x8b020020, "add x0, x1, x2", "refused UNKNOWN"},
    {0xd503201f, "nop", "refused UNKNOWN"},
    {0x14000000, "b .", "refused UNKNOWN"},
    {0x00000000, "udf #0", "refused UNKNOWN"},
};

TEST(every_form_is_decoded)
{
    char text[A64_TEXT];

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        a64_describe(text, vectors[i].word);
        if (!CHECK_STR(text, vectors[i].text))
            printf("#   of 0x%08x, %s\n", vectors[i].word, vectors[i].source);
    }
}

/* Words next to those above that mean nothing (or something of an extension not known here). */
TEST(unallocated_words_are_refused)
{
    static const uint32_t words[] = {
        0xb9c00041, /* size 10, opc 11 of a general register */
        0xf9c00041, /* size 11, opc 11 */
        0xf8800c41, /* PRFM with writeback */
        0xf8800841, /* PRFM, unprivileged */
        0x3c000841, /* unprivileged SIMD&FP */
        0x7d800041, /* SIMD&FP of 128 bits has size 00 only */
        0xdc000041, /* literal, SIMD&FP, opc 11 */
        0xe8000041, /* pair, opc 11 */
        0x68400841, /* LDPSW does not exist without allocation */
        0xf8630841, /* register offset with option 000 */
        0x48237cc4, /* CASP of an odd register */
        0x48227cc5, /* the same */
        0xc8a10062, /* CAS with Rt2 not 11111 */
        0xb83fd040, /* LD64B of 4 bytes */
        0xf87fc041, /* LDAPR with A and R wrong */
        0x0c400c41, /* LD4 {.1D} */
        0x0c401041, /* multiple structures, opcode 0001 */
        0x0c410041, /* multiple structures, no post-index, Rm not 0 */
        0x0d004441, /* lane of 2 bytes with size bit 0 set */
        0x0d009441, /* lane of 8 bytes with S set */
        0x0d00c041, /* store with replication */
        0x0d40d041, /* replication with S set */
    };
    char text[A64_TEXT];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        a64_describe(text, words[i]);
        if (!CHECK_STR(text, "refused UNKNOWN"))
            printf("#   of 0x%08x\n", words[i]);
    }
}

UNIT_MAIN()
