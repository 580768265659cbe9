"""Where a node finds itself: its board's profile, its bundles, whom it trusts, what it is called."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_profiles.detect import detect
from device_profiles.loader import load_profile
from device_profiles.profile import BoardProfile
from firmware_py.bundles.verify import Trust, trust_folder
from firmware_py.config import AgentConfig

ROOT = Path("/")
CHECKOUT = Path(__file__).resolve().parents[2]
SHIPPED_TRUST = CHECKOUT / "models" / "trust"
_SMALL_BOARD_BYTES = 768 * 2**20
_SMALL_BUDGET_BYTES = 24 * 2**20


def board_of(name: str, root: Path = ROOT) -> tuple[BoardProfile, bool]:
    """The profile to use and whether it is simulated: it is unless this machine is that board.

    Raises:
        ProfileError: there is no such profile, or it breaks its form.
    """
    here = detect(root)
    profile = load_profile(name or here or "simulated")
    return profile, profile.name != here


def profile_values(name: str) -> Mapping[str, Any]:
    """What a board says of settings: boards with little memory hold fewer graphs.

    Raises:
        ProfileError: as `board_of`.
    """
    profile, _ = board_of(name)
    return {"memory_bytes": _SMALL_BUDGET_BYTES} if profile.memory_bytes < _SMALL_BOARD_BYTES else {}


def trust_of(config: AgentConfig) -> Trust:
    """The operator's trust folder, and the publishers whose keys ship with this code.

    Raises:
        ConfigError: the configured folder is not there.
    """
    named = Path(config.trust).expanduser() if config.trust else None
    folder = trust_folder(named, Path("~/.config/ciuic/trust").expanduser())
    return Trust(folder, config.allow_unsigned, () if config.trust else (SHIPPED_TRUST,), apart=True)


def shipped(path: str) -> Path:
    """The bundle at a path; a relative one that is not here is looked for where this code lies."""
    here, there = Path(path), CHECKOUT / path
    return there if not here.exists() and there.is_file() else here


def node_name(config: AgentConfig) -> str:
    """The configured name, else one of the host name that fits a topic level."""
    return config.node or re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-") or "node"
