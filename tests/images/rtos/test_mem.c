/* SPDX-License-Identifier: MIT */
/* Memory partitions: OSMem*(). */
#include "t.h"

#define BLOCKS 5u
#define BLOCK_BYTES 32u /* a multiple of a pointer's size on host and target */

static union {
    void *align;
    INT8U bytes[BLOCKS * BLOCK_BYTES];
} area;

static OS_MEM *isr_mem;

static OS_MEM *new_partition(void)
{
    INT8U err;
    OS_MEM *mem = OSMemCreate(area.bytes, BLOCKS, BLOCK_BYTES, &err);

    CHECK_EQ(err, OS_ERR_NONE);
    CHECK(mem != (OS_MEM *)0);
    return mem;
}

static void check_counts(OS_MEM *mem, INT32U is_free)
{
    OS_MEM_DATA data;

    CHECK_EQ(OSMemQuery(mem, &data), OS_ERR_NONE);
    CHECK_PTR(data.OSAddr, area.bytes);
    CHECK_EQ(data.OSBlkSize, BLOCK_BYTES);
    CHECK_EQ(data.OSNBlks, BLOCKS);
    CHECK_EQ(data.OSNFree, is_free);
    CHECK_EQ(data.OSNUsed, BLOCKS - is_free);
}

TEST(mem_every_block_once)
{
    INT8U err;
    INT8U *block[BLOCKS];
    OS_MEM *mem = new_partition();

    check_counts(mem, BLOCKS);
    for (INT32U i = 0; i < BLOCKS; i++) {
        block[i] = OSMemGet(mem, &err);
        CHECK_EQ(err, OS_ERR_NONE);
        CHECK(block[i] >= area.bytes && block[i] < area.bytes + sizeof area.bytes);
        CHECK_EQ((unsigned long)(block[i] - area.bytes) % BLOCK_BYTES, 0);
        for (INT32U j = 0; j < i; j++) {
            CHECK(block[i] != block[j]);
        }
        for (INT32U j = 0; j < BLOCK_BYTES; j++) {
            block[i][j] = (INT8U)(0xf0u + i); /* the whole block belongs to its user */
        }
        check_counts(mem, BLOCKS - 1u - i);
    }
    CHECK_PTR(OSMemGet(mem, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_NO_FREE_BLKS);
    for (INT32U i = 0; i < BLOCKS; i++) {
        CHECK_EQ(block[i][BLOCK_BYTES - 1u], 0xf0u + i);
        CHECK_EQ(OSMemPut(mem, block[i]), OS_ERR_NONE);
    }
    check_counts(mem, BLOCKS);
    CHECK_EQ(OSMemPut(mem, block[0]), OS_ERR_MEM_FULL);
}

TEST(mem_returned_block_is_used_again)
{
    INT8U err;
    INT8U *block[BLOCKS];
    OS_MEM *mem = new_partition();

    for (INT32U i = 0; i < BLOCKS; i++) {
        block[i] = OSMemGet(mem, &err);
    }
    CHECK_EQ(OSMemPut(mem, block[3]), OS_ERR_NONE);
    CHECK_PTR(OSMemGet(mem, &err), block[3]);
    CHECK_EQ(err, OS_ERR_NONE);
}

static void isr_get_and_put(void)
{
    INT8U err;
    void *block = OSMemGet(isr_mem, &err);

    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMemPut(isr_mem, block), OS_ERR_NONE);
}

TEST(mem_get_and_put_in_isr)
{
    isr_mem = new_partition();
    plat_isr(isr_get_and_put);
    check_counts(isr_mem, BLOCKS);
}

TEST(mem_create_errors)
{
    INT8U err;

    CHECK_PTR(OSMemCreate((void *)0, BLOCKS, BLOCK_BYTES, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_ADDR);
    CHECK_PTR(OSMemCreate(area.bytes + 1, 2, BLOCK_BYTES, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_ADDR);
    CHECK_PTR(OSMemCreate(area.bytes, 1, BLOCK_BYTES, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_BLKS);
    CHECK_PTR(OSMemCreate(area.bytes, BLOCKS, sizeof(void *) - 1u, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_SIZE);
    CHECK_PTR(OSMemCreate(area.bytes, 2, 2u * sizeof(void *) + 1u, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_SIZE);
}

TEST(mem_create_until_no_partition_is_left)
{
    INT8U err;

    for (INT32U i = 0; i < OS_MAX_MEM_PART; i++) {
        (void)new_partition(); /* all in the same area: none of them is used */
    }
    CHECK_PTR(OSMemCreate(area.bytes, BLOCKS, BLOCK_BYTES, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_PART);
}

TEST(mem_argument_errors)
{
    INT8U err;
    OS_MEM_DATA data;
    OS_MEM *mem = new_partition();
    void *block = OSMemGet(mem, &err);

    CHECK_PTR(OSMemGet((OS_MEM *)0, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_PMEM);
    CHECK_EQ(OSMemPut((OS_MEM *)0, block), OS_ERR_MEM_INVALID_PMEM);
    CHECK_EQ(OSMemPut(mem, (void *)0), OS_ERR_MEM_INVALID_PBLK);
    CHECK_EQ(OSMemQuery((OS_MEM *)0, &data), OS_ERR_MEM_INVALID_PMEM);
    CHECK_EQ(OSMemQuery(mem, (OS_MEM_DATA *)0), OS_ERR_MEM_INVALID_PDATA);
}

static INT8U *isr_name;
static INT8U isr_err;

static void isr_names(void)
{
    CHECK_EQ(OSMemNameGet(isr_mem, &isr_name, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_NAME_GET_ISR);
    OSMemNameSet(isr_mem, (INT8U *)(unsigned long)"isr", &isr_err);
    CHECK_EQ(isr_err, OS_ERR_NAME_SET_ISR);
}

TEST(mem_names)
{
    INT8U err;
    INT8U *name;
    OS_MEM *mem = new_partition();

    CHECK_EQ(OSMemNameGet(mem, &name, &err), 1);
    CHECK_STR(name, "?");
    OSMemNameSet(mem, (INT8U *)(unsigned long)"packets", &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMemNameGet(mem, &name, &err), 7);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_STR(name, "packets");
    CHECK_EQ(OSMemNameGet(mem, (INT8U **)0, &err), 0);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    CHECK_EQ(OSMemNameGet((OS_MEM *)0, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_PMEM);
    OSMemNameSet(mem, (INT8U *)0, &err);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    OSMemNameSet((OS_MEM *)0, name, &err);
    CHECK_EQ(err, OS_ERR_MEM_INVALID_PMEM);
    isr_mem = mem;
    plat_isr(isr_names);
}

const struct t_case mem_cases[] = {
    CASE(mem_every_block_once),
    CASE(mem_returned_block_is_used_again),
    CASE(mem_get_and_put_in_isr),
    CASE(mem_create_errors),
    CASE(mem_create_until_no_partition_is_left),
    CASE(mem_argument_errors),
    CASE(mem_names),
    CASES_END,
};
