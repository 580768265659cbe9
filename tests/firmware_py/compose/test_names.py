"""A node with a names file: resolved slots in replies, and a cache that forgets old names."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from firmware_py.agent import CiuicNode
from firmware_py.compose import build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import NamesError
from firmware_py.contracts.request import Qos, Request
from firmware_py.testing.tiny_bundle import write_tiny_bundle


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    write_tiny_bundle(tmp_path / "tiny.bundle")
    (tmp_path / "names.toml").write_text("[[area]]\nid = 'k1'\nname = 'Kitchen'\n", encoding="utf-8")
    return AgentConfig(
        profile="simulated",
        model=(str(tmp_path / "tiny.bundle"),),
        names=str(tmp_path / "names.toml"),
        store=str(tmp_path / "store"),
        allow_unsigned=True,
        self_test="never",
        meter="off",
    )


def area(node: CiuicNode) -> tuple[str | None, dict[str, Any]]:
    """Cache and area slot of an answer."""
    qos, now_s = Qos(deadline_s=60.0), SystemClock().now_s()
    reply = node.answer(Request("1", "home", {"text": "turn on the kitchen light"}, qos, arrived_s=now_s))
    assert reply.result is not None
    return reply.route.cache, reply.result["slots"][0]


def test_names_resolve_and_a_changed_file_changes_cached_answers(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firmware_py.tasks.names_file.LOOK_S", 0.01)
    path = Path(config.names)
    with build_node(config) as node:
        cache, slot = area(node)
        assert (cache, slot["value"], slot["id"], slot["kind"]) == ("miss", "Kitchen", "k1", "area")
        assert area(node) == ("hit", slot)
        path.write_text("[[area]]\nid = 'k2'\nname = 'Cook shop'\naliases = ['kitchen']\n", encoding="utf-8")
        os.utime(path, ns=(path.stat().st_mtime_ns + 10**9,) * 2)
        for _ in range(500):
            cache, slot = area(node)
            if slot["id"] == "k2":
                break
            threading.Event().wait(0.01)
        assert (cache, slot["value"]) == ("miss", "Cook shop")
        assert area(node)[0] == "hit"
    assert not [thread for thread in threading.enumerate() if thread.name == "names"]


def test_a_node_does_not_start_with_names_that_cannot_be_read(config: AgentConfig) -> None:
    Path(config.names).write_text("[[area]]\nid = 'k1'\n", encoding="utf-8")
    with pytest.raises(NamesError, match=r"names.toml: area\[0\].name is missing"):
        build_node(config)
    assert not [thread for thread in threading.enumerate() if thread.name == "names"]
