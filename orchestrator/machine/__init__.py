# SPDX-License-Identifier: MIT
"""One running QEMU: where things lie in memory, its command line, its process, its consoles.

Nothing in here knows what a guest is: no prompt, no log line, no symbol.
"""
