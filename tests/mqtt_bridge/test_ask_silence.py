"""`ciuic ask` where no reply comes: it looks around and says why."""

from __future__ import annotations

import argparse
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_py.contracts.errors import NoReplyError
from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge import cli, compose
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.node.roll import why_absent
from mqtt_bridge.testing.transport_contract import WAIT_S
from mqtt_bridge.transport.base import LinkEvent, LinkOptions
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from tests.commands import CIUIC, ENVIRONMENT, ROOT, ciuic

HELD_UP_S = 3.0  # longer than a request of a short deadline is waited for


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with start_broker() as found:
        yield found


@contextmanager
def _node(broker: BrokerProcess, folder: Path) -> Iterator[None]:
    """A node that serves `home`; it leaves cleanly at the end."""
    write_tiny_bundle(folder / "tiny.bundle")
    command = [*CIUIC, "node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    command += ["--model", str(folder / "tiny.bundle"), "--allow-unsigned", "--store", str(folder)]
    command += ["--state", "-", "--broker", broker.url]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("node n1: serves home")
            yield
        finally:
            process.terminate()
        assert process.wait(WAIT_S) == 0


def _ask(broker: BrokerProcess, *words: str, deadline_s: float = 0.2) -> tuple[str, str]:
    """The two lines of an ask that fails; the deadline is short where silence is waited for."""
    done = ciuic("ask", *words, "--deadline", str(deadline_s), "--broker", broker.url, "hello")
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    return first, second


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_task_that_no_node_serves_is_told_with_those_that_are(tmp_path: Path, version: str) -> None:
    with start_broker("mosquitto" if version == "3.1.1" else None) as broker, _node(broker, tmp_path):
        error, hint = _ask(broker, "--task", "chess", "--protocol", version)
    assert error == "error: no node of mesh home serves the task chess [unknown_task]"
    assert hint.startswith("hint: Served: home. ")


def test_one_node_that_was_asked_by_name_says_it_itself(broker: BrokerProcess, tmp_path: Path) -> None:
    with _node(broker, tmp_path):
        assert "[unknown_task]" in _ask(broker, "--task", "chess", "--to", "n1", deadline_s=30.0)[0]
        error, hint = _ask(broker, "--task", "chess", "--to", "n2")
    assert error == "error: no node n2 is up in mesh home [no_reply]"
    assert hint.startswith("hint: Up: n1. ")
    assert _ask(broker, "--to", "n2")[1].startswith("hint: No node of mesh home is up at this broker: ")


def test_a_node_that_is_up_and_silent_needs_more_time() -> None:
    silence = NoReplyError("no reply in time")
    told = why_absent(silence, "n1", "home", {"n1": ("home",)})
    assert told.message == silence.message
    assert told.hint == "Node n1 is up: give more time with --deadline."


def test_a_mesh_without_a_node_is_told(broker: BrokerProcess, tmp_path: Path) -> None:
    error, hint = _ask(broker)
    assert error.endswith("[no_reply]")
    assert hint.startswith("hint: No node of mesh home is up at this broker: ")
    with _node(broker, tmp_path):
        assert "No node of mesh shed is up" in _ask(broker, "--mesh", "shed")[1]
    assert "No node of mesh home is up" in _ask(broker)[1], "its birth is still there, but it has left"


def test_a_link_that_is_held_up_is_silence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting, or a slow name server, holds the link's thread: it cannot even say that the request is lost."""
    link = MemoryTransport(MemoryBroker(), LinkOptions("asker", ()))
    held_up = threading.Event()

    def hold(_event: LinkEvent) -> None:
        held_up.wait(HELD_UP_S)

    link.watch(hold)
    monkeypatch.setattr(compose, "build_link", lambda *_: link)
    parser = argparse.ArgumentParser()
    cli.configure_ask(parser)
    with pytest.raises(NoReplyError):
        cli.run_ask(parser.parse_args(["--deadline", "0.01", "--to", "n1", "hello"]))
