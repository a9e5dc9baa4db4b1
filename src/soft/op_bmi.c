/* SPDX-License-Identifier: BSD-3-Clause */
/* BMI1, BMI2, ADX and CRC32. */
#include "soft/flags.h"
#include "soft/memory.h"
#include "soft/ops.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments of these macros are sizes and types. */

/*
 * a is the register in VEX.vvvv, b the register or memory operand, in the order of the operands:
 * ANDN, PEXT, PDEP and MULX name vvvv first, the others the operand in ModRM.
 */
#define DEFINE_BMI(bits, T)                                          \
    static inline T andn_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        soft_flags_logic(cpu, (T)(~a & b), bits);                    \
        return (T)(~a & b);                                          \
    }                                                                \
    static inline T bextr_##bits(struct soft_cpu *cpu, T a, T b)     \
    {                                                                \
        unsigned start = a & 0xff, length = a >> 8 & 0xff;           \
        T value = start >= bits ? 0 : b >> start;                    \
        if (length < bits)                                           \
            value &= ((T)1 << length) - 1;                           \
        soft_flags_logic(cpu, value, bits);                          \
        return value;                                                \
    }                                                                \
    static inline T blsr_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        T value = b & (b - 1);                                       \
        (void)a;                                                     \
        soft_flags_result(cpu, value, bits, b == 0, false);          \
        return value;                                                \
    }                                                                \
    static inline T blsmsk_##bits(struct soft_cpu *cpu, T a, T b)    \
    {                                                                \
        T value = b ^ (b - 1);                                       \
        (void)a;                                                     \
        soft_flags_result(cpu, value, bits, b == 0, false);          \
        return value;                                                \
    }                                                                \
    static inline T blsi_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        T value = b & (0 - b);                                       \
        (void)a;                                                     \
        soft_flags_result(cpu, value, bits, b != 0, false);          \
        return value;                                                \
    }                                                                \
    static inline T bzhi_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        unsigned index = a & 0xff;                                   \
        T value = index < bits ? b & (((T)1 << index) - 1) : b;      \
        soft_flags_result(cpu, value, bits, index >= bits, false);   \
        return value;                                                \
    }                                                                \
    static inline T pext_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        T value = 0, bit = 1;                                        \
        (void)cpu;                                                   \
        for (; b != 0; b &= b - 1, bit <<= 1)                        \
            value |= (a & (b & (0 - b))) != 0 ? bit : 0;             \
        return value;                                                \
    }                                                                \
    static inline T pdep_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        T value = 0;                                                 \
        (void)cpu;                                                   \
        for (; b != 0; b &= b - 1, a >>= 1)                          \
            value |= (a & 1) != 0 ? b & (0 - b) : 0;                 \
        return value;                                                \
    }                                                                \
    static inline T shlx_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        (void)cpu;                                                   \
        return b << (a & (bits - 1));                                \
    }                                                                \
    static inline T sarx_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        (void)cpu;                                                   \
        return (T)((int##bits##_t)b >> (a & (bits - 1)));            \
    }                                                                \
    static inline T shrx_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        (void)cpu;                                                   \
        return b >> (a & (bits - 1));                                \
    }                                                                \
    /* a: the destination */                                         \
    static inline T adcx_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        bool carry = soft_cf(cpu);                                   \
        T part = a + b, sum = part + carry;                          \
        soft_flags_cf_of(cpu, part < a || sum < part, soft_of(cpu)); \
        return sum;                                                  \
    }                                                                \
    static inline T adox_##bits(struct soft_cpu *cpu, T a, T b)      \
    {                                                                \
        bool carry = soft_of(cpu);                                   \
        T part = a + b, sum = part + carry;                          \
        soft_flags_cf_of(cpu, soft_cf(cpu), part < a || sum < part); \
        return sum;                                                  \
    }                                                                \
    DEFINE_BMI_FORMS(andn, bits, T)                                  \
    DEFINE_BMI_FORMS(bextr, bits, T)                                 \
    DEFINE_BMI_FORMS(blsr, bits, T)                                  \
    DEFINE_BMI_FORMS(blsmsk, bits, T)                                \
    DEFINE_BMI_FORMS(blsi, bits, T)                                  \
    DEFINE_BMI_FORMS(bzhi, bits, T)                                  \
    DEFINE_BMI_FORMS(pext, bits, T)                                  \
    DEFINE_BMI_FORMS(pdep, bits, T)                                  \
    DEFINE_BMI_FORMS(shlx, bits, T)                                  \
    DEFINE_BMI_FORMS(sarx, bits, T)                                  \
    DEFINE_BMI_FORMS(shrx, bits, T)                                  \
    DEFINE_BMI_FORMS(adcx, bits, T)                                  \
    DEFINE_BMI_FORMS(adox, bits, T)
#define DEFINE_BMI_FORMS(name, bits, T)                                        \
    static SOFT_HANDLER(name##_##bits##_r)                                     \
    {                                                                          \
        T value = name##_##bits(cpu, SOFT_R(T, op->src), SOFT_R(T, op->src2)); \
        SOFT_SET(T, op->dst, value);                                           \
        SOFT_NEXT;                                                             \
    }                                                                          \
    static SOFT_HANDLER(name##_##bits##_m)                                     \
    {                                                                          \
        T b = soft_read##bits(cpu, op, soft_address(cpu, op));                 \
        SOFT_SET(T, op->dst, name##_##bits(cpu, SOFT_R(T, op->src), b));       \
        SOFT_NEXT;                                                             \
    }

DEFINE_BMI(32, uint32_t)
DEFINE_BMI(64, uint64_t)

/* RORX: the count in imm. MULX: the high half to dst, the low half to src. */
#define DEFINE_RORX_MULX(bits, T, W)                                                            \
    static inline T rorx_##bits(const struct soft_uop *op, T b)                                 \
    {                                                                                           \
        unsigned count = op->imm & (bits - 1);                                                  \
        return count == 0 ? b : (T)(b >> count | b << (bits - count));                          \
    }                                                                                           \
    static SOFT_HANDLER(rorx_##bits##_r)                                                        \
    {                                                                                           \
        SOFT_SET(T, op->dst, rorx_##bits(op, SOFT_R(T, op->src2)));                             \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(rorx_##bits##_m)                                                        \
    {                                                                                           \
        SOFT_SET(T, op->dst, rorx_##bits(op, soft_read##bits(cpu, op, soft_address(cpu, op)))); \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static inline void mulx_##bits(struct soft_cpu *cpu, const struct soft_uop *op, T b)        \
    {                                                                                           \
        W product = (W)SOFT_R(T, 8 * SOFT_RDX) * b;                                             \
        SOFT_SET(T, op->src, (T)product);                                                       \
        SOFT_SET(T, op->dst, (T)(product >> bits)); /* wins, if both are the same */            \
    }                                                                                           \
    static SOFT_HANDLER(mulx_##bits##_r)                                                        \
    {                                                                                           \
        mulx_##bits(cpu, op, SOFT_R(T, op->src2));                                              \
        SOFT_NEXT;                                                                              \
    }                                                                                           \
    static SOFT_HANDLER(mulx_##bits##_m)                                                        \
    {                                                                                           \
        mulx_##bits(cpu, op, soft_read##bits(cpu, op, soft_address(cpu, op)));                  \
        SOFT_NEXT;                                                                              \
    }
DEFINE_RORX_MULX(32, uint32_t, uint64_t)
DEFINE_RORX_MULX(64, uint64_t, unsigned __int128)

#define BMI(name)                    \
    {                                \
        {name##_32_r, name##_32_m},  \
        {                            \
            name##_64_r, name##_64_m \
        }                            \
    }
soft_handler *const soft_bmi[SOFT_BMIS][2][2] = {
    [SOFT_ANDN] = BMI(andn),     [SOFT_BEXTR] = BMI(bextr), [SOFT_BLSR] = BMI(blsr),
    [SOFT_BLSMSK] = BMI(blsmsk), [SOFT_BLSI] = BMI(blsi),   [SOFT_BZHI] = BMI(bzhi),
    [SOFT_PEXT] = BMI(pext),     [SOFT_PDEP] = BMI(pdep),   [SOFT_SHLX] = BMI(shlx),
    [SOFT_SARX] = BMI(sarx),     [SOFT_SHRX] = BMI(shrx),   [SOFT_RORX] = BMI(rorx),
    [SOFT_MULX] = BMI(mulx),     [SOFT_ADCX] = BMI(adcx),   [SOFT_ADOX] = BMI(adox),
};

/* ---- CRC32C: polynomial 0x11edc6f41, bits reflected (SDM vol. 2A, CRC32) ---- */

static uint32_t crc32c(uint32_t crc, uint64_t data, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++, data >>= 1)
        crc = crc >> 1 ^ (((crc ^ data) & 1) != 0 ? 0x82f63b78u : 0);
    return crc;
}

#define DEFINE_CRC32(bits)                                                            \
    static SOFT_HANDLER(crc32_##bits##_r)                                             \
    {                                                                                 \
        SOFT_R(uint64_t, op->dst) =                                                   \
            crc32c(SOFT_R(uint32_t, op->dst), SOFT_R(uint##bits##_t, op->src), bits); \
        SOFT_NEXT;                                                                    \
    }                                                                                 \
    static SOFT_HANDLER(crc32_##bits##_m)                                             \
    {                                                                                 \
        uint64_t data = soft_read##bits(cpu, op, soft_address(cpu, op));              \
        SOFT_R(uint64_t, op->dst) = crc32c(SOFT_R(uint32_t, op->dst), data, bits);    \
        SOFT_NEXT;                                                                    \
    }
DEFINE_CRC32(8)
DEFINE_CRC32(16)
DEFINE_CRC32(32)
DEFINE_CRC32(64)

soft_handler *const soft_crc32[4][2] = {{crc32_8_r, crc32_8_m},
                                        {crc32_16_r, crc32_16_m},
                                        {crc32_32_r, crc32_32_m},
                                        {crc32_64_r, crc32_64_m}};

/* NOLINTEND(bugprone-macro-parentheses) */
