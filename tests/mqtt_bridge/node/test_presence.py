"""Birth, state, will and heartbeat of a node, as an observer sees them."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.node_state import Birth, Heartbeat, Lifecycle
from mqtt_bridge.node.epoch import next_epoch
from mqtt_bridge.node.presence import Presence, state_message
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport


def _node(broker: MemoryBroker, epoch: int) -> tuple[MemoryTransport, Presence]:
    link = MemoryTransport(broker, LinkOptions("n1", (), will=state_message("home", "n1", epoch, "lost")))
    birth = Birth("n1", epoch, "simulated", True, (), "2026-01-01T00:00:00+00:00")

    def beat() -> Heartbeat:
        return Heartbeat("n1", epoch, 0, 0, 0, 0, None, "none", True)

    return link, Presence(link, "home", birth, beat, period_s=0.05)


def _living(broker: MemoryBroker, epoch: int) -> tuple[MemoryTransport, Presence]:
    """A node whose link is up."""
    link, presence = _node(broker, epoch)
    presence.start()
    link.start()
    link.wait_up(WAIT_S)
    return link, presence


def _watch(broker: MemoryBroker, topic: str, name: str = "observer") -> tuple[MemoryTransport, Inbox]:
    inbox = Inbox()
    link = MemoryTransport(broker, LinkOptions(name, ()))
    link.subscribe(topic, inbox)
    link.start()
    link.wait_up(WAIT_S)
    return link, inbox


def _states(inbox: Inbox, count: int) -> list[Any]:
    return [
        (data["state"], data["epoch"]) for data in (json.loads(inbox.take().payload) for _ in range(count))
    ]


def test_a_life_is_told_from_birth_to_goodbye() -> None:
    broker = MemoryBroker()
    observer, states = _watch(broker, "ciuic/v1/home/node/+/state")
    beats_link, beats = _watch(broker, "ciuic/v1/home/node/+/hb", "beats")
    link, presence = _node(broker, 7)
    presence.start()
    link.start()
    assert json.loads(beats.take().payload)["epoch"] == 7
    presence.stop()
    link.close()
    assert _states(states, 2) == [("ready", 7), ("disconnected", 7)]
    assert states.nothing_more()  # a clean goodbye has no will
    late, births = _watch(broker, "ciuic/v1/home/node/+/birth", "late")
    assert births.take().retain
    for each in (observer, beats_link, late):
        each.close()


def test_a_heartbeat_that_cannot_be_said_is_not_the_last() -> None:
    broker = MemoryBroker()
    watching, beats = _watch(broker, "ciuic/v1/home/node/+/hb")
    link = MemoryTransport(broker, LinkOptions("n1", ()))
    counts = itertools.count()

    def beat() -> Heartbeat:
        power_w = float("nan") if next(counts) == 1 else 1.0
        return Heartbeat("n1", 7, 0, 0, 0, 0, power_w, "x", True)

    birth = Birth("n1", 7, "simulated", True, (), "2026-01-01T00:00:00+00:00")
    presence = Presence(link, "home", birth, beat, period_s=0.05)
    presence.start()
    link.start()
    for _ in range(3):
        beats.take()
    presence.stop()
    for each in (link, watching):
        each.close()


def test_disconnected_is_the_last_word() -> None:
    """Even where a beat is being made up on the transport's thread while another stops the node."""
    broker = MemoryBroker()
    watching, words = _watch(broker, "ciuic/v1/home/node/+/+")
    link = MemoryTransport(broker, LinkOptions("n1", ()))
    begun, go = threading.Event(), threading.Event()

    def beat() -> Heartbeat:
        begun.set()
        go.wait(WAIT_S)
        return Heartbeat("n1", 7, 0, 0, 0, 0, None, "none", True)

    birth = Birth("n1", 7, "simulated", True, (), "2026-01-01T00:00:00+00:00")
    presence = Presence(link, "home", birth, beat, period_s=0.05)
    presence.start()
    link.start()
    assert begun.wait(WAIT_S)
    presence.stop()
    go.set()
    link.close()
    while b"disconnected" not in words.take().payload:
        pass
    assert words.nothing_more()
    watching.close()


def test_a_death_says_lost_with_the_epoch_of_its_birth() -> None:
    broker = MemoryBroker()
    observer, states = _watch(broker, "ciuic/v1/home/node/+/state")
    link, _ = _living(broker, 8)
    assert _states(states, 1) == [("ready", 8)]
    link.kill()
    assert _states(states, 1) == [("lost", 8)]
    observer.close()


@pytest.mark.parametrize(("epoch", "word"), [(7, "lost"), (8, "lost"), (8, "disconnected")])
def test_an_end_that_is_told_late_does_not_bury_a_living_node(epoch: int, word: Lifecycle) -> None:
    """From its life before, or from its own link to another broker that is bridged: the retained word must be true."""
    broker = MemoryBroker()
    link, presence = _living(broker, 8)
    observer, states = _watch(broker, "ciuic/v1/home/node/+/state")
    assert _states(states, 1) == [("ready", 8)]
    broker.publish(state_message("home", "n1", epoch, word))
    assert _states(states, 2) == [(word, epoch), ("ready", 8)]
    presence.stop()
    link.close()
    assert _states(states, 1) == [("disconnected", 8)]
    assert states.nothing_more()
    observer.close()


def test_a_node_that_leaves_a_broker_says_so_and_nothing_more_until_it_stays() -> None:
    broker = MemoryBroker()
    observer, words = _watch(broker, "ciuic/v1/home/node/+/+")
    link, presence = _living(broker, 8)
    while json.loads(words.take().payload).get("state") != "ready":
        pass
    link.call_soon(presence.leave)
    while json.loads(words.take().payload).get("state") != "disconnected":
        pass
    assert words.nothing_more()  # no heartbeat, and its own goodbye is not taken for a late one
    link.call_soon(presence.resume)
    assert json.loads(words.take().payload)["profile"] == "simulated"
    assert json.loads(words.take().payload)["state"] == "ready"
    presence.stop()
    link.call_soon(presence.leave)
    link.call_soon(presence.resume)
    while json.loads(words.take().payload).get("state") != "disconnected":
        pass
    assert words.nothing_more()  # it has ended
    for each in (link, observer):
        each.close()


def test_a_later_life_and_what_is_no_state_are_not_answered() -> None:
    """Two nodes of one name would talk each other down for ever."""
    broker = MemoryBroker()
    link, presence = _living(broker, 8)
    observer, states = _watch(broker, "ciuic/v1/home/node/+/state")
    assert _states(states, 1) == [("ready", 8)]
    for payload in (b"", b"[]", b"\xff", state_message("home", "n1", 9, "ready").payload):
        broker.publish(Message("ciuic/v1/home/node/n1/state", payload, 1))
        assert states.take().payload == payload
    assert states.nothing_more()
    presence.stop()
    link.close()
    observer.close()


@pytest.mark.parametrize("word", ["lost", "disconnected"])
def test_who_stays_where_another_of_its_name_gave_way_says_all_again(word: Lifecycle) -> None:
    """Else the birth and the end of that one, which has the later epoch, would stand for both."""
    broker = MemoryBroker()
    link, presence = _living(broker, 8)
    observer, words = _watch(broker, "ciuic/v1/home/node/+/+")
    broker.publish(state_message("home", "n1", 9, word))
    while json.loads(words.take().payload).get("epoch") != 9:
        pass
    said: list[tuple[str, int]] = []
    while len(said) < 2:
        message = words.take()
        if not message.topic.endswith("/hb"):
            said.append((message.topic.rpartition("/")[2], json.loads(message.payload)["epoch"]))
    assert said == [("birth", 8), ("state", 8)]
    presence.stop()
    link.close()
    observer.close()


def test_a_node_that_cannot_be_asked_does_not_say_ready_until_it_can() -> None:
    """The broker may take a filter later: that is looked at with each beat, and said once."""
    broker, serving = MemoryBroker(), threading.Event()
    observer, states = _watch(broker, "ciuic/v1/home/node/+/state")
    link, presence = _node(broker, 8)
    told: list[str] = []
    presence.ready_if(serving.is_set)
    presence.watch(told.append)
    presence.start()
    link.start()
    assert _states(states, 1) == [("init", 8)]
    assert states.nothing_more()
    broker.publish(state_message("home", "n1", 7, "lost"))
    assert _states(states, 2) == [("lost", 7), ("init", 8)]
    serving.set()
    assert _states(states, 1) == [("ready", 8)]
    serving.clear()
    assert _states(states, 1) == [("init", 8)]
    presence.stop()
    link.close()
    assert told == ["init", "init", "ready", "init", "disconnected"]
    observer.close()


def test_after_an_outage_everything_is_said_again() -> None:
    broker = MemoryBroker()
    link, presence = _living(broker, 9)
    broker.stop()
    broker.restart()
    observer, births = _watch(broker, "ciuic/v1/home/node/+/birth")
    assert json.loads(births.take().payload)["epoch"] == 9
    presence.stop()
    link.close()
    observer.close()


def test_the_epoch_grows_even_where_the_clock_starts_in_the_past(tmp_path: Path) -> None:
    late, early = VirtualClock(1000.0), VirtualClock(0.0)
    first = next_epoch(late, tmp_path)
    second = next_epoch(early, tmp_path)
    third = next_epoch(early, tmp_path)
    assert first < second < third
    assert next_epoch(early, None) < first


def test_the_epoch_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut an empty file would let an old will outlive a new birth."""
    flushed: list[str] = []
    honest = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    epoch = next_epoch(VirtualClock(), tmp_path / "n1")
    assert (tmp_path / "n1" / "epoch").read_text() == f"{epoch}\n"
    assert any("epoch" in name for name in flushed)
    assert str(tmp_path / "n1") in flushed


def test_a_state_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):
        next_epoch(VirtualClock(), tmp_path / "file")


@pytest.mark.parametrize("told", ["9" * 30, "9" * 4300, "-5", "x", ""])
def test_what_is_no_epoch_in_the_file_is_not_believed(tmp_path: Path, told: str) -> None:
    (tmp_path / "epoch").write_text(told)
    assert next_epoch(VirtualClock(1000.0), tmp_path) == next_epoch(VirtualClock(1000.0), None)


def test_a_disk_that_is_full_by_now_does_not_keep_a_node_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = next_epoch(VirtualClock(1000.0), tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mqtt_bridge.node.epoch.write_atomic", full)
    assert next_epoch(VirtualClock(0.0), tmp_path) == first + 1
    assert "No space left" in caplog.text
