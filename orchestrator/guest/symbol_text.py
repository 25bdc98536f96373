# SPDX-License-Identifier: MIT
"""What /proc/kallsyms of a Linux guest says, made from files that the host has.

The kernel's own symbols are in its image, those of a module in its file; only where a module lies is
the guest's to say. A system test holds the text against the guest's.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from orchestrator.errors import GuestError
from orchestrator.guest.symbols_kallsyms import parse_kallsyms
from orchestrator.images import modules
from orchestrator.images.kernel import KernelImage
from orchestrator.images.store import Store, storage_errors

_FILE: Final = "kallsyms"
_CODE: Final = SH_FLAGS.SHF_ALLOC | SH_FLAGS.SHF_EXECINSTR


def symbol_text(store: Store, kernel: KernelImage, sections: str) -> str:
    """Address, type and name of each symbol, a line each.

    Args:
        store: Keeps the kernel's part.
        kernel: The guest's.
        sections: Module, section and address, a line each, as the guest's agent has saved them;
            in the order of /proc/modules.

    Raises:
        GuestError: It names a module that the kernel's package does not have.
        UsageError: The kernel has no symbols.
        StorageError: A file cannot be read or written.
    """

    def fill(directory: Path) -> None:
        rows = parse_kallsyms(kernel.path.read_bytes(), source=str(kernel.path))
        text = "".join(f"{va:08x} {letter} {name}\n" for va, letter, name in rows)
        (directory / _FILE).write_text(text)

    with storage_errors(f"cannot read the symbols of {kernel.path}"):
        text = (store.entry(f"kallsyms/{kernel.sha256[:24]}", fill) / _FILE).read_text()
        return text + "".join(_module_lines(kernel, sections))


def _module_lines(kernel: KernelImage, sections: str) -> Iterator[str]:
    places: dict[str, dict[str, int]] = {}
    for line in sections.splitlines():
        module, section, address = line.split()
        places.setdefault(module, {})[section] = int(address, 16)
    files = {
        modules.module_name(path.name): path
        for path in (kernel.modules_dir or Path()).glob("lib/modules/*/kernel/**/*.ko*")
        if kernel.modules_dir is not None
    }
    for module, addresses in places.items():
        if module not in files:
            raise GuestError(f"module {module} is loaded, but {kernel.version} has no such file")
        for va, name in _code_symbols(modules.content(files[module]), addresses):
            yield f"{va:08x} t {name}\t[{module}]\n"


def _code_symbols(content: bytes, addresses: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Symbols of code that stays, as kernel/module/kallsyms.c keeps them without KALLSYMS_ALL."""
    elf = ELFFile(io.BytesIO(content))
    kept = {
        number: addresses[section.name]
        for number, section in enumerate(elf.iter_sections())
        if section["sh_flags"] & _CODE == _CODE
        and section.name in addresses
        and not section.name.startswith(".init")
    }
    table = elf.get_section_by_name(".symtab")
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        if symbol["st_shndx"] in kept and symbol["st_info"]["type"] != "STT_SECTION":
            yield kept[symbol["st_shndx"]] + symbol["st_value"], symbol.name
