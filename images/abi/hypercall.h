/* SPDX-License-Identifier: MIT */
/*
 * What a guest may ask of the hypervisor. docs/hypercalls.md explains it for people.
 *
 * HVC #0 and SMC #0 follow Arm's SMC Calling Convention (DEN 0028): function id in r0, arguments
 * in r1..r3, result in r0. PSCI (DEN 0022) uses it. An unknown function returns -1. HVC with any
 * other immediate is an undefined instruction to the guest.
 */
#ifndef ABI_HYPERCALL_H
#define ABI_HYPERCALL_H

/* Vendor-specific hypervisor service, fast calls (DEN 0028, table 2.1). */
#define HVC_VENDOR_NULL 0x86000000u  /* does nothing, returns 0: measures a trap */
#define HVC_VENDOR_YIELD 0x86000001u /* lets an equal vCPU of this core run, returns 0 */

#define PSCI_VERSION 0x84000000u
#define PSCI_CPU_SUSPEND 0x84000001u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0x84000003u
#define PSCI_AFFINITY_INFO 0x84000004u
#define PSCI_MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u
#define PSCI_FEATURES 0x8400000au

#define PSCI_SUCCESS 0
#define PSCI_NOT_SUPPORTED (-1)
#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_DENIED (-3)
#define PSCI_ALREADY_ON (-4)

#endif
