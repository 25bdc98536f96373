# SPDX-License-Identifier: MIT
"""What the plugin refuses in a real QEMU: one line, no machine, nothing left."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.images import sources

pytestmark = pytest.mark.system

ICOUNT = ("-icount", "shift=0,sleep=off")


def start(folder: Path, arguments: str, *options: str) -> subprocess.CompletedProcess[str]:
    plugin = f"file={sources.build('plugin')},{arguments}"
    return subprocess.run(
        (
            *("qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-display", "none"),
            *("-nodefaults", "-plugin", plugin, *options),
        ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ("channel=there", (), "channel=there: Address already in use"),
        (f"channel={'x' * 200}", (), "File name too long"),
        ("channel=no/such/folder", (), "channel=no/such/folder: No such file or directory"),
        ("channel=c,ring=there", (), "ring=there: File exists"),
        ("channel=c", ICOUNT, "channel needs quantum_ns in a deterministic clock"),
        ("quantum_ns=20000", (), "quantum_ns needs a deterministic clock"),
        ("ring=r", (), "ring needs channel"),
    ],
)
def test_it_is_refused(
    tmp_path: Path, arguments: str, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "there").write_text("kept")
    end = start(tmp_path, arguments, *options)
    assert end.returncode == 1
    assert message in end.stderr
    assert (tmp_path / "there").read_text() == "kept"
