/* SPDX-License-Identifier: MIT */
/*
 * The plugin's side of a ring without QEMU: makes a file of two rings as the plugin does, waits until
 * standard input says so, and writes records as fast as the reader takes them.
 *
 * ring_feed PATH CAPACITY RECORDS: pc is the record's number times 3, so that a reader can tell.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

int main(int argc, char **argv)
{
    uint32_t capacity = argc == 4 ? (uint32_t)atoi(argv[2]) : 0;
    uint64_t count = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    uint64_t stride = ring_bytes(capacity);
    struct ring ring[2];
    char *memory;
    int fd;

    if (argc != 4) {
        return 2;
    }
    fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)(2 * stride)) != 0) {
        return 1;
    }
    memory = mmap(NULL, 2 * stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return 1;
    }
    for (uint32_t i = 0; i < 2; i++) {
        ring_init(&ring[i], memory + i * stride, capacity, i);
    }
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) {
        return 1;
    }
    for (uint64_t n = 0; n < count; n++) {
        for (uint32_t i = 0; i < 2; i++) {
            struct trace_record record = {
                .time_ns = n,
                .kind = TRACE_PROBE,
                .cpu = (uint8_t)i,
                .pc = (uint32_t)(n * 3 + i),
            };

            while (!ring_push(&ring[i], &record)) {
                sched_yield();
            }
        }
    }
    return 0;
}
