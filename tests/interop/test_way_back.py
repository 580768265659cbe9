"""A node whose first broker dies and comes back: it serves on the second meanwhile, and every question ends once."""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import until
from tests.brokers import needs_mosquitto
from tests.commands import CIUIC, ENVIRONMENT, ROOT, ciuic

WAIT_S = 30.0
NOBODY = 0x10  # no matching subscribers (MQTT 5, 3.4.2.1)


class Asker:
    """A foreign client of one broker that asks without rest, each question once; it knows what the broker said of each."""

    def __init__(self, broker: BrokerProcess, name: str) -> None:
        self.sent_s: dict[str, float] = {}
        self.replies: collections.Counter[str] = collections.Counter()
        self.ends: collections.Counter[str] = collections.Counter()  # statuses, and codes of errors
        self._name = name
        # By packet number, each written by one thread: paho holds a lock of its own in `publish` and around `_on_publish`.
        self._ids: dict[int, str] = {}
        self._codes: dict[int, int] = {}
        self._stop = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.ports.v5)
        self._client.subscribe(f"ciuic/v1/home/reply/{name}/#", 1)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more; answers may still come."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(WAIT_S)

    def close(self) -> None:
        self.stop()
        self._client.loop_stop()

    @property
    def acknowledged(self) -> dict[str, int]:
        """What the broker said of each question; an acknowledgement may overtake `publish`."""
        return {self._ids[mid]: code for mid, code in tuple(self._codes.items()) if mid in self._ids}

    def heard(self) -> list[str]:
        """The questions that the broker has given to somebody."""
        return [found for found, code in self.acknowledged.items() if code == 0]

    def all_acknowledged(self) -> bool:
        """Whether the broker has said something of every question."""
        return len(self.acknowledged) == len(self.sent_s)

    def all_answered(self) -> bool:
        """Whether somebody has answered every question that the broker has given on."""
        return set(self.heard()) <= set(self.replies)

    def _ask(self) -> None:
        number = 0
        while not self._stop.wait(0.01):
            number += 1
            found = f"{self._name}-{number}"
            data = {"v": 1, "id": found, "task": "home", "input": {"text": f"turn on lamp {number}"}}
            data |= {"qos": {"deadline_s": 20}, "reply_to": f"ciuic/v1/home/reply/{self._name}/a"}
            topic = f"ciuic/v1/home/svc/home/infer/{self._name}"
            self.sent_s[found] = time.monotonic()
            self._ids[self._client.publish(topic, json.dumps(data), 1).mid] = found

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._codes[mid] = reason.value

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        reply = json.loads(message.payload)
        self.replies[reply["id"]] += 1
        self.ends[reply["error"]["code"] if "error" in reply else reply["status"]] += 1


@contextlib.contextmanager
def asking(broker: BrokerProcess, name: str) -> Iterator[Asker]:
    asker = Asker(broker, name)
    try:
        with asker:
            yield asker
    finally:
        asker.close()


@contextlib.contextmanager
def roaming_node(brokers: list[BrokerProcess], folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    bundle = folder / "tiny.bundle"
    write_tiny_bundle(bundle)
    command = [*CIUIC, "node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    command += ["--model", str(bundle), "--allow-unsigned", "--store", str(folder), "--state", "-"]
    command += ["--cache-entries", "0", "--return-s", "0.3", *words]
    for broker in brokers:
        command += ["--broker", broker.url]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
        assert process.wait(WAIT_S) == 0


QUEUED = ("--inline-s", "0", "--queue-bound", "8", "--profile", "raspberry-pi-zero-2w")


@needs_mosquitto
@pytest.mark.parametrize("words", [(), QUEUED], ids=["inline", "queued"])
def test_a_node_serves_on_the_second_broker_and_goes_back_to_the_first(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with start_broker("mosquitto") as first, start_broker("mosquitto") as second:
        with roaming_node([first, second], tmp_path, *words) as node, asking(second, "b") as b:
            assert node.stdout is not None
            assert node.stdout.readline().endswith(f" on {first.url}\n")
            with asking(first, "before") as before:
                until(lambda: len(before.heard()) > 50)
                first.kill()
                killed_s = time.monotonic()
            until(lambda: len(b.heard()) > 100)
            first.start()
            with asking(first, "after") as after:
                until(lambda: len(after.heard()) > 100)
                after.stop()
                b.stop()
                for asker in (b, after):  # what a broker handed on is answered, and once
                    until(asker.all_acknowledged)
                    until(asker.all_answered)
                    assert sorted(asker.heard()) == sorted(asker.replies.elements())
                    assert set(asker.acknowledged.values()) == {0, NOBODY}
                    assert set(asker.ends) <= {"ok", "out_of_scope", "queue_full", "shed"}
            assert max(before.replies.values()) == 1
            lost = set(before.sent_s) - set(before.replies)
            assert all(before.sent_s[found] > killed_s - 2.0 for found in lost)
            urls = ("--broker", first.url, "--broker", second.url)
            told = ciuic("ask", "turn on the light", "--deadline", "20", "--json", *urls)
            assert json.loads(told.stdout)["route"]["node"] == "n1"
        log = (tmp_path / "log").read_text()
        assert log.count(f"connected to {second.url}") == log.count(f"connected to {first.url}") == 1
