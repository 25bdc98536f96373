# SPDX-License-Identifier: MIT
"""Durations and sizes: what people write, and what it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.units import (
    format_rough_size,
    format_size,
    parse_duration_ns,
    parse_size_bytes,
)


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0ns", 0),
        ("16ns", 16),
        ("20us", 20_000),
        ("20µs", 20_000),
        ("20 us", 20_000),
        (" 1.5s ", 1_500_000_000),
        ("0.1ms", 100_000),
        ("10ms", 10_000_000),
        ("2min", 120_000_000_000),
        ("1h", 3_600_000_000_000),
    ],
)
def test_duration(text: str, duration_ns: int) -> None:
    assert parse_duration_ns(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1B", 1),
        ("64K", 65_536),
        ("64KiB", 65_536),
        ("256M", 268_435_456),
        ("1.5G", 1_610_612_736),
        ("1GiB", 1_073_741_824),
    ],
)
def test_size(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("20", "no unit; a duration ends in one of ns, us, ms, s, min, h"),
        ("20m", 'unknown unit "m"'),
        ("20S", 'unknown unit "S"'),
        ("-1s", "not a number with a unit, such as 20us or 5s"),
        ("1e3s", "not a number with a unit"),
        ("", "not a number with a unit"),
        ("s", "not a number with a unit"),
        ("٣s", "not a number with a unit"),
        ("0.5ns", "not a whole number of ns"),
    ],
)
def test_wrong_duration_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("256", "no unit; a size ends in one of B, K, M, G, KiB, MiB, GiB"),
        ("1MB", 'unknown unit "MB"'),
        ("1k", 'unknown unit "k"'),
        ("0.3K", "not a whole number of B"),
    ],
)
def test_wrong_size_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_size_bytes(text)


@given(st.integers(0, 4 * 10**18))
def test_what_is_written_is_read_back(value: int) -> None:
    assert parse_size_bytes(format_size(value)) == value


def test_a_duration_fits_into_63_bits() -> None:
    with pytest.raises(ValueError, match=r'"4000000000000000001ns" is too long; at most 1111111h'):
        parse_duration_ns("4000000000000000001ns")


def test_largest_whole_unit_is_written() -> None:
    assert format_size(3 << 20) == "3M"
    assert format_size(1025) == "1025B"
    assert format_size(0) == "0B"


def test_rough_size_is_for_reading() -> None:
    assert format_rough_size(999) == "999B"
    assert format_rough_size(1536) == "1.5K"
    assert format_rough_size(33_000_000) == "31.5M"
