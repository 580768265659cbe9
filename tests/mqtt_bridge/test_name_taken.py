"""Two nodes of one name: the second ends where the broker says why, else asks; the first serves on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import BrokerProcess, free_port
from mqtt_bridge.node.roll import Roll
from mqtt_bridge.testing.transport_contract import WAIT_S, until
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import TAKEN_OVER, ClosingBroker
from tests.commands import CIUIC, ENVIRONMENT, ROOT, ciuic


def _node(folder: Path, url: str) -> list[str]:
    bundle = folder / "tiny.bundle"
    if not bundle.exists():
        write_tiny_bundle(bundle)
    words = ["node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    return [*words, "--model", str(bundle), "--allow-unsigned", "--store", str(folder), "--broker", url]


needs_keeper = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper is for Linux")


@needs_keeper
def test_a_node_whose_name_another_one_has_ends_and_is_not_started_again(tmp_path: Path) -> None:
    with ClosingBroker(TAKEN_OVER) as taking:
        nobody = f"mqtt://127.0.0.1:{free_port()}"
        ended = ciuic(*_node(tmp_path, nobody), "--broker", taking.url, "--state", str(tmp_path / "a"))
        assert ended.returncode == 3
        assert f"another client is connected to {taking.url} as n1 [name_taken]" in ended.stderr
        assert ended.stderr.count("error:") == 1
        assert taking.links == 2
        assert "starting it again" not in ended.stderr


@needs_keeper
def test_the_second_node_of_a_name_asks_for_another_one_and_the_first_serves_on(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    with (
        MqttTransport(LinkOptions("observer", (broker.url,))) as link,
        subprocess.Popen(
            [*CIUIC, *_node(tmp_path, broker.url), "--state", str(tmp_path / "a")],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        ) as first,
    ):
        try:
            assert first.stdout is not None
            assert first.stdout.readline().startswith("node n1: serves")
            roll = Roll()
            for topic in ("birth", "state"):
                link.subscribe(f"ciuic/v1/home/node/n1/{topic}", roll.hear)
            until(lambda: list(roll.up()) == ["n1"])
            epoch = roll._births["n1"]["epoch"]  # type: ignore[index]
            with subprocess.Popen(
                [*CIUIC, *_node(tmp_path, broker.url), "--state", str(tmp_path / "b")],
                cwd=ROOT,
                env=ENVIRONMENT,
                stderr=subprocess.PIPE,
                text=True,
            ) as second:
                assert second.stderr is not None
                while "does another client use the id n1? (--node" not in (line := second.stderr.readline()):
                    assert line
                assert second.poll() is None
                second.terminate()
            until(lambda: list(roll.up()) == ["n1"] and roll._births["n1"]["epoch"] == epoch)  # type: ignore[index]
            told = ciuic(
                "ask", "turn on the light", "--deadline", "20", "--json",
                env=ENVIRONMENT | {"CIUIC_BROKER": broker.url},
            )  # fmt: skip
            assert json.loads(told.stdout)["route"]["node"] == "n1"
            assert first.poll() is None
        finally:
            first.terminate()
        assert first.wait(WAIT_S) == 0
