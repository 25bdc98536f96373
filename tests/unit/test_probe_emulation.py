# SPDX-License-Identifier: MIT
"""The host's names of what the hypervisor can do, against images/abi/emulation.h."""

import struct
from pathlib import Path

import pytest
from cheader import measured

from orchestrator.probe import emulation
from orchestrator.probe.emulation import Emulation, Flag, Operation

ABI = Path(__file__).parents[2] / "images" / "abi"
CONSTANTS: dict[str, int] = {
    **{f"EMULATE_{member.name}": member.value for member in Emulation},
    **{f"EMULATE_{name}": member.value for name, member in Flag.__members__.items()},
    **{f"SHIFT_{member.name}": member.value for member in emulation.Shift},
    **{f"BITFIELD_{member.name}": member.value for member in emulation.Bitfield},
    **{f"SATURATE_{member.name}": member.value for member in emulation.Saturate},
    **{f"ACCESS_{member.name}": member.value for member in emulation.Access},
    **{f"ALU_{name}": index for index, name in enumerate(emulation.ALU)},
    **{f"OP_{name}": index for index, name in enumerate(emulation.REGISTER)},
    **{f"LONG_{name}": index for index, name in enumerate(emulation.LONG)},
    **{f"CP15_{name}": index for index, name in enumerate(emulation.CP15)},
    "EMULATE_CLASSES": max(Emulation) + 1,
    "EMULATE_AL": emulation.AL,
    "EMULATE_MAX_ROW": emulation.MAX_ROW,
    "EMULATE_SCATTERED": emulation.SCATTERED,
}
REGISTERS = {
    "EMULATE_SP": emulation.SP,
    "EMULATE_LR": emulation.LR,
    "EMULATE_PC": emulation.PC,
    "EMULATE_NO_REG": emulation.NO_REG,
    "EMULATE_NOWHERE": emulation.NOWHERE,
}
FIELDS = ("last", "op", "flags", "shift", "rd", "rn", "rm", "ra", "value", "extra")


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Constants and offsets as the host's compiler sees them."""
    names = [
        *CONSTANTS,
        *REGISTERS,
        *(f"offsetof(struct emulation_operand, {name})" for name in FIELDS),
    ]
    return measured(ABI / "emulation.h", names, tmp_path_factory.mktemp("header"))


@pytest.mark.parametrize("name", CONSTANTS)
def test_name_has_the_number_of_the_header(header: dict[str, int], name: str) -> None:
    assert header[name] == CONSTANTS[name]


@pytest.mark.parametrize("name", REGISTERS)
def test_register_is_where_the_hypervisor_has_it(header: dict[str, int], name: str) -> None:
    number = REGISTERS[name]
    operation = Operation(emulation=Emulation.LONG, rd=12, rn=number, rm=0, ra=number)
    registers = operation.packed()[1].to_bytes(4, "little")
    assert list(registers) == [12, header[name], 0, header[name]]


def test_operand_is_packed_as_the_header_has_it(header: dict[str, int]) -> None:
    operation = Operation(
        emulation=Emulation.LOAD,
        last=1,
        op=2,
        flags=Flag.PRE,
        shift=4,
        rd=5,
        rn=6,
        rm=7,
        ra=8,
        value=-4,
        extra=0x12345678,
    )
    raw = struct.pack("<4I", *operation.packed())
    offsets = [header[f"offsetof(struct emulation_operand, {name})"] for name in FIELDS]
    assert [raw[offset] for offset in offsets[:8]] == [1, 2, 16, 4, 5, 6, 7, 8]
    assert struct.unpack_from("<i", raw, offsets[8]) == (-4,)
    assert struct.unpack_from("<I", raw, offsets[9]) == (0x12345678,)
