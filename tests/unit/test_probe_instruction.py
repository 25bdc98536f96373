# SPDX-License-Identifier: MIT
"""Which instructions can be displaced: by hand, and on random words against capstone.

What an instruction does when it is emulated is tested where it runs: tests/system/test_emulation.py.
"""

import random
import re

import capstone
import pytest

from orchestrator.probe import a32, t32
from orchestrator.probe.emulation import (
    FIRST_AT,
    MAX_ROW,
    PC,
    REGISTER,
    SCATTERED,
    SP,
    Emulation,
    Flag,
)
from orchestrator.probe.encoding import Row
from orchestrator.probe.instruction import (
    Operation,
    Reason,
    Refusal,
    check,
    coverage,
    decode,
    word_at,
)

VA = 0x8000_1000
ARM = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
THUMB = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_V8)
RANDOM_WORDS = 100

CLASS_OF_MNEMONIC = {
    Emulation.NOP: r"nop|yield|sev|hint|dbg|csdb|esb|clrex|dmb|dfb|dsb|isb|pl[di]w?|sb|ssbb|pssbb|lfence|"
    r"sevl|tsb|pac.*|bti|aut.*|bxaut|autg",
    Emulation.ALU_IMM: r"mov|movw|mvn|and|eor|sub|rsb|add|ad[cr]|sbc|rsc|tst|teq|cmp|cmn|orr|orn|bic|subw|addw",
    Emulation.ALU_SHIFT: r"mov|mvn|and|eor|sub|rsb|add|adc|sbc|rsc|tst|teq|cmp|cmn|orr|orn|bic|"
    r"lsl|lsr|asr|ror|rrx",
    Emulation.ALU_SHIFT_REG: r"mov|mvn|and|eor|sub|rsb|add|adc|sbc|rsc|tst|teq|cmp|cmn|orr|bic|"
    r"lsl|lsr|asr|ror",
    Emulation.BITFIELD: r"bfi|bfc|ubfx|sbfx|movt",
    Emulation.LONG: r"[us]m[ul]+al|umaal|umull|smull|smlal[bt]{2}|smlaldx?|smlsldx?",
    Emulation.SATURATE: r"[us]sat(16)?",
    Emulation.BRANCH: r"b|bl|blx",
    Emulation.BRANCH_REG: r"bx|blx",
    Emulation.TABLE_BRANCH: r"tb[bh]",
    Emulation.LOAD: r"ldr(s?[bh])?t?|pop",
    Emulation.STORE: r"str[bh]?t?|push",
    Emulation.LOAD_DUAL: r"ldrd",
    Emulation.STORE_DUAL: r"strd",
    Emulation.LOAD_MULTIPLE: r"ldm(db|ib|da|ia)?|pop",
    Emulation.STORE_MULTIPLE: r"stm(db|ib|da|ia)?|push",
    Emulation.MOVE: r"mov|movw|addw?|subw?|adr",
    Emulation.READ_PSR: r"mrs",
    Emulation.WRITE_PSR: r"msr|cps(i[de])?|setend",
    Emulation.READ_CP15: r"mrc",
    Emulation.WRITE_CP15: r"mcr",
}
CONDITION = r"(eq|ne|hs|lo|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"


def named_by_capstone(word: int, *, thumb: bool) -> str | None:
    """Capstone's mnemonic without the width suffix; None: it does not know the word."""
    code = word.to_bytes(4, "little")
    if thumb:
        code = code[2:] + code[:2]
    found = next((THUMB if thumb else ARM).disasm(code, VA, 1), None)
    return None if found is None else found.mnemonic.removesuffix(".w")


def random_words(row: Row, generator: random.Random) -> list[int]:
    free = ~row.mask & 0xFFFF_FFFF
    return [row.value | generator.getrandbits(32) & free for _ in range(RANDOM_WORDS)]


def cases() -> list[tuple[str, int, bool]]:
    generator = random.Random(20260101)  # noqa: S311 -- test data
    words = []
    for table, thumb, conditional in (
        (a32.CONDITIONAL, False, True),
        (a32.UNCONDITIONAL, False, False),
        (t32.TABLE, True, False),
    ):
        for row in table.rows:
            for word in random_words(row, generator):
                if conditional and word >> 28 == 15:
                    continue
                words.append((row.name, word, thumb))
    return words


def test_random_words_are_what_capstone_says() -> None:
    """Every word that is accepted has one of the mnemonics of its class, for another decoder too."""
    wrong, accepted = [], 0
    for name, word, thumb in cases():
        decoded = decode(word, va=VA, thumb=thumb)
        if isinstance(decoded, Refusal):
            continue
        accepted += 1
        mnemonic = named_by_capstone(word, thumb=thumb)
        if decoded.emulation is Emulation.REGISTER:
            known = mnemonic is not None and bool(
                re.fullmatch(rf"{_register_name(decoded)}{CONDITION}", mnemonic)
            )
        else:
            pattern = rf"({CLASS_OF_MNEMONIC[decoded.emulation]})s?{CONDITION}"
            known = mnemonic is not None and bool(re.fullmatch(pattern, mnemonic))
        if not known:
            wrong.append(f"{name} {word:#010x} {'T32' if thumb else 'A32'}: {mnemonic}, {decoded}")
    assert wrong == []
    assert accepted > 3000


def _register_name(operation: Operation) -> str:
    name = REGISTER[operation.op]
    return r"pkh(bt|tb)" if name.startswith("pkh") else name


@pytest.mark.parametrize(
    ("word", "thumb", "reason"),
    [
        (0xE1B0F00E, False, Reason.RETURN),  # movs pc, lr
        (0xE8DD9FFF, False, Reason.RETURN),  # ldm sp, {...pc}^
        (0xE8CD6000, False, Reason.USER_BANK),  # stm sp, {sp, lr}^
        (0xF8BD0A00, False, Reason.RETURN),  # rfeia sp!
        (0xF96D0513, False, Reason.RETURN),  # srsdb sp!, #19
        (0xEF000000, False, Reason.CALL),  # svc
        (0xE1400070, False, Reason.CALL),  # hvc
        (0xE1600070, False, Reason.CALL),  # smc
        (0xE7F001F2, False, Reason.CALL),  # udf
        (0xE1943F9F, False, Reason.EXCLUSIVE),  # ldrex r3, [r4]
        (0xE1842F93, False, Reason.EXCLUSIVE),  # strex r2, r3, [r4]
        (0xE320F003, False, Reason.WAITS),  # wfi
        (0xEEB00A40, False, Reason.VFP),  # vmov.f32 s0, s0
        (0xF2200150, False, Reason.VFP),  # vorr q0, q0, q0
        (0xEE010F10, False, Reason.COPROCESSOR),  # mcr p15, 0, r0, c1, c0, 0
        (0xE8B50020, False, Reason.UNPREDICTABLE),  # ldm r5!, {r5}
        (0x0000B510, True, Reason.SHORT),  # push {r4, lr}
        (0xE8531F00, True, Reason.EXCLUSIVE),  # ldrex r1, [r3]
        (0xF3DE8F00, True, Reason.RETURN),  # subs pc, lr, #0
    ],
)
def test_refused_with_the_reason(word: int, *, thumb: bool, reason: Reason) -> None:
    assert decode(word, va=VA, thumb=thumb) == Refusal(reason=reason)
    assert len(str(Refusal(reason=reason))) > 20


@pytest.mark.parametrize(
    ("word", "thumb", "emulation"),
    [
        (0xE52DE004, False, Emulation.STORE),  # push {lr}
        (0xE92D4010, False, Emulation.STORE_MULTIPLE),
        (0xE92D4011, False, Emulation.STORE_MULTIPLE),  # push {r0, r4, lr}
        (0xE92D4111, False, Emulation.STORE_MULTIPLE),  # push {r0, r4, r8, lr}
        (0xE8BD8010, False, Emulation.LOAD_MULTIPLE),  # pop {r4, pc}
        (0xE1A0C00D, False, Emulation.ALU_SHIFT),  # mov ip, sp
        (0xE3510000, False, Emulation.ALU_IMM),  # cmp r1, #0
        (0xE3120004, False, Emulation.ALU_IMM),  # tst r2, #4
        (0xE3730001, False, Emulation.ALU_IMM),  # cmn r3, #1
        (0xE3300F7F, False, Emulation.ALU_IMM),  # teq r0, #508
        (0x13A0000A, False, Emulation.ALU_IMM),  # movne r0, #10
        (0xE3B0000A, False, Emulation.ALU_IMM),  # movs r0, #10
        (0xE3A0E00A, False, Emulation.ALU_IMM),  # mov lr, #10
        (0xE3A0000A, False, Emulation.MOVE),  # mov r0, #10
        (0xE30F0FFF, False, Emulation.MOVE),  # movw r0, #0xffff
        (0xF04F0302, True, Emulation.MOVE),  # mov.w r3, #2
        (0xF6447318, True, Emulation.MOVE),  # movw r3, #0x4f18
        (0xF04F0E02, True, Emulation.ALU_IMM),  # mov.w lr, #2
        (0xF05F0302, True, Emulation.ALU_IMM),  # movs.w r3, #2
        (0xE3400004, False, Emulation.BITFIELD),  # movt r0, #4
        (0xE1500002, False, Emulation.ALU_SHIFT),  # cmp r0, r2
        (0xE1A01312, False, Emulation.ALU_SHIFT_REG),  # lsl r1, r2, r3
        (0xE59F1004, False, Emulation.LOAD),  # ldr r1, [pc, #4]
        (0xE1D320B0, False, Emulation.LOAD),  # ldrh r2, [r3]
        (0xE1CD42F4, False, Emulation.STORE_DUAL),  # strd r4, [sp, #36]
        (0xE16D41F0, False, Emulation.STORE_DUAL),  # strd r4, [sp, #-16]!
        (0xE52D4008, False, Emulation.STORE),  # str r4, [sp, #-8]!
        (0xE12FFF1E, False, Emulation.BRANCH_REG),  # bx lr
        (0xEE1D0F90, False, Emulation.READ_CP15),  # mrc p15, 0, r0, c13, c0, 4
        (0xE10F0000, False, Emulation.READ_PSR),  # mrs r0, cpsr
        (0xE121F000, False, Emulation.WRITE_PSR),  # msr cpsr_c, r0
        (0xF10C0080, False, Emulation.WRITE_PSR),  # cpsid i
        (0xE320F000, False, Emulation.NOP),  # nop
        (0xF57FF05B, False, Emulation.NOP),  # dmb ish
        (0xF5D0F000, False, Emulation.NOP),  # pld [r0]
        (0xE6EF0070, False, Emulation.REGISTER),  # uxtb r0, r0
        (0xE0821493, False, Emulation.LONG),  # umull r1, r2, r3, r4
        (0xE92D4FF0, True, Emulation.STORE_MULTIPLE),  # push.w {r4-r11, lr}
        (0xF8D11004, True, Emulation.LOAD),  # ldr.w r1, [r1, #4]
        (0xE8DFF001, True, Emulation.TABLE_BRANCH),  # tbb [pc, r1]
        (0xF3AF8000, True, Emulation.NOP),  # nop.w
    ],
)
def test_what_compilers_write_can_be_displaced(
    word: int, *, thumb: bool, emulation: Emulation
) -> None:
    decoded = decode(word, va=VA, thumb=thumb)
    assert isinstance(decoded, Operation)
    assert decoded.emulation is emulation


@pytest.mark.parametrize(
    ("word", "flags", "first", "rest"),
    [
        (0xE92D4010, Flag.LINK, (4, 1), 0),  # push {r4, lr}
        (0xE92D40F7, Flag.LINK, (0, MAX_ROW + 3), 4 | 4 << 4),  # push {r0-r2, r4-r7, lr}
        (0xE8BD1FFF, Flag(0), (0, MAX_ROW + 9), 9 | 4 << 4),  # pop {r0-r12}
        (0xE8BD8000, Flag.LOADS_PC, (0, 0), 0),  # ldm sp!, {pc}
        (0xE8BDC030, Flag.LINK | Flag.LOADS_PC, (4, 2), 0),  # pop {r4, r5, lr, pc}
        (0xE8AC6FF0, Flag.LINK, (4, MAX_ROW + 8), FIRST_AT | 1 << 4),  # stm ip!, {r4-fp, sp, lr}
        (0xE8AC2000, Flag(0), (SP, 1), 0),  # stm ip!, {sp}
        (0xE92D4111, Flag.LINK, (0, 2 * MAX_ROW + 1), 0x1814),  # push {r0, r4, r8, lr}
        (0xE8AC2011, Flag(0), (0, 2 * MAX_ROW + 1), 0x1E14),  # stm ip!, {r0, r4, sp}
        (0xE92D4115, Flag.LINK, (0, SCATTERED), 0),  # push {r0, r2, r4, r8, lr}: four rows
    ],
)
def test_a_list_is_told_row_by_row(
    word: int, flags: Flag, first: tuple[int, int], rest: int
) -> None:
    """More than nine registers is the first row's code for "a second one follows"."""
    decoded = decode(word, va=VA, thumb=False)
    assert isinstance(decoded, Operation)
    assert decoded.flags == flags | Flag.MOVES_BASE
    assert ((decoded.rd, decoded.shift), decoded.op | decoded.last << 8) == (first, rest)


@pytest.mark.parametrize("word", [0xE92D8010, 0xE8A00003, 0xE8AC2015])
def test_other_lists_are_done_one_by_one(word: int) -> None:
    """Here: push {r4, pc}; stm r0!, {r0, r1}; stm ip!, {r0, r2, r4, sp}."""
    decoded = decode(word, va=VA, thumb=False)
    assert isinstance(decoded, Operation)
    assert decoded.flags & Flag.ONE_BY_ONE


def test_t32_leaves_no_pc_to_be_read() -> None:
    """The hypervisor reads it as A32 does."""
    for _, word, thumb in cases():
        decoded = decode(word, va=VA, thumb=thumb)
        if thumb and isinstance(decoded, Operation):
            read = {decoded.rn, decoded.rm}
            read |= {decoded.rd} if decoded.emulation is Emulation.STORE else set()
            assert PC not in read, hex(word)


def test_branch_targets_are_folded() -> None:
    forward = decode(0xEB000010, va=VA, thumb=False)  # bl +0x48
    assert isinstance(forward, Operation)
    assert (forward.value, forward.extra) == (VA + 8 + 0x40, VA + 4)
    backward = decode(0xF7FFFFFE, va=VA, thumb=True)  # bl to itself
    assert isinstance(backward, Operation)
    assert (backward.value, backward.extra) == (VA | 1, VA + 5)


def test_literal_is_refused_where_the_caller_knows() -> None:
    code = (0xE59F0000).to_bytes(4, "little") + (0xE1A00000).to_bytes(4, "little")
    assert isinstance(check(code, 4, va=VA + 4, thumb=False), Operation)
    literal = check(code, 4, va=VA + 4, thumb=False, data=[range(4, 8)])
    assert literal == Refusal(reason=Reason.LITERAL)
    assert check(code, 2, va=VA + 2, thumb=False) == Refusal(reason=Reason.LITERAL)


def halfwords(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def test_it_block_reaches_as_far_as_its_mask() -> None:
    """ITT EQ governs two instructions; the third is free."""
    add = (0xF100, 0x0001)  # add.w r0, r0, #1
    code = halfwords(0xBF04, *add, *add, *add)
    results = [check(code, at, va=VA + at, thumb=True) for at in (2, 6, 10)]
    assert results[:2] == [Refusal(reason=Reason.IT_BLOCK)] * 2
    assert isinstance(results[2], Operation)
    assert check(code, 0, va=VA, thumb=True) == Refusal(reason=Reason.IT_BLOCK)


def test_place_between_an_exclusive_pair_is_refused() -> None:
    words = (0xE1A00000, 0xE1943F9F, 0xE2833001, 0xE1842F93, 0xE3520000)
    code = b"".join(word.to_bytes(4, "little") for word in words)
    results = [check(code, at, va=VA + at, thumb=False) for at in range(0, 20, 4)]
    refused = Refusal(reason=Reason.EXCLUSIVE)
    assert [result == refused for result in results] == [False, True, True, True, False]


def test_word_at_puts_the_first_halfword_up() -> None:
    code = halfwords(0xB510, 0xF8D1, 0x1004)
    assert word_at(code, 0, thumb=True) == 0xB510
    assert word_at(code, 2, thumb=True) == 0xF8D11004


def test_coverage_counts_both_kinds() -> None:
    result = coverage([(VA, 0xE92D4010), (VA + 4, 0xE1A0C00D), (VA + 8, 0xEF000000)])
    assert result.total == 3
    assert result.by_class[Emulation.STORE_MULTIPLE] == 1
    assert result.refused == [(VA + 8, Reason.CALL)]
    assert result.share == pytest.approx(2 / 3)
