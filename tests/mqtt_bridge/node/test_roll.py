"""Who is up is read from what nodes said of themselves, and what to say when nobody answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firmware_py.contracts.errors import NoReplyError
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.node.roll import Roll, Seen, look_around, why_silent
from mqtt_bridge.testing.transport_contract import WAIT_S, until
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport

SILENCE = NoReplyError("no reply")


def _said(node: str, kind: str, data: Any) -> Message:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Message(f"ciuic/v1/home/node/{node}/{kind}", payload, 1, retain=True)


def _birth(epoch: Any = 1, *tasks: Any) -> dict[str, Any]:
    return {"v": 1, "epoch": epoch, "tasks": [{"name": task} for task in tasks]}


def _state(state: str = "ready", epoch: Any = 1) -> dict[str, Any]:
    return {"v": 1, "epoch": epoch, "state": state}


def test_a_node_is_up_by_its_birth_and_a_state_that_is_not_older() -> None:
    roll = Roll()
    for node, birth, state in [
        ("ready", _birth(2, "home", "chess"), _state(epoch=2)),
        ("lost", _birth(1, "home"), _state("lost")),
        ("back-after-a-late-will", _birth(3, "home"), _state("ready", 3)),
        ("unborn", None, _state()),
        ("mute", _birth(1, "home"), None),
        ("old-state", _birth(5, "home"), _state("ready", 4)),
    ]:
        if birth is not None:
            roll.hear(_said(node, "birth", birth))
        if state is not None:
            roll.hear(_said(node, "state", state))
    assert roll.up() == {"ready": ("home", "chess"), "back-after-a-late-will": ("home",)}
    roll.hear(_said("ready", "birth", b""))
    assert "ready" not in roll.up()


@pytest.mark.parametrize(
    "birth",
    [
        b"\xff",
        b"no json",
        b"[]",
        b"{}",
        _birth("x", 5, None, "a b", "\x1b[31mred"),
        {"tasks": {"name": "home"}},
    ],
)
def test_a_hostile_birth_names_no_task(birth: Any) -> None:
    roll = Roll()
    roll.hear(_said("n1", "birth", birth))
    roll.hear(_said("n1", "state", _state()))
    roll.hear(_said("n1", "hb", _state()))
    assert all(tasks == () for tasks in roll.up().values())


def test_what_a_node_said_is_told_without_what_would_reach_a_terminal() -> None:
    roll = Roll()
    roll.hear(_said("a", "birth", _birth(2, "home") | {"profile": "raspberry-pi-5", "simulated": True}))
    roll.hear(_said("a", "state", _state("lost", 1)))
    roll.hear(_said("b", "birth", _birth(1) | {"profile": "\x1b[31mred", "simulated": "yes"}))
    roll.hear(_said("b", "state", _state("\x1b[31mred")))
    roll.hear(_said("c", "birth", b"no json"))
    roll.hear(_said("c", "state", _state()))
    assert roll.seen() == (
        Seen("a", "unknown", ("home",), "raspberry-pi-5", simulated=True),
        Seen("b", "unknown", (), "unknown", simulated=False),
        Seen("c", "unknown", (), "unknown", simulated=False, readable=False),
    )


def test_nobody_up_nobody_serving_and_too_slow_are_three_answers() -> None:
    alone = why_silent(SILENCE, "chess", "home", {})
    assert (alone.code, alone.message) == ("no_reply", "no reply")
    assert "No node of mesh home is up" in alone.hint
    unserved = why_silent(SILENCE, "chess", "home", {"a": ("home", "clinc150"), "b": ("home",)})
    assert unserved.code == "unknown_task"
    assert "Served: clinc150, home." in unserved.hint
    slow = why_silent(SILENCE, "home", "home", {"a": ("home",), "b": ()})
    assert slow.code == "no_reply"
    assert "1 of 2 nodes" in slow.hint


def test_a_look_around_reads_what_the_broker_keeps_and_leaves_no_subscription() -> None:
    with start_broker() as broker:
        node = MqttTransport(LinkOptions("n1", (broker.url,)))
        asker = MqttTransport(LinkOptions("asker", (broker.url,)))
        with node, asker:
            for link in (node, asker):
                link.wait_up(WAIT_S)
            node.publish(_said("n1", "birth", _birth(1, "home")))
            node.publish(_said("n1", "state", _state()))
            until(lambda: look_around(asker, "home", 0.2) == {"n1": ("home",)})
            assert look_around(asker, "elsewhere", 0.2) == {}
            assert not asker.filters
            broker.kill()
            until(lambda: not asker.connected)
            assert look_around(asker, "home", 0.0) is None
