# SPDX-License-Identifier: MIT
"""`orchestrate images`: what guests start from."""

import argparse
import difflib

from orchestrator.commands import Commands, add_command
from orchestrator.errors import UsageError


def add(commands: Commands) -> None:
    """Describes the command."""
    images = add_command(commands, "images", None, "build, list or remove what guests start from")
    actions = images.add_subparsers(required=True, metavar="ACTION", dest="action")
    build = add_command(actions, "build", _build, "build or fetch images; what is there is kept")
    build.add_argument("names", nargs="*", metavar="IMAGE", help="without a name: all")
    add_command(actions, "list", _list, "list what is in the cache and what has been built")
    add_command(
        actions,
        "clean",
        _clean,
        "remove everything from the cache; it is made again on demand",
    )


def _build(args: argparse.Namespace) -> int:
    from orchestrator.images import initramfs, kernel, sources
    from orchestrator.images.store import Store

    known = (*sources.PARTS, *kernel.FLAVOURS)
    for name in args.names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else "valid: " + ", ".join(known)
            raise UsageError(f'there is no image "{name}"; {hint}')
    store = Store()
    for name in args.names or known:
        if name in sources.PARTS:
            print(f"{name:12} {sources.build(name)}", flush=True)
        else:
            image = kernel.linux_kernel(store, name)
            print(f"{name:12} {image.path}", flush=True)
            print(f"{'':12} {initramfs.base_initramfs(store, image)}", flush=True)
    return 0


def _list(_args: argparse.Namespace) -> int:
    from orchestrator.images import sources
    from orchestrator.images.store import Store
    from orchestrator.units import format_rough_size

    for entry in Store().list():
        print(f"{format_rough_size(entry.size_bytes):>8}  {entry.key:48}  {entry.path}")
    for name, part in sources.PARTS.items():
        path = sources.root() / "build" / name / part.artefact
        if path.exists():
            size = sum(f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file())
            print(f"{format_rough_size(size):>8}  {name:48}  {path}")
    return 0


def _clean(_args: argparse.Namespace) -> int:
    from orchestrator.images.store import Store
    from orchestrator.units import format_rough_size

    store = Store()
    print(f"{format_rough_size(store.clean())} freed in {store.root}")
    return 0
