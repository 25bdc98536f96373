/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's data and the interface of each file. Reading order: entry.S, main.c, vm.c,
 * sched.c, trap.c, vgic.c; then trace.c and emulate.c.
 *
 * Ownership: a vCPU's registers and virtual CPU interface belong to the core it is pinned to.
 * What another core may touch (interrupt state, power state) is protected by its VM's lock; the
 * other core then sends IPI_KICK. Hyp mode runs with interrupts masked, always.
 */
#ifndef HYPERVISOR_H
#define HYPERVISOR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cp15.h"
#include "trace.h"
#include "vm_config.h"

#define PAGE_BYTES 4096u
#define BLOCK_BYTES 0x200000u
#define SECTION_BYTES 0x100000u
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define NO_DEADLINE UINT64_MAX

/* Interrupt ids (GIC architecture 2.0; private ones as wired on the virt board). */
#define IPI_KICK 0u
#define PPI_MAINTENANCE 25u
#define PPI_HYP_TIMER 26u
#define PPI_VTIMER 27u
#define PPI_PTIMER 30u
#define PRIVATE_IRQS 32u
#define MAX_IRQS 288u
#define IRQ_SPURIOUS 1023u

#define LR_COUNT 4u
#define LR_NONE 0xffu

struct spinlock {
    uint32_t held;
};

/* One interrupt of a VM, or of one vCPU when private. */
struct virq {
    uint8_t priority;
    uint8_t targets; /* mask of vCPUs; SPIs only */
    uint8_t lr;      /* list register of the vCPU it was last put in, or LR_NONE */
    bool enabled;
    bool pending;    /* latched, not in a list register */
    bool line;       /* level of an emulated device */
    bool edge;
    uint8_t sources; /* SGI: mask of vCPUs that sent it and were not yet delivered */
    uint16_t phys;   /* interrupt of the board behind it; 0: none */
};

/* Virtual CPU interface: the hardware's registers while switched out, and what waits for one. */
struct vgic_cpu {
    uint32_t lr[LR_COUNT];
    uint16_t lr_irq[LR_COUNT]; /* irq of each list register, IRQ_SPURIOUS: free */
    uint32_t apr;
    uint32_t vmcr;
    uint32_t waiting[MAX_IRQS / 32]; /* pending and enabled, but in no list register */
    bool any_waiting;
    struct virq irq[PRIVATE_IRQS];
};

struct guest_regs {
#define X(name, ...) uint32_t name;
    GUEST_REGS32(X)
    GUEST_BANKED(X)
#undef X
#define X(name, ...) uint64_t name;
    GUEST_REGS64(X)
#undef X
    uint64_t cntv_cval;
    uint64_t cntp_cval;
    uint32_t cntv_ctl;
    uint32_t cntp_ctl;
};

struct vfp_regs {
    uint64_t d[32];
    uint32_t fpscr;
    uint32_t fpexc;
};

struct vm;

struct vcpu {
    /* entry.S stores these; the order is its own, asserted in vcpu.c. */
    uint32_t r[13];
    uint32_t lr_usr;
    /* What else can be an operand while an instruction is emulated: enum emulate_register. */
    uint32_t sp, lr, pc_operand, zero, nowhere;
    uint32_t pc;
    uint32_t cpsr;
    /* Of its VM, for probe.S and record.S. */
    uint32_t probe_key; /* state and vm of a trace_probe that is armed in it */
    uint32_t ram_ipa, ram_bytes, ram_pa;
    uint32_t index;  /* in its VM; the guest's MPIDR */
    uint32_t origin; /* record.S: kind, cpu and vm of its records of probes */
    /*
     * record.S: what it looked up last with these registers, and with what a section's entry was then;
     * and the page that the hit at hand has looked up.
     */
    uint32_t looked_up_with[3]; /* SCTLR, TTBR0, DACR; TTBCR is 0 */
    struct {
        uint32_t number, entry_pa, entry, pa;
    } section[2];
    uint32_t page[3]; /* start, reach, pa */

    struct vm *vm;
    struct vcpu *next_on_core;
    uint32_t core;
    uint32_t priority;
    bool powered;  /* PSCI on; under the VM's lock */
    bool blocked;  /* in WFI; owned by the core */
    bool loaded;   /* its registers are in the core */
    bool fresh;    /* to be reset before it runs next, with these: */
    uint32_t entry_pc; /* bit 0: Thumb */
    uint32_t entry_r[3];
    struct guest_regs regs;
    struct vgic_cpu vgic;
    struct vfp_regs vfp;
};

enum vm_state { VM_RUNNING, VM_RESETTING, VM_STOPPED };

struct pl011 {
    const struct hv_device *device;
    uint32_t port; /* of the serial card */
    uint32_t cr, imsc, ris, lcr_h, ibrd, fbrd, ifls;
    uint8_t rx[16];
    uint32_t rx_head, rx_count;
};

struct vm {
    const struct hv_vm *config;
    uint32_t id; /* VMID - 1 */
    uint32_t ram_ipa, ram_bytes, ram_pa; /* of config, below 4 GiB */
    struct spinlock lock;
    enum vm_state state;
    uint64_t vttbr;
    uint32_t gicd_ctlr;
    struct virq spi[MAX_IRQS - PRIVATE_IRQS];
    struct vcpu vcpu[HV_MAX_VCPUS];
    struct pl011 uart;
};

struct core {
    void *stack_top; /* entry.S: offset 0 */
    uint32_t id;     /* the TCG plugin reads it through HTPIDR: offset 4 */
    struct trace_probe *probes; /* probe.S: offset 8 */
    struct vcpu *current;
    struct trace_ring *ring; /* record.S: offset 16 */
    uint32_t room; /* record.S: of the ring when it is empty; 0 while `lost` is not */
    uint32_t lost; /* records that a TRACE_LOSS has still to tell of */
    struct vcpu *vfp_owner;
    struct vcpu *vcpus; /* those pinned here, highest priority first */
    uint64_t slice_end;
    uint32_t hcr;
    bool shared;     /* more than one vCPU: WFI and WFE trap, registers move */
    bool resched;
    volatile bool online;
    bool recheck; /* HV_FLAG_RECHECK_IRQS */
};

static inline bool vm_ram_pa(const struct vm *vm, uint32_t ipa, uint32_t *pa)
{
    uint32_t offset = ipa - vm->ram_ipa;

    *pa = vm->ram_pa + offset;
    return offset < vm->ram_bytes;
}

static inline struct core *this_core(void)
{
    uint32_t v;

    __asm__("mrc p15, 4, %0, c13, c0, 2" : "=r"(v));
    return (struct core *)v;
}

static inline uint32_t mmio_read(uint32_t pa)
{
    return *(volatile uint32_t *)pa;
}

static inline void mmio_write(uint32_t pa, uint32_t v)
{
    *(volatile uint32_t *)pa = v;
}

/* main.c */
extern struct core cores[HV_MAX_VCPUS];
const struct hv_config *config(void);
void core_main(struct core *core) __attribute__((noreturn));
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void hyp_fault(const char *what, uint32_t pc, uint32_t lr) __attribute__((noreturn));

/* console.c: the hypervisor's log and the ports of the serial card */
int console_init(void);
void format_line(char *out, size_t bytes, const char *format, va_list args);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
void serial_put(uint32_t port, uint8_t byte);
int serial_get(uint32_t port);
void serial_enable_rx(uint32_t port);
uint32_t serial_irq(void);

/* gic.c: the board's GIC */
void gic_init(void);
void gic_core_init(void);
void gic_enable(uint32_t irq, uint32_t core);
void gic_disable(uint32_t irq);
void gic_set_active(uint32_t irq, bool active);
void gic_send_ipi(uint32_t core);
uint32_t gic_acknowledge(void);
void gic_drop(uint32_t iar);
void gic_deactivate(uint32_t iar);

/* mm.c: translation tables */
void mm_init(void);
void mm_core_init(void);
void stage2_init(struct vm *vm);
void stage2_map(struct vm *vm, uint64_t ipa, uint64_t pa, uint64_t bytes, bool device);
void mm_sync_code(uint32_t pa, uint32_t bytes);

/* vm.c: VMs made from the description, started, stopped, reset */
extern struct vm vms[HV_MAX_VMS];
void vms_init(void);
void vm_stop(struct vm *vm, const char *reason);
void vm_reset(struct vm *vm);
bool vm_finish_reset(struct vm *vm);

/* vcpu.c: registers in and out of the core */
void vcpu_reset(struct vcpu *vcpu);
void vcpu_save(struct vcpu *vcpu);
void vcpu_load(struct vcpu *vcpu);
void vcpu_vfp_trap(struct vcpu *vcpu);
uint64_t vcpu_deadline(const struct vcpu *vcpu);
uint32_t reg_read(struct vcpu *vcpu, uint32_t n);
void reg_write(struct vcpu *vcpu, uint32_t n, uint32_t value);
void vcpu_it_advance(struct vcpu *vcpu);

/* sched.c */
void sched_add(struct vcpu *vcpu);
struct vcpu *schedule(void);
void sched_tick(void);
void sched_block(struct vcpu *vcpu);
void sched_yield(void);
void sched_kick(struct vcpu *vcpu);
uint64_t sched_slice_ticks(void);

/* vgic.c: interrupts of a VM */
void vgic_reset(struct vm *vm);
void vgic_save(struct vcpu *vcpu);
void vgic_load(struct vcpu *vcpu);
void vgic_inject_private(struct vcpu *vcpu, uint32_t irq);
bool vgic_inject_physical(uint32_t phys);
void vgic_set_line(struct vm *vm, uint32_t irq, bool high);
void vgic_maintenance(struct vcpu *vcpu);
void vgic_flush(struct vcpu *vcpu);
bool vgic_has_work(struct vcpu *vcpu);
void vgic_update(struct vm *vm, struct vcpu *owner, uint32_t irq);
struct virq *vgic_irq(struct vm *vm, struct vcpu *vcpu, uint32_t irq);
void vgic_own(struct vm *vm, uint32_t irq, uint32_t phys);
void vgic_collect(struct vcpu *vcpu);
uint32_t vgic_lr_state(struct vcpu *vcpu, const struct virq *virq, uint32_t irq);
void vgic_clear_lr(struct vcpu *vcpu, struct virq *virq, uint32_t irq, uint32_t state);
bool vgic_recall(struct vcpu *vcpu, struct virq *virq);
struct vcpu *vgic_target(struct vm *vm, const struct virq *virq);

/* vgic_mmio.c: the emulated distributor */
bool gicd_access(struct vcpu *vcpu, uint32_t offset, uint32_t bytes, bool write, uint32_t *value);

/* pl011.c: an emulated UART */
void pl011_init(struct vm *vm, const struct hv_device *device);
bool pl011_access(struct vm *vm, uint32_t offset, bool write, uint32_t *value);
void pl011_poll(void);

/* inject.c: exceptions given to a guest */
void inject_undefined(struct vcpu *vcpu);
void inject_data_abort(struct vcpu *vcpu, uint32_t va, bool write);
void inject_data_fault(struct vcpu *vcpu, uint32_t va, uint32_t dfsr);
void inject_prefetch_abort(struct vcpu *vcpu, uint32_t va);

/* psci.c */
void smccc_call(struct vcpu *vcpu);

/* guest_memory.c: a guest's memory as the guest sees it */
enum guest_access { GUEST_READ, GUEST_WRITE, GUEST_READ_USER, GUEST_WRITE_USER };
/* A stretch of guest memory that was looked up: a page, or a section. bytes 0: none yet. */
struct guest_stretch {
    uint32_t va, bytes, pa;
};
/* The stretches looked up last: a section, and pages by their number. */
#define READER_PAGES 4u
struct guest_reader {
    const struct vm *vm;
    struct guest_stretch section;
    struct guest_stretch page[READER_PAGES];
};

static inline void guest_reader_init(struct guest_reader *reader, const struct vm *vm)
{
    reader->vm = vm;
    reader->section.bytes = 0;
    for (uint32_t i = 0; i < READER_PAGES; i++)
        reader->page[i].bytes = 0;
}

const struct guest_stretch *guest_lookup(struct guest_reader *reader, uint32_t va);

/* Where [va, va + bytes) lies; NULL: not in one page that can be read. bytes: at most a page. */
static inline const void *guest_find(struct guest_reader *reader, uint32_t va, uint32_t bytes)
{
    const struct guest_stretch *in = &reader->section;

    if (va - in->va >= in->bytes) {
        in = &reader->page[va / PAGE_BYTES % READER_PAGES];
        if (va - in->va >= in->bytes) {
            in = guest_lookup(reader, va);
            if (!in)
                return NULL;
        }
    }
    return va - in->va <= in->bytes - bytes ? (const void *)(in->pa + (va - in->va)) : NULL;
}

bool guest_pa(const struct vm *vm, uint32_t va, enum guest_access how, uint32_t *pa);
bool guest_strict(uint32_t va, enum guest_access how);
bool guest_read(void *reader, uint32_t va, void *to, uint32_t bytes);
bool guest_abort(struct vcpu *vcpu, uint32_t va, enum guest_access how, uint32_t *ipa);
void guest_alignment_fault(struct vcpu *vcpu, uint32_t va, enum guest_access how);

/* trace.c: the trace service; emulate.c: what a probe's HVC has displaced */
struct emulation_operand;
void trace_init(void);
void trace_core_init(struct core *core);
struct vcpu *trace_hvc(struct vcpu *vcpu, uint32_t imm);
void trace_record(struct vcpu *vcpu, struct trace_probe *probe, struct core *core);
void trace_fetch(struct vcpu *vcpu, const struct trace_probe *probe, struct trace_record *record);
void trace_vcpu_init(struct vcpu *vcpu);
void trace_hit(struct vcpu *vcpu, struct trace_probe *probe, struct core *core);
void trace_event(enum trace_kind kind, const struct vcpu *vcpu, uint32_t id, uint32_t word);
void trace_switch(const struct vcpu *old, const struct vcpu *next);
void emulate(struct vcpu *vcpu, const struct trace_probe *probe);

static inline bool tracing(enum trace_kind kind)
{
    return ((const volatile struct trace_control *)HV_TRACE_PA)->events >> kind & 1;
}

/* trap.c: called by entry.S, answer the vCPU to go on with */
struct vcpu *trap_sync(struct vcpu *vcpu);
struct vcpu *trap_irq(struct vcpu *vcpu);
struct vcpu *trap_sync_traced(struct vcpu *vcpu);
struct vcpu *trap_irq_traced(struct vcpu *vcpu);
void irq_handle(struct vcpu *vcpu);
bool device_access(struct vcpu *vcpu, uint32_t va, uint32_t ipa, uint32_t bytes, bool write,
                   uint32_t *value);
void device_abort(struct vcpu *vcpu, uint32_t va, uint32_t ipa, bool write);

/* string.c */
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
void __aeabi_memclr4(void *to, size_t bytes);

/* entry.S */
extern char hyp_vectors[], secondary_start[];
void enter_guest(struct vcpu *vcpu) __attribute__((noreturn));
int32_t smc(uint32_t function, uint32_t a1, uint32_t a2, uint32_t a3);
void vfp_save(struct vfp_regs *regs);
void vfp_load(const struct vfp_regs *regs);

static inline void lock(struct spinlock *l)
{
    uint32_t tmp;

    __asm__ volatile("1: ldrex %0, [%1]\n"
                     "   teq %0, #0\n"
                     "   wfene\n"
                     "   strexeq %0, %2, [%1]\n"
                     "   teqeq %0, #0\n"
                     "   bne 1b\n"
                     "   dmb"
                     : "=&r"(tmp)
                     : "r"(&l->held), "r"(1)
                     : "cc", "memory");
}

static inline void unlock(struct spinlock *l)
{
    __asm__ volatile("dmb\n str %1, [%0]\n dsb\n sev" ::"r"(&l->held), "r"(0) : "memory");
}

#endif
