/* SPDX-License-Identifier: MIT */
/* The library functions that compilers call by themselves. */
#include <stddef.h>

void *memset(void *dest, int c, size_t n);
void *memcpy(void *restrict dest, const void *restrict src, size_t n);

void *memset(void *dest, int c, size_t n)
{
    unsigned char *d = dest;

    while (n-- > 0) {
        *d++ = (unsigned char)c;
    }
    return dest;
}

void *memcpy(void *restrict dest, const void *restrict src, size_t n)
{
    unsigned char *d = dest;
    const unsigned char *s = src;

    while (n-- > 0) {
        *d++ = *s++;
    }
    return dest;
}
