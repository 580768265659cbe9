"""`ciuic profile list|check|detect`: what boards are known, whether a file is right, which is this."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device_profiles.detect import compatible, detect, model
from device_profiles.loader import list_accessories, list_profiles, load_accessory, load_profile
from device_profiles.profile import BoardProfile, ProfileError


def configure_profile(parser: argparse.ArgumentParser) -> None:
    """Add the three sub-verbs."""
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|check|detect")
    listing = verbs.add_parser("list", help="list the shipped boards and accessories")
    check = verbs.add_parser("check", help="load profiles strictly; without names, every shipped one")
    check.add_argument(
        "profiles",
        nargs="*",
        metavar="NAME|FILE.toml",
        help="shipped profiles by name, yours by path (default: every shipped one)",
    )
    this = verbs.add_parser("detect", help="name the shipped profile that fits this machine")
    this.add_argument(
        "--root", type=Path, default=Path("/"), help="folder that holds proc/ and sys/ (default: /)"
    )
    for verb in (listing, check, this):
        verb.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run_profile(args: argparse.Namespace) -> int:
    """Run the asked sub-verb.

    Raises:
        ProfileError: a shipped profile is broken (list, detect).
    """
    if args.what == "list":
        return _list(as_json=args.json)
    if args.what == "check":
        return _check(args.profiles, as_json=args.json)
    return _detect(args.root, as_json=args.json)


def _list(*, as_json: bool) -> int:
    boards = [load_profile(name) for name in list_profiles()]
    extras = [load_accessory(name) for name in list_accessories()]
    if as_json:
        rows = [asdict(board) | {"tier": board.tier} for board in boards]
        _print_json({"boards": rows, "accessories": [asdict(extra) for extra in extras]})
        return 0
    print(f"{'name':<22} {'arch':<8} {'cores':>5} {'memory':>8}  {'tier':<7} title")
    for board in boards:
        memory = f"{board.memory_bytes / 2**30:g} GiB"
        print(f"{board.name:<22} {board.arch:<8} {board.cores:>5} {memory:>8}  {board.tier:<7} {board.title}")
    for extra in extras:
        print(f"{extra.name:<22} {'accessory':<31}  {extra.title}")
    return 0


def _check(names: list[str], *, as_json: bool) -> int:
    rows = [_checked(name) for name in names or list_profiles()]
    if not names:
        rows += [_checked_accessory(name) for name in list_accessories()]
    if as_json:
        _print_json({"profiles": rows})
    else:
        for row in rows:
            print(f"{'ok' if row['ok'] else 'WRONG':<6} {row['profile']}")
            for line in (
                [f"{row['error']} [{row['code']}]", f"hint: {row['hint']}"] if row["error"] else row["todo"]
            ):
                print(f"       {line}")
    return 0 if all(row["ok"] for row in rows) else 1


def _checked(name: str) -> dict[str, Any]:
    try:
        board = load_profile(name, strict_name=True)
    except ProfileError as error:
        return _wrong(name, error)
    return _right(name, board.tier, _todo(board))


def _checked_accessory(name: str) -> dict[str, Any]:
    try:
        load_accessory(name)
    except ProfileError as error:
        return _wrong(name, error)
    return _right(name, None, [])


def _right(name: str, tier: str | None, todo: list[str]) -> dict[str, Any]:
    return {
        "profile": name,
        "ok": True,
        "error": None,
        "code": None,
        "hint": None,
        "tier": tier,
        "todo": todo,
    }


def _wrong(name: str, error: ProfileError) -> dict[str, Any]:
    said = {"error": error.message, "code": error.code, "hint": error.hint}
    return {"profile": name, "ok": False, **said, "tier": None, "todo": []}


def _todo(board: BoardProfile) -> list[str]:
    return [f"todo {name}: {rule.reason}" for name, rule in board.quality.items() if rule.status == "todo"]


def _detect(root: Path, *, as_json: bool) -> int:
    name = detect(root)
    if as_json:
        _print_json({"profile": name, "model": model(root), "compatible": list(compatible(root))})
    elif name:
        print(name)
    else:
        print(f"none of the shipped profiles (device tree: {', '.join(compatible(root)) or 'none'})")
    return 0 if name else 1


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))
