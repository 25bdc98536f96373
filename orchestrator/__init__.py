# SPDX-License-Identifier: MIT
"""Boots a hypervisor with Linux and real-time guests on an emulated ARM board."""

__version__ = "0.1.0"
