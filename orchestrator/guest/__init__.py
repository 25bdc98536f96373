# SPDX-License-Identifier: MIT
"""What is inside a VM: how it shows on its console that it lives, is ready, or has died."""
