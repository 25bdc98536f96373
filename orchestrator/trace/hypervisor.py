# SPDX-License-Identifier: MIT
"""The hypervisor's own records as trace events of the system "hypervisor"."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.records import EXIT_IRQ, NO_VM, Kind
from orchestrator.trace.formats import make_format
from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.timeline import Field

_NAME_BYTES: Final = 16
EXIT_REASONS: Final = {
    0x01: "WFx",
    0x03: "CP15 access",
    0x04: "CP15 access (64 bit)",
    0x05: "CP14 access",
    0x07: "VFP access",
    0x0C: "CP14 access (64 bit)",
    0x11: "SVC",
    0x12: "HVC",
    0x13: "SMC",
    0x20: "instruction abort",
    0x24: "data abort",
    EXIT_IRQ: "IRQ",
}
"""Exception classes of HSR, DDI 0406C table B3-22, that a guest's exit can have."""


def _vm(name: str) -> Field:
    return Field(name=name, c_type="char[16]", offset=0, bytes=_NAME_BYTES, signed=False)


def _u32(name: str) -> Field:
    return Field(name=name, c_type="u32", offset=0, bytes=4, signed=False)


_SYMBOLS: Final = ", ".join(f'{{ {number}, "{what}" }}' for number, what in EXIT_REASONS.items())
# Kind, name, fields, print format.
_EVENTS: Final = (
    (
        Kind.VM_ENTRY,
        "vm_entry",
        (_vm("vm"), _u32("vcpu"), _u32("pc")),
        '"vm=%s vcpu=%u pc=0x%08x", REC->vm, REC->vcpu, REC->pc',
    ),
    (
        Kind.VM_EXIT,
        "vm_exit",
        (_vm("vm"), _u32("vcpu"), _u32("pc"), _u32("reason"), _u32("hsr")),
        (
            '"vm=%s vcpu=%u pc=0x%08x reason=%s hsr=0x%08x", REC->vm, REC->vcpu, REC->pc, '
            f"__print_symbolic(REC->reason, {_SYMBOLS}), REC->hsr"
        ),
    ),
    (
        Kind.VCPU_SWITCH,
        "vcpu_switch",
        (_vm("prev_vm"), _u32("prev_vcpu"), _vm("next_vm"), _u32("next_vcpu")),
        (
            '"prev_vm=%s prev_vcpu=%u ==> next_vm=%s next_vcpu=%u", REC->prev_vm, '
            "REC->prev_vcpu, REC->next_vm, REC->next_vcpu"
        ),
    ),
    (
        Kind.VIRQ,
        "virq",
        (_vm("vm"), _u32("vcpu"), _u32("irq"), _u32("phys")),
        '"vm=%s vcpu=%u irq=%u phys=%u", REC->vm, REC->vcpu, REC->irq, REC->phys',
    ),
)


def hypervisor_events(
    records: NDArray[np.void], *, vms: Sequence[str], source: int, next_id: Callable[[], int]
) -> list[Packed]:
    """Packs the records that the hypervisor has left of itself.

    Args:
        records: Of the kinds VM_ENTRY to VIRQ.
        vms: Names of the VMs by their number.
        source: See `Packed`.
        next_id: Gives a number that no event has yet.
    """
    names = np.full(256, b"?", f"S{_NAME_BYTES}")
    names[NO_VM] = b"none"
    names[: len(vms)] = [name.encode() for name in vms]
    out = []
    for kind, name, fields, print_format in _EVENTS:
        form = make_format(
            number=next_id(),
            system="hypervisor",
            name=name,
            fields=fields,
            print_format=print_format,
        )
        mine = records[records["kind"] == kind]
        if len(mine):
            values = _values(mine, kind, names)
            out.append(pack(form, values, time_ns=mine["time_ns"], cpu=mine["cpu"], source=source))
    return out


def _values(
    records: NDArray[np.void], kind: Kind, names: NDArray[np.bytes_]
) -> dict[str, NDArray[Any]]:
    word = records["word"]
    if kind is Kind.VCPU_SWITCH:
        return {
            "prev_vm": names[word[:, 0] & NO_VM],
            "prev_vcpu": word[:, 1],
            "next_vm": names[word[:, 2] & NO_VM],
            "next_vcpu": word[:, 3],
        }
    values = {"vm": names[records["vm"]], "vcpu": records["vcpu"], "pc": records["pc"]}
    if kind is Kind.VM_EXIT:
        values |= {"reason": records["id"], "hsr": word[:, 0]}
    elif kind is Kind.VIRQ:
        values |= {"irq": records["id"], "phys": word[:, 0]}
    return values
