# SPDX-License-Identifier: MIT
"""What a VM is started with: kernels, initramfs, device trees, the project's own C images.

Reading order: `store` keeps what was made once, `debian` fetches packages into it, `kernel` and
`initramfs` make boot images of them, `cpio` and `devicetree` write the two formats, `sources`
runs make for `images/` and `qemu_plugin/`. Nothing here knows of a running machine.
"""
