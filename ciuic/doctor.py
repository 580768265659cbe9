"""`ciuic doctor`: what this machine has, what it lacks, why, and what to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ciuic import findings
from ciuic.findings import Finding, guarded
from ciuic.mesh_findings import brokers_reachable, check_addresses
from firmware_py.config import AGENT, Setting, Sources, resolve

# Those of a node's settings that decide what the doctor looks at. The bridge's own table cannot be read here: it
# needs packages whose absence is one of the findings.
_AGENT_KEYS = ("store", "trust", "allow_unsigned")
TABLE = (
    *(setting for setting in AGENT if setting.key in _AGENT_KEYS),
    Setting("broker", "list", (), "brokers to ask"),
    Setting("mesh", "text", "home", "name of the mesh"),
    Setting("state", "text", "~/.local/state/ciuic", "folder for the node's epoch"),
)
_MODELS = Path(__file__).resolve().parents[1] / "models"


def configure_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument(
        "--broker",
        action="append",
        metavar="URL",
        help="also ask this broker (CIUIC_BROKER); may be repeated",
    )
    parser.add_argument("--mesh", help="whose nodes to look for (CIUIC_MESH; default: home)")
    parser.add_argument("--store", help=f"a node's --store (CIUIC_STORE; default: {_default('store')})")
    parser.add_argument("--state", help=f"a node's --state (CIUIC_STATE; default: {_default('state')})")
    parser.add_argument("--trust", help="a node's --trust, for the bundles (CIUIC_TRUST)")
    parser.add_argument(
        "--allow-unsigned",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also take bundles without a trusted signature (CIUIC_ALLOW_UNSIGNED)",
    )
    parser.add_argument(
        "--model",
        action="append",
        type=Path,
        metavar="BUNDLE",
        help="bundles to check (default: those that ship)",
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="folder that holds proc/, sys/ and dev/ (default: /)"
    )


def _default(key: str) -> str:
    return next(str(setting.default) for setting in TABLE if setting.key == key)


def run_doctor(args: argparse.Namespace) -> int:
    """Look at everything; status 1 when something is lacking that a node cannot do without.

    Raises:
        ConfigError: `--mesh` or `--broker` has a form that is not allowed, or `--trust` is no folder.
        ProfileError: a shipped profile is broken.
    """
    asked = resolve(TABLE, Sources(vars(args), os.environ, {}, {}))
    check_addresses(asked["broker"], asked["mesh"])
    trust = partial(findings.trust_asked, asked["trust"], allow_unsigned=asked["allow_unsigned"])
    models = args.model if args.model is not None else sorted(_MODELS.glob("*.bundle"))
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", findings.python),
        ("runtime", findings.runtime),
        ("folder", partial(findings.folders, asked["store"], asked["state"])),
        ("board", partial(findings.board, args.root)),
        ("broker", findings.brokers),
        ("bundle", partial(findings.bundles, models, trust, all_needed=args.model is not None)),
        ("environment", partial(findings.environments, findings.venvs())),
        ("mesh", partial(brokers_reachable, asked["broker"], asked["mesh"])),
    ]
    found: list[Finding] = []
    for area, look in looks:
        seen = guarded(area, look)
        if area == "broker" and not any(finding.found for finding in seen):
            todo = "Install mosquitto or iotcore, or give nodes the address of a broker elsewhere."
            seen.append(Finding("broker", "any", found=False, detail="none can be started here", todo=todo))
        found += seen
        if seen and not args.json:
            _print(area, seen)
    lacking = [finding for finding in found if finding.needed and not finding.found]
    if args.json:
        print(json.dumps({"ok": not lacking, "findings": [asdict(f) for f in found]}, indent=1))
    else:
        print(
            "all that a node needs is here"
            if not lacking
            else f"lacking: {', '.join(f.name for f in lacking)}"
        )
    return 1 if lacking else 0


def _print(area: str, found: list[Finding]) -> None:
    """One area as soon as it was looked at: trying bundles takes seconds."""
    width = max(len(finding.name) for finding in found)
    print(area)
    for finding in found:
        print(f"  {'yes' if finding.found else 'no ':<4}{finding.name:<{width}}  {finding.detail}")
        if finding.todo:
            print(f"      {'':<{width}}  -> {finding.todo}")
    sys.stdout.flush()
