/* SPDX-License-Identifier: MIT */
/* For each line "thumb bytes-in-hex" of standard input, what the plugin takes the instruction for. */
#include <stdio.h>
#include <string.h>

#include "decode.h"

int main(void)
{
    int thumb;
    char text[9];

    while (scanf("%d %8s", &thumb, text) == 2) {
        uint8_t memory[4] = {0};
        size_t bytes = strlen(text) / 2;

        for (size_t i = 0; i < bytes; i++) {
            unsigned int byte;

            sscanf(text + 2 * i, "%2x", &byte);
            memory[i] = (uint8_t)byte;
        }
        struct code code = decode_code(memory, bytes, thumb != 0);

        printf("%d %d %d %d %d\n", (int)decode_hvc(code), decode_is_eret(code),
               decode_is_doorbell(code), decode_is_guest_switch(code), decode_is_wfi(code));
    }
    return 0;
}
