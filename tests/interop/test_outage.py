"""Real processes under stress: a flood, a broker that dies, a node that dies. Every id gets one answer."""

from __future__ import annotations

import collections
import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.transport.rpc import Client, ClientOptions, new_id
from tests.commands import CIUIC, ENVIRONMENT, ROOT

WAIT_S = 30.0


@contextlib.contextmanager
def running_node(
    broker: BrokerProcess, folder: Path, name: str, *words: str
) -> Iterator[subprocess.Popen[str]]:
    bundle = folder / "tiny.bundle"
    if not bundle.exists():
        write_tiny_bundle(bundle)
    command = [*CIUIC, "node", "run", "--id", name, "--simulate", "--meter", "off"]
    command += ["--model", str(bundle), "--allow-unsigned", "--store", str(folder / name), "--state", "-"]
    command += ["--cache-entries", "0", "--broker", broker.url, *words]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"node {name}: serves")
        try:
            yield process
        finally:
            process.kill()


class Asker:
    """A client, and every reply that its callbacks got; without `retry` it is as foreign ones are."""

    def __init__(
        self, broker: BrokerProcess, name: str = "asker", *, retry: bool = True, qos: int = 1, keep_s: int = 0
    ) -> None:
        self.link = MqttTransport(LinkOptions(name, (broker.url,), session_expiry_s=keep_s))
        self.client = Client(self.link, ClientOptions(name, retry=retry, qos=qos))
        self.answers: queue.Queue[tuple[str, Reply | None]] = queue.Queue()

    def send(self, deadline_s: float) -> str:
        request = Request(
            new_id(), "home", {"text": f"turn on the kitchen light {new_id()}"}, Qos(deadline_s)
        )
        self.client.send(request, lambda reply: self.answers.put((request.id, reply)))
        return request.id

    def collect(self, count: int) -> list[tuple[str, Reply | None]]:
        return [self.answers.get(timeout=WAIT_S) for _ in range(count)]


@pytest.fixture
def broker(kind: str) -> Iterator[BrokerProcess]:
    """One for each test: they kill it."""
    with start_broker(kind) as found:
        yield found


def test_a_broker_killed_and_restarted_in_a_run_loses_no_question(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    asker = Asker(broker)
    with running_node(broker, tmp_path, "n1") as node, asker.link as link:
        link.wait_up(WAIT_S)
        asked, pause = [], threading.Event()
        for number in range(120):
            asked.append(asker.send(deadline_s=20.0))
            if number == 60:
                broker.kill()
            if number == 90:
                broker.start()
            pause.wait(0.005)
        answers = asker.collect(len(asked))
        assert sorted(found for found, _reply in answers) == sorted(asked)
        assert all(reply is not None and reply.status in ("ok", "out_of_scope") for _id, reply in answers)
        assert asker.client.counts.lost == 0
        assert node.poll() is None


def test_an_outage_costs_foreign_clients_what_was_under_way_and_ours_nothing(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    """The three rows of docs/ref-topics.md: each question ends once, as answered or as lost, and ours as answered."""
    askers = {
        "ours": Asker(broker, "ours"),
        "foreign QoS 1, session kept": Asker(broker, "foreign1", retry=False, keep_s=60),
        "foreign QoS 0": Asker(broker, "foreign0", retry=False, qos=0),
    }
    with running_node(broker, tmp_path, "n1") as node, contextlib.ExitStack() as links:
        for asker in askers.values():
            links.enter_context(asker.link).wait_up(WAIT_S)
        pause = threading.Event()
        asked: dict[str, list[str]] = {name: [] for name in askers}
        for number in range(100):
            for name, asker in askers.items():
                asked[name].append(asker.send(deadline_s=6.0))
            if number == 40:
                broker.kill()
            if number == 60:
                broker.start()
            pause.wait(0.005)
        rows = {}
        for name, asker in askers.items():
            ends = asker.collect(100)
            assert sorted(found for found, _reply in ends) == sorted(asked[name])
            replies = [reply for _id, reply in ends if reply is not None]
            assert all(reply.status in ("ok", "out_of_scope") for reply in replies)
            counts = asker.client.counts
            rows[name] = (len(replies), counts.lost)
            # A question that was given up may be answered yet, which does not make it answered.
            assert (counts.answered, counts.lost, counts.strays) == (len(replies), 100 - len(replies), 0)
            assert asker.answers.empty()
        sys.stdout.write(f"acknowledged, lost of 100 with {broker.kind.name} killed: {rows}\n")
        assert rows["ours"] == (100, 0)
        assert all(acknowledged >= 20 for acknowledged, _lost in rows.values())
        assert node.poll() is None


def test_a_flood_beyond_the_bound_is_answered_in_full(broker: BrokerProcess, tmp_path: Path) -> None:
    """What does not fit is refused with a time to come back; the node lives on."""
    asker = Asker(broker, retry=False)
    words = ("--queue-bound", "4", "--profile", "raspberry-pi-zero-2w")
    with running_node(broker, tmp_path, "n1", *words) as node, asker.link as link:
        link.wait_up(WAIT_S)
        asked = [asker.send(deadline_s=20.0) for _ in range(300)]
        answers = asker.collect(len(asked))
        assert sorted(found for found, _reply in answers) == sorted(asked)
        codes = collections.Counter(
            reply.error.code if reply.error is not None else reply.status
            for _id, reply in answers
            if reply is not None
        )
        assert codes["queue_full"] > 0
        assert codes["ok"] + codes["out_of_scope"] > 0
        assert set(codes) <= {"queue_full", "shed", "ok", "out_of_scope"}
        for _id, reply in answers:
            if reply is not None and reply.error is not None:
                assert reply.error.hint
        last = asker.send(deadline_s=20.0)
        found, reply = asker.collect(1)[0]
        assert (found, reply is not None) == (last, True)
        assert node.poll() is None


def test_a_node_killed_in_a_run_is_stood_in_for(broker: BrokerProcess, tmp_path: Path) -> None:
    asker = Asker(broker)
    with (
        running_node(broker, tmp_path, "n1") as first,
        running_node(broker, tmp_path, "n2"),
        asker.link as link,
    ):
        link.wait_up(WAIT_S)
        asked, pause = [], threading.Event()
        for number in range(100):
            asked.append(asker.send(deadline_s=10.0))
            if number == 50:
                first.send_signal(signal.SIGKILL)
            pause.wait(0.005)
        answers = asker.collect(len(asked))
        assert sorted(found for found, _reply in answers) == sorted(asked)
        assert all(reply is not None and reply.error is None for _id, reply in answers)
        assert {reply.route.node for _id, reply in answers if reply is not None} == {"n1", "n2"}
