/* SPDX-License-Identifier: MIT */
/* Boot, in order, and the end of everything. */
#include <stdarg.h>

#include "hypercall.h"
#include "hypervisor.h"

struct core cores[HV_MAX_VCPUS];
const uint32_t core_bytes = sizeof(struct core); /* for entry.S */

_Static_assert(offsetof(struct core, stack_top) == 0, "entry.S");
_Static_assert(offsetof(struct core, id) == 4, "entry.S, probe.S and the plugin");

const struct hv_config *config(void)
{
    return (const struct hv_config *)HV_CONFIG_PA;
}

static void check_config(void)
{
    const struct hv_config *c = config();

    if (c->magic != HV_CONFIG_MAGIC)
        panic("no VM description at 0x%x", HV_CONFIG_PA);
    if (c->version != HV_CONFIG_VERSION || c->bytes != sizeof(*c))
        panic("VM description version %u, %u bytes; this hypervisor reads version %u, %u bytes",
              c->version, c->bytes, HV_CONFIG_VERSION, (uint32_t)sizeof(*c));
    if (c->core_count == 0 || c->core_count > HV_MAX_VCPUS || c->vm_count > HV_MAX_VMS)
        panic("VM description: %u cores, %u VMs", c->core_count, c->vm_count);
}

static void start_cores(void)
{
    for (uint32_t i = 1; i < config()->core_count; i++) {
        int32_t error = smc(PSCI_CPU_ON, i, (uint32_t)secondary_start, i);

        if (error)
            panic("core %u does not start: PSCI %d", i, error);
        while (!cores[i].online)
            ;
    }
}

static void trap_init(void)
{
    write_HSTR(0);
    write_HDCR((read_HDCR() & 0x1f) | HDCR_TPM | HDCR_TPMCR | HDCR_TDA | HDCR_TDOSA | HDCR_TDRA);
    write_CNTHCTL(3); /* a guest may use both counters and the physical timer: it is switched */
    write_CNTVOFF(0);
    write_CNTHP_CTL(0);
    write_CNTV_CTL(0);
    write_CNTP_CTL(0);
    write_VPIDR(read_MIDR());
    isb();
}

void core_main(struct core *core)
{
    core->id = (uint32_t)(core - cores);
    if (core->id == 0) {
        mm_init();
        mm_core_init();
        console_init();
        log_line("hv: ARMv7-A hypervisor, VM description version %u", HV_CONFIG_VERSION);
        check_config();
        trace_init();
        gic_init();
        vms_init();
    } else {
        mm_core_init();
    }
    trap_init();
    trace_core_init(core);
    gic_core_init();
    core->online = true;
    dsb();
    if (core->id == 0) {
        start_cores();
        log_line("hv: %u cores, %u VMs", config()->core_count, config()->vm_count);
    }
    enter_guest(schedule());
}

void panic(const char *format, ...)
{
    char text[128];
    va_list args;

    va_start(args, format);
    format_line(text, sizeof(text), format, args);
    va_end(args);
    log_line("hv: panic: %s", text);
    smc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        wfi();
}

void hyp_fault(const char *what, uint32_t pc, uint32_t lr)
{
    panic("%s at 0x%x, lr 0x%x, HSR 0x%x, HDFAR 0x%x", what, pc, lr, read_HSR(), read_HDFAR());
}
