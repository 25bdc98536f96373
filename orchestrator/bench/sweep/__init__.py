# SPDX-License-Identifier: MIT
"""Many runs of one system with some of its keys varied: what, how, and what came of it.

Reading order: `plan` (sweep.toml -> jobs), `job` (one job, a pure function), `book` (which jobs are
done, in SQLite), `run` (an executor works them off), `table` and `report` (what came of it).
"""
