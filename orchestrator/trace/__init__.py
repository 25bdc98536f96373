# SPDX-License-Identifier: MIT
"""From what was recorded to one timeline: ftrace pages, clock fit, merge."""
