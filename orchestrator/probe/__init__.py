# SPDX-License-Identifier: MIT
"""Probes: from what a user asks for to a place in a running guest, and back.

Reading order: `fetch` (what is read at a hit), `instruction` (what an HVC may displace), `spec` (a
probe resolved in its guest), then what puts it there. What the words of a record mean is in
docs/probes.md; who records: `images/abi`.
"""
