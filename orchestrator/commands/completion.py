# SPDX-License-Identifier: MIT
"""`orchestrate completion`: scripts for shells."""

import argparse
from collections.abc import Iterator

from orchestrator.commands import Commands, add_command


def add(commands: Commands) -> None:
    """Describes the command."""
    completion = add_command(
        commands, "completion", _completion, "print the completion script of a shell"
    )
    completion.epilog = 'For bash, put eval "$(orchestrate completion bash)" into ~/.bashrc.'
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])


def _completion(args: argparse.Namespace) -> int:
    import shtab

    from orchestrator.images import kernel, sources

    for action in all_actions(args.parser):
        if action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's documented way
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # the same
        elif action.metavar == "IMAGE":
            action.choices = (*sources.PARTS, *kernel.FLAVOURS)
    print(shtab.complete(args.parser, shell=args.shell))
    return 0


def all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a command line, those of commands and their actions included."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to walk its tree
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for child in action.choices.values():
                yield from all_actions(child)
