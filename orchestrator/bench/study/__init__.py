# SPDX-License-Identifier: MIT
"""The paper's overhead study and what sweeps promise, from one call, with limits.

`python -m orchestrator.bench.study` measures the table of docs/benchmarks.md and runs one sweep in
several ways. Everything is run now, by the commands that a user would call; what they have left is
in the study's folder. Reading order: `sweeps` (runs them), then what is measured: `table`, `ways`,
`start`, `thousand`; `__main__` puts them in a row.
"""
