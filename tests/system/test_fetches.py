# SPDX-License-Identifier: MIT
"""What Linux's probes fetch, as both observers find it: sections, pages, user space, holes.

The plugin asks QEMU, word by word. The hypervisor walks, and has a short and a long way
(images/hypervisor/record.S, trace.c): all must give the same words and mark the same ones.
"""

from pathlib import Path

import numpy as np
import pytest

from orchestrator import config, session
from orchestrator.config.probes import parse_probe
from orchestrator.options import BootOptions
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

TOML = '[vm.linux]\ntype = "linux"\nkernel = "{kernel}"\nram = "128M"\npin = [0]\n'
SAME = ("kind", "cpu", "vm", "id", "pc", "lr", "sp", "cpsr", "valid", "vcpu", "words", "word")
# Its arguments are two tasks' structures, in sections; the stack is in pages of its own.
SWITCH = "a=+0(%r0) far=+1022(%r0):u16 c=+0(%r1) d=+8(%r2):u64 s=$stack s2=$stack2 t=%tpidruro"
SWITCH_WORDS = 8
# r1 often points to user space, which the kernel may not look into, or is a number.
CALL = "p=+0(%r0) pp=+4(+0(%r0)) user=+0(%r1):string s=$stack5:u64 odd=+1(%r0):u16 hole=@0x10"
CALL_WORDS = 10
USER_BITS, HOLE_BIT = 0b111100, 1 << 9


class Silent:
    """A reporter that nobody listens to."""

    def phase(self, name: str) -> None: ...
    def vm_state(self, vm: str, state: str) -> None: ...
    def console(self, vm: str, line: str) -> None: ...
    def note(self, text: str) -> None: ...
    def command_output(self, stream: str, data: bytes) -> None: ...


@pytest.mark.parametrize("kernel", ["armmp", "armmp-lpae"])
def test_both_observers_find_the_same_in_linux(tmp_path: Path, kernel: str) -> None:
    """Thousands of hits with words that are there and words that are not."""
    path = tmp_path / "test.toml"
    path.write_text(TOML.format(kernel=kernel))
    probes = (
        f"linux:__switch_to name=switch record=both tasks=no {SWITCH}",
        f"linux:vfs_* record=both tasks=no {CALL}",
    )
    options = BootOptions(
        out=tmp_path / "run",
        probes=tuple(parse_probe(text) for text in probes),
        command=("sh", "-c", "for i in 1 2 3; do ls / | cat; done"),
    )
    session.boot(config.load(path), options, Silent())
    plugin, hypervisor = (
        read_stream(tmp_path / f"run/trace/{name}-0.rec").records
        for name in ("plugin", "hypervisor")
    )
    for name in SAME:
        assert np.array_equal(plugin[name], hypervisor[name]), name
    is_switch = plugin["id"] == 1
    switches, calls = plugin[is_switch], plugin[~is_switch]
    assert len(switches) > 10
    assert np.all(switches["words"] == SWITCH_WORDS)
    assert np.all(switches["valid"] == (1 << SWITCH_WORDS) - 1)
    assert np.all(switches["word"][:, 5] == switches["sp"])
    assert len(calls) > 100
    assert np.all(calls["words"] == CALL_WORDS)
    assert not np.any(calls["valid"] & HOLE_BIT)
    of_user = calls["valid"] & USER_BITS
    assert set(of_user.tolist()) == {0, USER_BITS}, "a string is there as a whole, or not at all"
    assert switches["cost"].max() + 300 < calls["cost"].min(), "the hypervisor has a short way"
