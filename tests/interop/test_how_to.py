"""The examples of docs/how-to-ask-from-your-device.md work as they stand, with programs of others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mqtt_bridge.broker.process import BrokerProcess
from mqtt_bridge.testing.transport_contract import Inbox, up
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport

ROOT = Path(__file__).parents[2]
NPM = ROOT / ".venvs/npm/node_modules"
PAGE = (ROOT / "docs/how-to-ask-from-your-device.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE, re.DOTALL)

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("node")]


def _program(example: str) -> str:
    return example.split(maxsplit=1)[0]


def _is_old(example: str) -> bool:
    return any(word in example for word in ("mqttv311", "protocolVersion: 4", "MQTTv311"))


def _correlation(example: str) -> str | None:
    """What an MQTT 5 example gives as correlation data and prints before the answer."""
    found = re.search(r'(?:correlation-data |correlationData: Buffer\.from\(")([\w-]+)', example)
    return found[1] if found else None


def test_the_page_has_its_examples() -> None:
    """Each program of others asks over MQTT 5 and over 3.1.1; paho over 3.1.1 only, as our own link is paho."""
    asked = [(_program(example), "3.1.1" if _is_old(example) else "5") for example in EXAMPLES]
    both = [
        (name, version) for name in ("mosquitto_rr", "mosquitto_sub", "node") for version in ("5", "3.1.1")
    ]
    assert asked == [*both, ("python", "3.1.1")]


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{n}-{_program(e)}" for n, e in enumerate(EXAMPLES)])
def test_an_example_prints_an_answer(broker: BrokerProcess, example: str) -> None:
    if shutil.which(_program(example)) is None and _program(example) != "python":
        pytest.skip(f"{_program(example)} is not installed")
    if _program(example) == "node" and not (NPM / "mqtt").exists():
        pytest.skip("npm package mqtt is not in .venvs/npm")
    port = broker.ports.v311 if _is_old(example) else broker.ports.v5
    environment = os.environ | {
        "BROKER": "127.0.0.1",
        "PORT": str(port),
        "NODE_PATH": str(NPM),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    found = subprocess.run(
        ["bash", "-euc", example],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    reply = json.loads(found.stdout[found.stdout.index("{") :])
    assert reply["status"] == "ok"
    assert reply["result"]["label"] == ("turn_off" if "turn off" in example else "turn_on")
    asked_id = re.search(r'"?id"?: ?"(\w+)"', example)
    assert asked_id is not None
    assert reply["id"] == asked_id[1]
    assert ("reply_to" in example) == _is_old(example)
    assert (_correlation(example) is None) == _is_old(example)
    if not _is_old(example):
        assert found.stdout.startswith(f"{_correlation(example)} {{")  # the correlation data came back


def test_the_automation_is_answered_on_the_topic_that_it_listens_to(broker: BrokerProcess) -> None:
    block = re.search(r"<!-- publish -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    asked, heard = re.findall(r"topic: (\S+)", block[1])
    payload = re.search(r"payload: '(.*)'", block[1])
    assert payload is not None
    inbox = Inbox()
    link = MqttTransport(LinkOptions("hass-test", (broker.url_v311,), "3.1.1"))
    link.subscribe(heard, inbox)
    with contextlib.closing(link):
        up(link)
        link.publish(Message(asked, payload[1].encode(), 1))
        assert json.loads(inbox.take().payload)["result"]["label"] == "turn_on"
