/* SPDX-License-Identifier: MIT */
/*
 * syscall: entering and leaving the kernel. One iteration is the mix of short calls that UnixBench's
 * test makes, dup and close, getpid, getuid and umask, past the C library.
 *
 *     syscall ITERATIONS
 */
#include "bench.h"

#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, "syscall ITERATIONS");

    uint64_t start_ns = window_start();
    for (uint32_t i = 0; i < iterations; i++) {
        long copy = syscall(SYS_dup, STDIN_FILENO);
        if (copy < 0 || syscall(SYS_close, copy))
            fail("dup");
        syscall(SYS_getpid);
        syscall(SYS_getuid);
        syscall(SYS_umask, 022);
    }
    report(iterations, "loops", window_end(start_ns));
    return 0;
}
