# SPDX-License-Identifier: MIT
"""Runs that measure. They use the session like any other caller; nothing imports them."""
