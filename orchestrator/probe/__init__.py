# SPDX-License-Identifier: MIT
"""Probes: from what a user asks for to a place in a running guest, and back.

Reading order: `fetch` (what is read at a hit), `spec` (a probe resolved in its guest), `guest` (what
is known of a VM, and its memory at one instant), `registers` (whose tables), `place` (what lies
there), `instruction` (what an HVC may displace), `table` and `arm` (the probe is put there and taken
away), `document` (as plain data), `survey` and `offline` (where probes could be), `start` and `ending`
(when). What the words of a record mean is in docs/probes.md; who records: `images/abi`.
"""
