/* SPDX-License-Identifier: MIT */
/*
 * Names and accessors of the system registers that the hypervisor uses (Arm ARM DDI 0406C, B4).
 * A register keeps its name from the manual. Nothing here has a policy.
 */
#ifndef CP15_H
#define CP15_H

#include <stdint.h>

/* name, opc1, CRn, CRm, opc2 of the 32-bit registers that belong to a guest (EL1 and EL0). */
#define GUEST_REGS32(X)          \
    X(SCTLR, 0, c1, c0, 0)       \
    X(CPACR, 0, c1, c0, 2)       \
    X(TTBCR, 0, c2, c0, 2)       \
    X(DACR, 0, c3, c0, 0)        \
    X(DFSR, 0, c5, c0, 0)        \
    X(IFSR, 0, c5, c0, 1)        \
    X(ADFSR, 0, c5, c1, 0)       \
    X(AIFSR, 0, c5, c1, 1)       \
    X(DFAR, 0, c6, c0, 0)        \
    X(IFAR, 0, c6, c0, 2)        \
    X(PRRR, 0, c10, c2, 0)       \
    X(NMRR, 0, c10, c2, 1)       \
    X(AMAIR0, 0, c10, c3, 0)     \
    X(AMAIR1, 0, c10, c3, 1)     \
    X(VBAR, 0, c12, c0, 0)       \
    X(CONTEXTIDR, 0, c13, c0, 1) \
    X(TPIDRURW, 0, c13, c0, 2)   \
    X(TPIDRURO, 0, c13, c0, 3)   \
    X(TPIDRPRW, 0, c13, c0, 4)   \
    X(CSSELR, 2, c0, c0, 0)      \
    X(CNTKCTL, 0, c14, c1, 0)

/* name, opc1, CRm of the 64-bit ones. */
#define GUEST_REGS64(X) \
    X(TTBR0, 0, c2)     \
    X(TTBR1, 1, c2)     \
    X(PAR, 0, c7)

/* Registers that are banked by mode, reached with MRS/MSR (banked register). */
#define GUEST_BANKED(X)                                                                          \
    X(sp_usr) X(sp_svc) X(lr_svc) X(spsr_svc) X(sp_abt) X(lr_abt) X(spsr_abt) X(sp_und)          \
    X(lr_und) X(spsr_und) X(sp_irq) X(lr_irq) X(spsr_irq) X(r8_fiq) X(r9_fiq) X(r10_fiq)         \
    X(r11_fiq) X(r12_fiq) X(sp_fiq) X(lr_fiq) X(spsr_fiq)

#define DEFINE_CP15_32(name, opc1, crn, crm, opc2)                                       \
    static inline uint32_t read_##name(void)                                             \
    {                                                                                    \
        uint32_t v;                                                                      \
        __asm__ volatile("mrc p15, " #opc1 ", %0, " #crn ", " #crm ", " #opc2 : "=r"(v)); \
        return v;                                                                        \
    }                                                                                    \
    static inline void write_##name(uint32_t v)                                          \
    {                                                                                    \
        __asm__ volatile("mcr p15, " #opc1 ", %0, " #crn ", " #crm ", " #opc2 ::"r"(v)   \
                         : "memory");                                                    \
    }

#define DEFINE_CP15_64(name, opc1, crm)                                                    \
    static inline uint64_t read_##name(void)                                               \
    {                                                                                      \
        uint64_t v;                                                                        \
        __asm__ volatile("mrrc p15, " #opc1 ", %Q0, %R0, " #crm : "=r"(v));                \
        return v;                                                                          \
    }                                                                                      \
    static inline void write_##name(uint64_t v)                                            \
    {                                                                                      \
        __asm__ volatile("mcrr p15, " #opc1 ", %Q0, %R0, " #crm ::"r"(v) : "memory");      \
    }

GUEST_REGS32(DEFINE_CP15_32)
GUEST_REGS64(DEFINE_CP15_64)

DEFINE_CP15_32(MIDR, 0, c0, c0, 0)
DEFINE_CP15_32(MPIDR, 0, c0, c0, 5)
DEFINE_CP15_32(VPIDR, 4, c0, c0, 0)
DEFINE_CP15_32(VMPIDR, 4, c0, c0, 5)
DEFINE_CP15_32(HSCTLR, 4, c1, c0, 0)
DEFINE_CP15_32(HCR, 4, c1, c1, 0)
DEFINE_CP15_32(HDCR, 4, c1, c1, 1)
DEFINE_CP15_32(HCPTR, 4, c1, c1, 2)
DEFINE_CP15_32(HSTR, 4, c1, c1, 3)
DEFINE_CP15_32(HTCR, 4, c2, c0, 2)
DEFINE_CP15_32(VTCR, 4, c2, c1, 2)
DEFINE_CP15_32(HSR, 4, c5, c2, 0)
DEFINE_CP15_32(HDFAR, 4, c6, c0, 0)
DEFINE_CP15_32(HIFAR, 4, c6, c0, 2)
DEFINE_CP15_32(HPFAR, 4, c6, c0, 4)
DEFINE_CP15_32(HMAIR0, 4, c10, c2, 0)
DEFINE_CP15_32(HMAIR1, 4, c10, c2, 1)
DEFINE_CP15_32(HVBAR, 4, c12, c0, 0)
DEFINE_CP15_32(HTPIDR, 4, c13, c0, 2)
DEFINE_CP15_64(HTTBR, 4, c2)
DEFINE_CP15_64(VTTBR, 6, c2)

DEFINE_CP15_32(CNTFRQ, 0, c14, c0, 0)
DEFINE_CP15_32(CNTV_CTL, 0, c14, c3, 1)
DEFINE_CP15_32(CNTP_CTL, 0, c14, c2, 1)
DEFINE_CP15_32(CNTHP_CTL, 4, c14, c2, 1)
DEFINE_CP15_32(CNTHCTL, 4, c14, c1, 0)
DEFINE_CP15_64(CNTPCT, 0, c14)
DEFINE_CP15_64(CNTV_CVAL, 3, c14)
DEFINE_CP15_64(CNTP_CVAL, 2, c14)
DEFINE_CP15_64(CNTHP_CVAL, 6, c14)
DEFINE_CP15_64(CNTVOFF, 4, c14)

#define DEFINE_BANKED(name)                                                       \
    static inline uint32_t read_##name(void)                                      \
    {                                                                             \
        uint32_t v;                                                               \
        __asm__ volatile(".arch_extension virt\n mrs %0, " #name : "=r"(v));      \
        return v;                                                                 \
    }                                                                             \
    static inline void write_##name(uint32_t v)                                   \
    {                                                                             \
        __asm__ volatile(".arch_extension virt\n msr " #name ", %0" ::"r"(v));    \
    }

GUEST_BANKED(DEFINE_BANKED)

static inline void isb(void)
{
    __asm__ volatile("isb" ::: "memory");
}

static inline void dsb(void)
{
    __asm__ volatile("dsb" ::: "memory");
}

static inline void wfi(void)
{
    __asm__ volatile("dsb\n wfi" ::: "memory");
}

#define HCR_VM (1u << 0)
#define HCR_SWIO (1u << 1)
#define HCR_FMO (1u << 3)
#define HCR_IMO (1u << 4)
#define HCR_AMO (1u << 5)
#define HCR_TWI (1u << 13)
#define HCR_TWE (1u << 14)
#define HCR_TSC (1u << 19)
#define HCR_TIDCP (1u << 20)
#define HCR_TAC (1u << 21)

#define HCPTR_VFP ((1u << 10) | (1u << 11) | (1u << 15)) /* cp10, cp11, Advanced SIMD */
#define HCPTR_OTHERS ((1u << 20) | 0x33ffu)              /* trace, cp0-9, cp12, cp13 */

#define HDCR_TPMCR (1u << 5)
#define HDCR_TPM (1u << 6)
#define HDCR_TDA (1u << 9)
#define HDCR_TDOSA (1u << 10)
#define HDCR_TDRA (1u << 11)

#define CPSR_MODE 0x1fu
#define CPSR_T (1u << 5)
#define CPSR_F (1u << 6)
#define CPSR_I (1u << 7)
#define CPSR_A (1u << 8)
#define CPSR_E (1u << 9)
#define CPSR_IT 0x0600fc00u
#define CPSR_J (1u << 24)
#define CPSR_Q (1u << 27)
#define MODE_SVC 0x13u
#define MODE_ABT 0x17u
#define MODE_UND 0x1bu

#define TIMER_ENABLE 1u
#define TIMER_IMASK 2u

/* `access` of the mode whose banked registers there are in this state; System mode has none. */
#define BY_MODE(cpsr, access)     \
    switch ((cpsr) & CPSR_MODE) { \
    case 0x11: access(fiq);       \
    case 0x12: access(irq);       \
    case 0x13: access(svc);       \
    case 0x17: access(abt);       \
    case 0x1b: access(und);       \
    default: break;               \
    }

#endif
