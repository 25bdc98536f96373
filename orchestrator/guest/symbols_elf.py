# SPDX-License-Identifier: MIT
"""The symbols of an ELF file, and where its code is A32, T32 or literal data.

The latter comes from the mapping symbols $a, $t and $d (ELF for the Arm Architecture, IHI 0044,
5.5.5); a stripped file has none.
"""

from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from orchestrator.errors import StorageError, UsageError
from orchestrator.guest.symbols import Encoding, Symbol, SymbolTable

_MAPPING: Final = {"$a": Encoding.A32, "$t": Encoding.T32, "$d": Encoding.DATA}
_EXECUTABLE: Final = 4  # SHF_EXECINSTR


def read_symbols(path: Path) -> SymbolTable:
    """Reads the symbol table of an ELF file; of one that is stripped it is empty.

    Raises:
        UsageError: It is no ELF file.
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _read(ELFFile(file), path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except ELFError as error:
        raise UsageError(f"{path}: not an ELF file: {error}") from error


def _read(elf: ELFFile, path: Path) -> SymbolTable:
    table: Any = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        lacks = "it has no symbol table: do not strip it, or give an address"
        return SymbolTable((), source=path.name, lacks=lacks)
    code = {
        index
        for index, section in enumerate(elf.iter_sections())
        if section["sh_flags"] & _EXECUTABLE
    }
    end_va = max(
        (s["sh_addr"] + s["sh_size"] for s in elf.iter_sections() if s["sh_flags"] & _EXECUTABLE),
        default=0,
    )
    symbols, encodings, by_function = [], [], []
    for each in table.iter_symbols():
        section = each["st_shndx"]
        if section == "SHN_UNDEF" or not each.name:
            continue
        if each.name.startswith("$"):
            if section in code and each.name[:2] in _MAPPING:
                encodings.append((each["st_value"], _MAPPING[each.name[:2]]))
            continue
        symbol = _symbol(each, section, code)
        if symbol is not None:
            symbols.append(symbol)
            if each["st_info"]["type"] == "STT_FUNC":
                is_thumb = each["st_value"] % 2 == 1
                by_function.append((symbol.va, Encoding.T32 if is_thumb else Encoding.A32))
    if not encodings and any(encoding is Encoding.T32 for _, encoding in by_function):
        encodings = by_function  # stripped of mapping symbols
    encodings.sort(key=lambda pair: pair[0])
    return SymbolTable(symbols, source=path.name, encodings=encodings, end_va=end_va)


def _symbol(each: Any, section: object, code: set[int]) -> Symbol | None:
    kind, va = each["st_info"]["type"], each["st_value"]
    if section == "SHN_ABS":
        if kind == "STT_FILE":
            return None
        return Symbol(name=each.name, va=va, bytes=0, kind="absolute")
    if kind == "STT_FUNC" or (kind == "STT_NOTYPE" and section in code):
        # Bit 0 of a function's value is its instruction set.
        return Symbol(name=each.name, va=va & ~1, bytes=each["st_size"], kind="function")
    if kind in {"STT_OBJECT", "STT_NOTYPE"}:
        return Symbol(name=each.name, va=va, bytes=each["st_size"], kind="object")
    return None
