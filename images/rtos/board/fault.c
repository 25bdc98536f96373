/* SPDX-License-Identifier: MIT */
/* The end of a run that went wrong: say where, show the registers, switch off. */
#include "board.h"

#include "cp15.h"
#include "ucos_ii.h"

#include <stddef.h>

static const char *const vector_names[] = {
    "jump to the reset vector", "undefined instruction", "unexpected SVC", "prefetch abort",
    "data abort",               "unused vector",         "IRQ",            "unexpected FIQ",
};

#define VECTOR_PREFETCH_ABORT 3u
#define VECTOR_DATA_ABORT 4u

static void line_reg(struct line *line, const char *name, uint32_t value)
{
    line_str(line, name);
    line_hex(line, value);
}

void OS_CPU_FaultHandler(const struct os_cpu_fault *fault)
{
    static const char *const names[13] = {"r0=",  " r1=", " r2=", " r3=", " r4=",  " r5=",  " r6=",
                                          " r7=", " r8=", " r9=", " r10=", " r11=", " r12="};
    static int faults;
    uint32_t vector = fault->vector / 4u;
    struct line line;

    if (faults++ > 0) { /* a fault while this one was reported: the report has to do */
        power_off();
    }
    line_begin(&line);
    line_str(&line, "fault: ");
    line_str(&line, vector_names[vector]);
    line_reg(&line, " at pc=", fault->pc);
    if (vector == VECTOR_DATA_ABORT) {
        line_reg(&line, " DFSR=", DFSR_read());
        line_reg(&line, " DFAR=", DFAR_read());
    } else if (vector == VECTOR_PREFETCH_ABORT) {
        line_reg(&line, " IFSR=", IFSR_read());
        line_reg(&line, " IFAR=", IFAR_read());
    }
    if (OSIntNesting > 0u) {
        line_str(&line, " in an interrupt");
    }
    if (OSRunning && OSTCBCur != NULL) {
        line_str(&line, " task=");
        line_str(&line, (const char *)OSTCBCur->OSTCBTaskName);
    }
    line_end(&line);

    line_begin(&line);
    for (uint32_t i = 0; i < 13u; i++) {
        line_reg(&line, names[i], fault->r[i]);
    }
    line_end(&line);
    line_begin(&line);
    line_reg(&line, "sp=", fault->sp);
    line_reg(&line, " lr=", fault->lr);
    line_reg(&line, " pc=", fault->pc);
    line_reg(&line, " cpsr=", fault->cpsr);
    line_end(&line);
    power_off();
}
