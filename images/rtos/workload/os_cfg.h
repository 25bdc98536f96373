/* SPDX-License-Identifier: MIT */
/*
 * Sizes of the kernel's tables. The application owns this file; another one may put its own in
 * front of it in the include path.
 */
#ifndef OS_CFG_H
#define OS_CFG_H

#define OS_TICKS_PER_SEC 1000u

#define OS_LOWEST_PRIO 63u /* the idle task's priority; at most 63 */
#define OS_MAX_TASKS 32u   /* of the application: idle and statistics task come on top */
#define OS_MAX_EVENTS 64u  /* semaphores, mutexes, mailboxes and queues together */
#define OS_MAX_QS 16u
#define OS_MAX_FLAGS 16u
#define OS_MAX_MEM_PART 8u

#define OS_TASK_IDLE_STK_SIZE 256u /* in OS_STK entries */
#define OS_TASK_STAT_STK_SIZE 256u

#endif
