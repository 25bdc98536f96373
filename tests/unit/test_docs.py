# SPDX-License-Identifier: MIT
"""What the documents show is there: commands, options, modules, links, files, tests.

The config's keys are held against dual.toml in test_config.
"""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import cli
from orchestrator.commands.completion import all_actions

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Where it is shown, and the words of each call in a block, without comments."""
    for document in [*DOCUMENTS, ROOT / "dual.toml"]:
        text = document.read_text()
        blocks = [text] if document.suffix == ".toml" else BLOCK.findall(text)
        for block in blocks:
            for line in block.replace("\\\n", " ").splitlines():
                call = line.lstrip("# ")
                if call.startswith(f"{program} "):
                    yield document.name, shlex.split(call, comments=True)


def test_every_call_of_orchestrate_that_is_shown_is_one() -> None:
    found = list(commands("orchestrate"))
    assert len(found) > 30
    for where, words in found:
        own, command = cli._split_command(words[1:])
        args = cli.build_parser().parse_args(own)
        assert command is None or args.takes_command, (where, words)


def test_every_module_that_is_shown_can_be_run() -> None:
    found = {words[2] for _, words in commands("python -m")}
    found |= {
        name
        for document in DOCUMENTS
        for name in re.findall(r"`python -m ([\w.]+)", document.read_text())
    }
    assert len(found) > 3
    assert [name for name in found if importlib.util.find_spec(name) is None] == []


def test_every_option_that_is_spoken_of_is_there() -> None:
    options = {
        option for action in all_actions(cli.build_parser()) for option in action.option_strings
    }
    spoken = {
        option
        for document in DOCUMENTS
        for code in re.findall(r"`(orchestrate [^`]+)`", document.read_text())
        for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", code)
    }
    assert spoken
    assert spoken <= options


def anchors(document: Path) -> set[str]:
    """Where a link into it can lead."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The project's files and folders, as paths from its root."""
    made = {".git", ".venv", "build"}
    tops = [each for each in ROOT.iterdir() if each.name not in made]
    found = [path for top in tops for path in (top, *top.rglob("*"))]
    return {str(path.relative_to(ROOT)) for path in found}


@each_document
def test_files_and_tests_that_are_named_are_there(document: Path, files: set[str]) -> None:
    tops = {each.partition("/")[0] for each in files if "/" in each}
    names = {Path(each).name for each in files}
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for code in re.findall(r"`([^`\n]+)`", document.read_text()):
        for name in re.findall(r"[\w.-]+(?:/[\w.*-]+)+", code):
            if name.partition("/")[0] in tops and "*" not in name:
                assert name.rstrip("/.") in files, name
        for name in re.findall(r"(?<![\w/-])[\w-]+\.(?:c|h|S|py)\b", code):
            assert name in names, name
        for name in re.findall(r"(?<![\w/])test_\w+(?!\w|\.)", code):
            assert f"def {name}(" in tests, name
