/* SPDX-License-Identifier: MIT */
/* What target/platform.c offers to target/test_port.c beyond t.h. */
#ifndef TARGET_PLATFORM_H
#define TARGET_PLATFORM_H

#include "board.h"
#include "t.h"

#define SGI_RUN 1u   /* plat_isr() */
#define SGI_OTHER 2u /* free for cases */

/* Makes a software generated interrupt pending for this core. */
void plat_raise(uint32_t intid);

int main(void);

#endif
