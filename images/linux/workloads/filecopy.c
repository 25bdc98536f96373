/* SPDX-License-Identifier: MIT */
/*
 * filecopy: file copy through a buffer of a given size. A file of BLOCKS blocks is written once and
 * then copied PASSES times to another one, which is compared with it at the end.
 *
 *     filecopy BYTES BLOCKS PASSES
 *
 * UnixBench's three tests are 256/500, 1024/2000 and 4096/8000. The files lie in /tmp, which is
 * memory: this measures the kernel's file layer, not a disk.
 */
#include "bench.h"

#include <fcntl.h>
#include <unistd.h>

#define USAGE "filecopy BYTES BLOCKS PASSES"
#define FROM_PATH "/tmp/filecopy.from"
#define TO_PATH "/tmp/filecopy.to"

static uint32_t bytes, blocks;

/* The value of a block's words: no two blocks of a file are equal. */
static void fill(char *block, uint32_t index)
{
    for (uint32_t i = 0; i + sizeof(index) <= bytes; i += sizeof(index))
        memcpy(block + i, &index, sizeof(index));
}

static void rewind_both(int from, int to)
{
    if (lseek(from, 0, SEEK_SET) || lseek(to, 0, SEEK_SET))
        fail("lseek");
}

int main(int argc, char **argv)
{
    bytes = number(argc, argv, 1, USAGE);
    blocks = number(argc, argv, 2, USAGE);
    uint32_t passes = number(argc, argv, 3, USAGE);
    char *block = calloc(2, bytes);
    int from = open(FROM_PATH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int to = open(TO_PATH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (!block || from < 0 || to < 0)
        fail("files");
    for (uint32_t i = 0; i < blocks; i++) {
        fill(block, i);
        if (write(from, block, bytes) != (ssize_t)bytes)
            fail(FROM_PATH);
    }

    uint64_t start_ns = window_start();
    for (uint32_t pass = 0; pass < passes; pass++) {
        rewind_both(from, to);
        for (uint32_t i = 0; i < blocks; i++) {
            if (read(from, block, bytes) != (ssize_t)bytes)
                fail(FROM_PATH);
            if (write(to, block, bytes) != (ssize_t)bytes)
                fail(TO_PATH);
        }
    }
    uint64_t elapsed_ns = window_end(start_ns);

    rewind_both(from, to);
    for (uint32_t i = 0; i < blocks; i++) {
        fill(block, i);
        if (read(to, block + bytes, bytes) != (ssize_t)bytes)
            fail(TO_PATH);
        if (memcmp(block, block + bytes, bytes / sizeof(i) * sizeof(i)))
            fail_check("the copy differs");
    }
    unlink(FROM_PATH);
    unlink(TO_PATH);
    report((uint64_t)blocks * passes, "blocks", elapsed_ns);
    return 0;
}
