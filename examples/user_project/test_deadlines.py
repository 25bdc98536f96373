# SPDX-License-Identifier: MIT
"""The real-time guest meets its deadlines whatever Linux does: a HIL test without the hardware."""

MS = 1_000_000
BUSY_WITH_PAUSES = "for i in $(seq 20); do context1 1500 >/dev/null; sleep 0.002; done"


def test_every_task_is_done_20_ms_after_it_began(dual_system, trace):
    dual_system.probe("rtos:OSTaskSwHook mode=shadow")
    dual_system.run("sh", "-c", BUSY_WITH_PAUSES)
    for task in ("RTOS-Task1", "RTOS-Task2", "RTOS-Task3", "RTOS-Task4"):
        assert trace[f"rtos/{task}/response_max"] <= 20 * MS
