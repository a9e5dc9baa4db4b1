/* SPDX-License-Identifier: BSD-3-Clause */
/* Every lane once: X(instruction, lane, how two go together, and how MMX does it). */
#ifndef VISOR_SOFT_VECTOR_LANES_H
#define VISOR_SOFT_VECTOR_LANES_H

#include "soft/vector.h"

/* clang-format off */
#define SOFT_INTEGER_LANES(X)                   \
    X(PADDB, paddb, EACH, MMX_LOW)              \
    X(PADDW, paddw, EACH, MMX_LOW)              \
    X(PADDD, paddd, EACH, MMX_LOW)              \
    X(PADDQ, paddq, EACH, MMX_LOW)              \
    X(PSUBB, psubb, EACH, MMX_LOW)              \
    X(PSUBW, psubw, EACH, MMX_LOW)              \
    X(PSUBD, psubd, EACH, MMX_LOW)              \
    X(PSUBQ, psubq, EACH, MMX_LOW)              \
    X(PADDSB, paddsb, EACH, MMX_LOW)            \
    X(PADDSW, paddsw, EACH, MMX_LOW)            \
    X(PADDUSB, paddusb, EACH, MMX_LOW)          \
    X(PADDUSW, paddusw, EACH, MMX_LOW)          \
    X(PSUBSB, psubsb, EACH, MMX_LOW)            \
    X(PSUBSW, psubsw, EACH, MMX_LOW)            \
    X(PSUBUSB, psubusb, EACH, MMX_LOW)          \
    X(PSUBUSW, psubusw, EACH, MMX_LOW)          \
    X(PAND, pand, EACH, MMX_LOW)                \
    X(PANDN, pandn, EACH, MMX_LOW)              \
    X(POR, por, EACH, MMX_LOW)                  \
    X(PXOR, pxor, EACH, MMX_LOW)                \
    X(ANDPS, pand, EACH, NO_MMX)                \
    X(ANDPD, pand, EACH, NO_MMX)                \
    X(ANDNPS, pandn, EACH, NO_MMX)              \
    X(ANDNPD, pandn, EACH, NO_MMX)              \
    X(ORPS, por, EACH, NO_MMX)                  \
    X(ORPD, por, EACH, NO_MMX)                  \
    X(XORPS, pxor, EACH, NO_MMX)                \
    X(XORPD, pxor, EACH, NO_MMX)                \
    X(PCMPEQB, pcmpeqb, EACH, MMX_LOW)          \
    X(PCMPEQW, pcmpeqw, EACH, MMX_LOW)          \
    X(PCMPEQD, pcmpeqd, EACH, MMX_LOW)          \
    X(PCMPEQQ, pcmpeqq, EACH, NO_MMX)           \
    X(PCMPGTB, pcmpgtb, EACH, MMX_LOW)          \
    X(PCMPGTW, pcmpgtw, EACH, MMX_LOW)          \
    X(PCMPGTD, pcmpgtd, EACH, MMX_LOW)          \
    X(PCMPGTQ, pcmpgtq, EACH, NO_MMX)           \
    X(PMINUB, pminub, EACH, MMX_LOW)            \
    X(PMINUW, pminuw, EACH, NO_MMX)             \
    X(PMINUD, pminud, EACH, NO_MMX)             \
    X(PMINSB, pminsb, EACH, NO_MMX)             \
    X(PMINSW, pminsw, EACH, MMX_LOW)            \
    X(PMINSD, pminsd, EACH, NO_MMX)             \
    X(PMAXUB, pmaxub, EACH, MMX_LOW)            \
    X(PMAXUW, pmaxuw, EACH, NO_MMX)             \
    X(PMAXUD, pmaxud, EACH, NO_MMX)             \
    X(PMAXSB, pmaxsb, EACH, NO_MMX)             \
    X(PMAXSW, pmaxsw, EACH, MMX_LOW)            \
    X(PMAXSD, pmaxsd, EACH, NO_MMX)             \
    X(PAVGB, pavgb, EACH, MMX_LOW)              \
    X(PAVGW, pavgw, EACH, MMX_LOW)              \
    X(PMULLW, pmullw, EACH, MMX_LOW)            \
    X(PMULHW, pmulhw, EACH, MMX_LOW)            \
    X(PMULHUW, pmulhuw, EACH, MMX_LOW)          \
    X(PMULHRSW, pmulhrsw, EACH, MMX_LOW)        \
    X(PMULLD, pmulld, EACH, NO_MMX)             \
    X(PMULUDQ, pmuludq, EACH, MMX_LOW)          \
    X(PMULDQ, pmuldq, EACH, NO_MMX)             \
    X(PMADDWD, pmaddwd, EACH, MMX_LOW)          \
    X(PMADDUBSW, pmaddubsw, EACH, MMX_LOW)      \
    X(PSADBW, psadbw, EACH, MMX_LOW)            \
    X(MPSADBW, mpsadbw, EACH3, NO_MMX)           \
    X(PHMINPOSUW, phminposuw, EACH, NO_MMX)     \
    X(PHADDW, phaddw, EACH, MMX_JOIN)           \
    X(PHADDD, phaddd, EACH, MMX_JOIN)           \
    X(PHADDSW, phaddsw, EACH, MMX_JOIN)         \
    X(PHSUBW, phsubw, EACH, MMX_JOIN)           \
    X(PHSUBD, phsubd, EACH, MMX_JOIN)           \
    X(PHSUBSW, phsubsw, EACH, MMX_JOIN)         \
    X(PSIGNB, psignb, EACH, MMX_LOW)            \
    X(PSIGNW, psignw, EACH, MMX_LOW)            \
    X(PSIGND, psignd, EACH, MMX_LOW)            \
    X(PABSB, pabsb, EACH, MMX_LOW)              \
    X(PABSW, pabsw, EACH, MMX_LOW)              \
    X(PABSD, pabsd, EACH, MMX_LOW)              \
    X(PSLLW, psllw, COUNT, MMX_LOW)             \
    X(PSLLD, pslld, COUNT, MMX_LOW)             \
    X(PSLLQ, psllq, COUNT, MMX_LOW)             \
    X(PSRLW, psrlw, COUNT, MMX_LOW)             \
    X(PSRLD, psrld, COUNT, MMX_LOW)             \
    X(PSRLQ, psrlq, COUNT, MMX_LOW)             \
    X(PSRAW, psraw, COUNT, MMX_LOW)             \
    X(PSRAD, psrad, COUNT, MMX_LOW)             \
    X(VPSLLVD, vpsllvd, EACH, NO_MMX)           \
    X(VPSLLVQ, vpsllvq, EACH, NO_MMX)           \
    X(VPSRLVD, vpsrlvd, EACH, NO_MMX)           \
    X(VPSRLVQ, vpsrlvq, EACH, NO_MMX)           \
    X(VPSRAVD, vpsravd, EACH, NO_MMX)

#define SOFT_SHUFFLE_LANES(X)                   \
    X(PSLLDQ, pslldq, COUNT, NO_MMX)            \
    X(PSRLDQ, psrldq, COUNT, NO_MMX)            \
    X(PUNPCKLBW, punpcklbw, EACH, MMX_LOW)      \
    X(PUNPCKLWD, punpcklwd, EACH, MMX_LOW)      \
    X(PUNPCKLDQ, punpckldq, EACH, MMX_LOW)      \
    X(PUNPCKLQDQ, punpcklqdq, EACH, NO_MMX)     \
    X(PUNPCKHBW, punpckhbw, EACH, MMX_HIGH)     \
    X(PUNPCKHWD, punpckhwd, EACH, MMX_HIGH)     \
    X(PUNPCKHDQ, punpckhdq, EACH, MMX_HIGH)     \
    X(PUNPCKHQDQ, punpckhqdq, EACH, NO_MMX)     \
    X(UNPCKLPS, punpckldq, EACH, NO_MMX)        \
    X(UNPCKLPD, punpcklqdq, EACH, NO_MMX)       \
    X(UNPCKHPS, punpckhdq, EACH, NO_MMX)        \
    X(UNPCKHPD, punpckhqdq, EACH, NO_MMX)       \
    X(PACKSSWB, packsswb, EACH, MMX_JOIN)       \
    X(PACKSSDW, packssdw, EACH, MMX_JOIN)       \
    X(PACKUSWB, packuswb, EACH, MMX_JOIN)       \
    X(PACKUSDW, packusdw, EACH, NO_MMX)         \
    X(PSHUFB, pshufb, EACH, MMX_TWICE)          \
    X(PSHUFD, pshufd, EACH, NO_MMX)             \
    X(PSHUFLW, pshuflw, EACH, NO_MMX)           \
    X(PSHUFHW, pshufhw, EACH, NO_MMX)           \
    X(PSHUFW, pshuflw, EACH, MMX_LOW)           \
    X(SHUFPS, shufps, EACH, NO_MMX)             \
    X(SHUFPD, shufpd, EACH2, NO_MMX)            \
    X(PALIGNR, palignr, EACH, MMX_ALIGN)        \
    X(PBLENDW, pblendw, EACH, NO_MMX)           \
    X(BLENDPS, blendps, EACH4, NO_MMX)           \
    X(BLENDPD, blendpd, EACH2, NO_MMX)          \
    X(VPBLENDD, blendps, EACH4, NO_MMX)         \
    X(PINSRB, pinsrb, EACH, NO_MMX)             \
    X(PINSRW, pinsrw, EACH, MMX_LOW)            \
    X(PINSRD, pinsrd, EACH, NO_MMX)             \
    X(PINSRQ, pinsrq, EACH, NO_MMX)             \
    X(INSERTPS, insertps, EACH, NO_MMX)         \
    X(MOVDDUP, movddup, EACH, NO_MMX)           \
    X(MOVSLDUP, movsldup, EACH, NO_MMX)         \
    X(MOVSHDUP, movshdup, EACH, NO_MMX)         \
    X(MOVHLPS, movhlps, EACH, NO_MMX)           \
    X(MOVLHPS, punpcklqdq, EACH, NO_MMX)        \
    X(PMOVSXBW, pmovsxbw, WIDEN, NO_MMX)        \
    X(PMOVSXBD, pmovsxbd, WIDEN, NO_MMX)        \
    X(PMOVSXBQ, pmovsxbq, WIDEN, NO_MMX)        \
    X(PMOVSXWD, pmovsxwd, WIDEN, NO_MMX)        \
    X(PMOVSXWQ, pmovsxwq, WIDEN, NO_MMX)        \
    X(PMOVSXDQ, pmovsxdq, WIDEN, NO_MMX)        \
    X(PMOVZXBW, pmovzxbw, WIDEN, NO_MMX)        \
    X(PMOVZXBD, pmovzxbd, WIDEN, NO_MMX)        \
    X(PMOVZXBQ, pmovzxbq, WIDEN, NO_MMX)        \
    X(PMOVZXWD, pmovzxwd, WIDEN, NO_MMX)        \
    X(PMOVZXWQ, pmovzxwq, WIDEN, NO_MMX)        \
    X(PMOVZXDQ, pmovzxdq, WIDEN, NO_MMX)        \
    X(VPERMILPS, vpermilps, EACH, NO_MMX)       \
    X(VPERMILPD, vpermilpd, EACH, NO_MMX)       \
    X(VPBROADCASTB, vpbroadcastb, WIDEN, NO_MMX) \
    X(VPBROADCASTW, vpbroadcastw, WIDEN, NO_MMX) \
    X(VPBROADCASTD, vpbroadcastd, WIDEN, NO_MMX) \
    X(VPBROADCASTQ, movddup, WIDEN, NO_MMX)     \
    X(VBROADCASTSS, vpbroadcastd, WIDEN, NO_MMX) \
    X(VBROADCASTSD, movddup, WIDEN, NO_MMX)     \
    X(VBROADCASTF128, vbroadcast128, WIDEN, NO_MMX) \
    X(VBROADCASTI128, vbroadcast128, WIDEN, NO_MMX)
#define SOFT_CRYPTO_LANES(X)                    \
    X(AESENC, aesenc, EACH, NO_MMX)             \
    X(AESENCLAST, aesenclast, EACH, NO_MMX)     \
    X(AESDEC, aesdec, EACH, NO_MMX)             \
    X(AESDECLAST, aesdeclast, EACH, NO_MMX)     \
    X(AESIMC, aesimc, EACH, NO_MMX)             \
    X(AESKEYGENASSIST, aeskeygenassist, EACH, NO_MMX)\
    X(PCLMULQDQ, pclmulqdq, EACH, NO_MMX)       \
    X(SHA1NEXTE, sha1nexte, EACH, NO_MMX)       \
    X(SHA1MSG1, sha1msg1, EACH, NO_MMX)         \
    X(SHA1MSG2, sha1msg2, EACH, NO_MMX)         \
    X(SHA1RNDS4, sha1rnds4, EACH, NO_MMX)       \
    X(SHA256MSG1, sha256msg1, EACH, NO_MMX)     \
    X(SHA256MSG2, sha256msg2, EACH, NO_MMX)

#define SOFT_FLOAT_LANES(X)                     \
    X(ADDPS, addps, EACH)                       \
    X(ADDSS, addss, EACH)                       \
    X(ADDPD, addpd, EACH)                       \
    X(ADDSD, addsd, EACH)                       \
    X(SUBPS, subps, EACH)                       \
    X(SUBSS, subss, EACH)                       \
    X(SUBPD, subpd, EACH)                       \
    X(SUBSD, subsd, EACH)                       \
    X(MULPS, mulps, EACH)                       \
    X(MULSS, mulss, EACH)                       \
    X(MULPD, mulpd, EACH)                       \
    X(MULSD, mulsd, EACH)                       \
    X(DIVPS, divps, EACH)                       \
    X(DIVSS, divss, EACH)                       \
    X(DIVPD, divpd, EACH)                       \
    X(DIVSD, divsd, EACH)                       \
    X(MINPS, minps, EACH)                       \
    X(MINSS, minss, EACH)                       \
    X(MINPD, minpd, EACH)                       \
    X(MINSD, minsd, EACH)                       \
    X(MAXPS, maxps, EACH)                       \
    X(MAXSS, maxss, EACH)                       \
    X(MAXPD, maxpd, EACH)                       \
    X(MAXSD, maxsd, EACH)                       \
    X(SQRTPS, sqrtps, EACH)                     \
    X(SQRTSS, sqrtss, EACH)                     \
    X(SQRTPD, sqrtpd, EACH)                     \
    X(SQRTSD, sqrtsd, EACH)                     \
    X(CMPPS, cmpps, EACH)                       \
    X(CMPSS, cmpss, EACH)                       \
    X(CMPPD, cmppd, EACH)                       \
    X(CMPSD, cmpsd, EACH)                       \
    X(ROUNDPS, roundps, EACH)                   \
    X(ROUNDSS, roundss, EACH)                   \
    X(ROUNDPD, roundpd, EACH)                   \
    X(ROUNDSD, roundsd, EACH)                   \
    X(RCPPS, rcpps, EACH)                       \
    X(RCPSS, rcpss, EACH)                       \
    X(RSQRTPS, rsqrtps, EACH)                   \
    X(RSQRTSS, rsqrtss, EACH)                   \
    X(HADDPS, haddps, EACH)                     \
    X(HSUBPS, hsubps, EACH)                     \
    X(HADDPD, haddpd, EACH)                     \
    X(HSUBPD, hsubpd, EACH)                     \
    X(ADDSUBPS, addsubps, EACH)                 \
    X(ADDSUBPD, addsubpd, EACH)                 \
    X(DPPS, dpps, EACH)                         \
    X(DPPD, dppd, EACH)                         \
    X(CVTDQ2PS, cvtdq2ps, EACH)                 \
    X(CVTPS2DQ, cvtps2dq, EACH)                 \
    X(CVTTPS2DQ, cvttps2dq, EACH)               \
    X(CVTSS2SD, cvtss2sd, EACH)                 \
    X(CVTSD2SS, cvtsd2ss, EACH)                 \
    X(CVTSI2SS, cvtsi2ss, EACH)                 \
    X(CVTSI2SD, cvtsi2sd, EACH)                 \
    X(CVTPS2PD, cvtps2pd, WIDEN)                \
    X(CVTDQ2PD, cvtdq2pd, WIDEN)                \
    X(VCVTPH2PS, cvtph2ps, WIDEN)               \
    X(CVTPD2PS, cvtpd2ps, NARROW)               \
    X(CVTPD2DQ, cvtpd2dq, NARROW)               \
    X(CVTTPD2DQ, cvttpd2dq, NARROW)             \
    /* Of MMX: see soft_op_cvt_from_mmx. */     \
    X(CVTPI2PS, cvtpi2ps, EACH)                 \
    X(CVTPI2PD, cvtdq2pd, EACH)                 \
    X(CVTPS2PI, cvtps2pi, EACH)                 \
    X(CVTTPS2PI, cvttps2pi, EACH)               \
    X(CVTPD2PI, cvtpd2dq, EACH)                 \
    X(CVTTPD2PI, cvttpd2dq, EACH)
/* clang-format on */

#define SOFT_DECLARE_LANE(id, lane, kind, mmx) soft_lane soft_lane_##lane;
SOFT_INTEGER_LANES(SOFT_DECLARE_LANE)
SOFT_SHUFFLE_LANES(SOFT_DECLARE_LANE)
SOFT_CRYPTO_LANES(SOFT_DECLARE_LANE)
#undef SOFT_DECLARE_LANE
#define SOFT_DECLARE_LANE(id, lane, kind) soft_float_lane soft_float_lane_##lane;
SOFT_FLOAT_LANES(SOFT_DECLARE_LANE)
#undef SOFT_DECLARE_LANE
soft_float_lane soft_float_lane_cvtps2ph;
/* The state in a and b, words with constants. */
soft_v128 soft_sha256_rounds(soft_v128 a, soft_v128 b, soft_v128 words);

/* Those that only some encodings of an instruction are. */
soft_lane soft_lane_vpermilpd_imm;
soft_lane soft_lane_movss, soft_lane_movsd, soft_lane_movhps;

#endif
