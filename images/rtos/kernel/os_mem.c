/* SPDX-License-Identifier: MIT */
/* Memory partitions: blocks of one size; a free block's first word links to the next. */
#include "os_internal.h"

static OS_MEM mem_tbl[OS_MAX_MEM_PART];
static INT32U mem_used; /* partitions are never given back */

void OS_MemInit(void)
{
    OS_Clear(mem_tbl, sizeof(mem_tbl));
    mem_used = 0u;
}

static void link_blocks(void *addr, INT32U nblks, INT32U blksize)
{
    INT8U *block = addr;

    for (INT32U i = 1u; i < nblks; i++) {
        *(void **)(void *)block = block + blksize;
        block += blksize;
    }
    *(void **)(void *)block = NULL;
}

OS_MEM *OSMemCreate(void *addr, INT32U nblks, INT32U blksize, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_MEM *pmem = NULL;

    if (perr == NULL) {
        return NULL;
    }
    if (addr == NULL || (uintptr_t)addr % sizeof(void *) != 0u) {
        *perr = OS_ERR_MEM_INVALID_ADDR;
        return NULL;
    }
    if (nblks < 2u) {
        *perr = OS_ERR_MEM_INVALID_BLKS;
        return NULL;
    }
    if (blksize < sizeof(void *) || blksize % sizeof(void *) != 0u) {
        *perr = OS_ERR_MEM_INVALID_SIZE;
        return NULL;
    }
    OS_ENTER_CRITICAL();
    if (mem_used < OS_MAX_MEM_PART) {
        pmem = &mem_tbl[mem_used++];
    }
    OS_EXIT_CRITICAL();
    if (pmem == NULL) {
        *perr = OS_ERR_MEM_INVALID_PART;
        return NULL;
    }
    link_blocks(addr, nblks, blksize);
    pmem->OSMemAddr = addr;
    pmem->OSMemFreeList = addr;
    pmem->OSMemNFree = nblks;
    pmem->OSMemNBlks = nblks;
    pmem->OSMemBlkSize = blksize;
    pmem->OSMemName = (INT8U *)"?";
    *perr = OS_ERR_NONE;
    return pmem;
}

void *OSMemGet(OS_MEM *pmem, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    void *pblk;

    if (perr == NULL) {
        return NULL;
    }
    if (pmem == NULL) {
        *perr = OS_ERR_MEM_INVALID_PMEM;
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pblk = pmem->OSMemFreeList;
    if (pblk != NULL) {
        pmem->OSMemFreeList = *(void **)pblk;
        pmem->OSMemNFree--;
    }
    OS_EXIT_CRITICAL();
    *perr = pblk != NULL ? OS_ERR_NONE : OS_ERR_MEM_NO_FREE_BLKS;
    return pblk;
}

INT8U OSMemPut(OS_MEM *pmem, void *pblk)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_ERR_NONE;

    if (pmem == NULL) {
        return OS_ERR_MEM_INVALID_PMEM;
    }
    if (pblk == NULL) {
        return OS_ERR_MEM_INVALID_PBLK;
    }
    OS_ENTER_CRITICAL();
    if (pmem->OSMemNFree >= pmem->OSMemNBlks) {
        err = OS_ERR_MEM_FULL;
    } else {
        *(void **)pblk = pmem->OSMemFreeList;
        pmem->OSMemFreeList = pblk;
        pmem->OSMemNFree++;
    }
    OS_EXIT_CRITICAL();
    return err;
}

INT8U OSMemQuery(OS_MEM *pmem, OS_MEM_DATA *p_mem_data)
{
    OS_CPU_SR cpu_sr;

    if (pmem == NULL) {
        return OS_ERR_MEM_INVALID_PMEM;
    }
    if (p_mem_data == NULL) {
        return OS_ERR_MEM_INVALID_PDATA;
    }
    OS_ENTER_CRITICAL();
    p_mem_data->OSAddr = pmem->OSMemAddr;
    p_mem_data->OSFreeList = pmem->OSMemFreeList;
    p_mem_data->OSBlkSize = pmem->OSMemBlkSize;
    p_mem_data->OSNBlks = pmem->OSMemNBlks;
    p_mem_data->OSNFree = pmem->OSMemNFree;
    p_mem_data->OSNUsed = pmem->OSMemNBlks - pmem->OSMemNFree;
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}

INT8U OSMemNameGet(OS_MEM *pmem, INT8U **pname, INT8U *perr)
{
    INT8U length = 0u;

    if (perr == NULL) {
        return 0u;
    }
    if (pmem == NULL) {
        *perr = OS_ERR_MEM_INVALID_PMEM;
    } else if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_GET_ISR;
    } else {
        *pname = pmem->OSMemName;
        while ((*pname)[length] != 0u && length < 255u) {
            length++;
        }
        *perr = OS_ERR_NONE;
    }
    return length;
}

void OSMemNameSet(OS_MEM *pmem, INT8U *pname, INT8U *perr)
{
    if (perr == NULL) {
        return;
    }
    if (pmem == NULL) {
        *perr = OS_ERR_MEM_INVALID_PMEM;
    } else if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_SET_ISR;
    } else {
        pmem->OSMemName = pname;
        *perr = OS_ERR_NONE;
    }
}
