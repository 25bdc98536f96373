/* SPDX-License-Identifier: MIT */
/* What the port's files share; the kernel sees os_cpu.h only. */
#ifndef PORT_H
#define PORT_H

void mmu_init(void); /* called by start.S, with the MMU off */
int main(void);      /* the application; does not return */

#endif
