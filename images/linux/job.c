/* SPDX-License-Identifier: MIT */
/* Finds the job's memory by the device tree and maps it. What is in it: images/abi/job.h. */
#define _FILE_OFFSET_BITS 64 /* physical addresses do not fit into 31 bits */

#include "job.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE_TREE_PATH "/proc/device-tree"
#define JOB_ALIAS_PATH DEVICE_TREE_PATH "/aliases/job"

/* Reads a property of at most `size` bytes. Returns its length or -errno. */
static ssize_t read_property(const char *path, void *value, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t length = read(fd, value, size);
    int error = length < 0 ? errno : 0;
    close(fd);
    return error ? -error : length;
}

int map_job(struct job_area **area)
{
    char node[128] = "", path[256];
    uint32_t cells[4]; /* address and size, two each */

    ssize_t length = read_property(JOB_ALIAS_PATH, node, sizeof(node) - 1);
    if (length < 0)
        return (int)length;
    snprintf(path, sizeof(path), DEVICE_TREE_PATH "%s/reg", node);
    length = read_property(path, cells, sizeof(cells));
    if (length != sizeof(cells) || be32toh(cells[3]) != sizeof(**area))
        return length < 0 ? (int)length : -EINVAL;

    int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    void *mapped = mmap(NULL, sizeof(**area), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t)be32toh(cells[1]));
    int error = mapped == MAP_FAILED ? errno : 0;
    close(fd);
    if (error)
        return -error;
    *area = mapped;
    return 0;
}
