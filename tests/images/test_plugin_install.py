# SPDX-License-Identifier: MIT
"""What the plugin refuses when it is loaded: another interface, another target, a QEMU without it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "plugin"
PLUGIN = HERE.parents[2] / "qemu_plugin"

Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=["gcc", "clang"])
def install(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Builds the plugin as its Makefile does, and loads it into a program that plays QEMU."""
    compiler = shutil.which(request.param)
    assert compiler is not None, f"install {request.param}"
    folder = tmp_path_factory.mktemp("install")
    subprocess.run(
        ("make", "-s", "-C", PLUGIN, f"CC={compiler}", f"O={folder}"), check=True, timeout=400
    )
    program = folder / "install_probe"
    subprocess.run(
        (
            *(compiler, "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-rdynamic"),
            *(f"-I{PLUGIN}", "-o", program, HERE / "install_probe.c"),
            *(HERE / "install_stubs.c", "-ldl"),
        ),
        check=True,
    )

    def run(
        target: str, oldest: int, newest: int, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        words = (program, folder / "liborchestrate.so", target, str(oldest), str(newest))
        return subprocess.run((*words, *arguments), capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    ("target", "oldest", "newest", "arguments", "message"),
    [
        ("arm", 1, 3, (), "QEMU serves plugin interface 1 to 3, this plugin needs 4"),
        ("arm", 5, 7, (), "QEMU serves plugin interface 5 to 7, this plugin needs 4"),
        ("aarch64", 2, 4, (), "it needs qemu-system-arm, this QEMU emulates aarch64"),
        ("arm", 2, 4, ("quantum_ns=20000",), "this QEMU does not export use_icount"),
        ("arm", 2, 4, ("channel=/tmp/x.sock",), "this QEMU does not export use_icount"),
        ("arm", 2, 4, ("ring=/tmp/x",), "ring needs channel"),
        ("arm", 2, 4, ("channel=",), "argument 'channel=': a path is needed"),
        ("arm", 2, 4, ("chanel=/tmp/x",), "unknown argument 'chanel=/tmp/x'"),
    ],
)
def test_it_is_refused_with_one_line(
    install: Install,
    target: str,
    oldest: int,
    newest: int,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    end = install(target, oldest, newest, *arguments)
    assert (end.returncode, end.stdout) == (1, "4\n")
    assert end.stderr.startswith(f"liborchestrate: {message}")
    assert end.stderr.count("\n") == 1


def test_a_newer_qemu_that_still_serves_the_interface_will_do(install: Install) -> None:
    """Without arguments the plugin has nothing to do, and needs nothing."""
    end = install("arm", 2, 6)
    assert (end.returncode, end.stderr) == (0, "")
