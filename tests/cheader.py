# SPDX-License-Identifier: MIT
"""Sizes, offsets and constants of a C header, as the host's compiler sees them."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def measured(header: Path, expressions: Iterable[str], folder: Path) -> dict[str, int]:
    """The value of each expression after that header has been included.

    Args:
        header: What is included.
        expressions: Of C, integers, such as "sizeof(struct x)" or the name of a constant.
        folder: An empty one for the program that tells.
    """
    lines = "\n".join(
        f'    printf("%s=%llu\\n", "{each}", (unsigned long long)({each}));' for each in expressions
    )
    source, program = folder / "print.c", folder / "print"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n"
        f'#include "{header.name}"\nint main(void)\n{{\n{lines}\n}}\n'
    )
    compiler = shutil.which("gcc")
    assert compiler, "the tests need the host's gcc: apt install gcc"
    subprocess.run([compiler, "-I", header.parent, "-o", program, source], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (row.split("=") for row in printed.splitlines())}
