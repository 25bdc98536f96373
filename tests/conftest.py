# SPDX-License-Identifier: MIT
"""How Hypothesis works in all tests: without a clock, since another program may have the processor."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "no clock",
    parent=settings.default,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow,),
)
settings.load_profile("no clock")
