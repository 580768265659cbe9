"""The doctor says what it found and what to do, and never breaks on what is absent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciuic import doctor, findings
from ciuic.cli import main
from firmware_py.config import AGENT
from firmware_py.contracts.node_state import Birth, ServedTask, State
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.compose import BRIDGE, BridgeConfig, build_link
from mqtt_bridge.testing.transport_contract import WAIT_S
from mqtt_bridge.transport.base import Message
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import encode_payload

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No models/ here: only the test that is about bundles tries one."""
    monkeypatch.chdir(tmp_path)


def _machine(root: Path) -> Path:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    (root / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n", encoding="ascii")
    return root


def _doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, object]]]:
    status = main(["doctor", "--json", *words])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return status, {str(finding["name"]): finding for finding in findings}


def test_a_raspberry_pi_is_named_with_zone_sensor_and_delegate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = _doctor(capsys, "--root", str(_machine(tmp_path)))
    assert "raspberry-pi-5" in str(found["profile"]["detail"])
    assert found["thermal zones"]["found"]
    assert found["delegate xnnpack"]["found"]
    assert not found["ina219 on usb-c-5v"]["found"]
    assert found["ina219 on usb-c-5v"]["todo"], "an absent sensor comes with what to do"


def test_a_missing_bundle_is_named_and_makes_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone.bundle"
    status, found = _doctor(capsys, "--model", str(gone))
    assert status == 1
    assert "bundle_missing" in str(found[str(gone)]["detail"])


def test_a_bundle_is_tried_with_its_own_rows(capsys: pytest.CaptureFixture[str]) -> None:
    bundle = ROOT / "models" / "home-en.w8.bundle"
    if not bundle.exists():
        pytest.skip(f"{bundle.name} is not built (`ciuic model build home-en`)")
    _, found = _doctor(capsys, "--model", str(bundle))
    assert found[str(bundle)]["found"]
    assert "its test rows pass on" in str(found[str(bundle)]["detail"])


def test_a_folder_that_a_node_cannot_write_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a home that nobody may write to; here it is a file, for root may write everywhere."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    status, found = _doctor(capsys)
    assert status == 1
    for name, place in (("store", ".cache/ciuic/models"), ("state", ".local/state/ciuic")):
        assert not found[name]["found"]
        assert found[name]["needed"]
        assert str(tmp_path / "home" / place) in str(found[name]["detail"])
        assert f"--{name}" in str(found[name]["todo"])
    _, found = _doctor(capsys, "--store", str(tmp_path / "models"), "--state", "-")
    assert found["store"]["found"]
    assert "state" not in found
    assert not (tmp_path / "models").exists(), "a look makes nothing"


def test_an_unsigned_bundle_passes_as_for_a_node_that_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings, "_tried", lambda path, trust: f"unsigned: {trust.allow_unsigned}")
    bundle = str(tmp_path / "my.bundle")
    assert _doctor(capsys, "--model", bundle)[1][bundle]["detail"] == "unsigned: False"
    assert _doctor(capsys, "--model", bundle, "--allow-unsigned")[1][bundle]["detail"] == "unsigned: True"
    monkeypatch.setenv("CIUIC_ALLOW_UNSIGNED", "1")
    assert _doctor(capsys, "--model", bundle)[1][bundle]["detail"] == "unsigned: True"
    assert main(["doctor", "--model", bundle, "--trust", str(tmp_path / "nobody")]) == 2
    assert "trust folder" in capsys.readouterr().err


def test_a_wrong_address_is_told_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings, "python", lambda: pytest.fail("something was looked at"))
    for words in (["--broker", "foo://x"], ["--mesh", "a/b"]):
        assert main(["doctor", *words]) == 2
        assert "[config_invalid]" in capsys.readouterr().err


def test_broker_and_mesh_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[tuple[str, ...], str]] = []

    def look(urls: tuple[str, ...], mesh: str) -> Iterator[findings.Finding]:
        asked.append((tuple(urls), mesh))
        return iter(())

    monkeypatch.setattr(doctor, "brokers_reachable", look)
    monkeypatch.setenv("CIUIC_BROKER", "mqtt://a:1,mqtt://b:2")
    monkeypatch.setenv("CIUIC_MESH", "shed")
    _doctor(capsys)
    _doctor(capsys, "--broker", "mqtt://c:3", "--mesh", "attic")
    assert asked == [(("mqtt://a:1", "mqtt://b:2"), "shed"), (("mqtt://c:3",), "attic")]


def test_its_defaults_are_those_of_a_node() -> None:
    nodes = {setting.key: setting.default for setting in (*AGENT, *BRIDGE)}
    own = {setting.key: setting.default for setting in doctor.TABLE if setting.key != "broker"}
    assert own == {key: nodes[key] for key in own}


def test_a_silent_broker_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = _doctor(capsys, "--broker", "mqtt://127.0.0.1:1")
    assert status == 1
    assert "broker_unreachable" in str(found["mqtt://127.0.0.1:1"]["detail"])


def test_the_births_at_a_broker_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    task = ServedTask("home", "intent", ("en",), "home-en", "1", "0" * 64)
    birth = Birth("kitchen", 1, "raspberry-pi-5", True, (task,), "2026-01-01T00:00:00+00:00")
    with start_broker() as broker:
        link = build_link(BridgeConfig(broker=(broker.url,)), "a-node")
        with link:
            link.wait_up(WAIT_S)
            birth_topic = topics.build("birth", "home", node="kitchen")
            state_topic = topics.build("state", "home", node="kitchen")
            ready = encode_payload(State("kitchen", 1, "ready").to_dict())
            link.publish(Message(birth_topic, encode_payload(birth.to_dict()), qos=1, retain=True))
            link.publish(Message(state_topic, ready, qos=1, retain=True))
        _, found = _doctor(capsys, "--broker", broker.url)
        link = build_link(BridgeConfig(broker=(broker.url,)), "its-will")
        with link:
            link.wait_up(WAIT_S)
            gone = encode_payload(State("kitchen", 1, "disconnected").to_dict())
            link.publish(Message(state_topic, gone, qos=1, retain=True))
        _, later = _doctor(capsys, "--broker", broker.url)
    assert found["node kitchen"]["detail"] == "ready; serves home; board raspberry-pi-5 (simulated)"
    assert found[broker.url]["detail"] == "answers; 1 of 1 nodes of mesh home connected"
    assert later[broker.url]["detail"] == "answers; 0 of 1 nodes of mesh home connected"
    assert "ciuic node run" in str(later[broker.url]["todo"])


def test_a_node_is_connected_by_the_same_rule_as_for_those_who_ask(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A `ready` of its life before does not count, and what is no name is not printed."""
    task = ServedTask("home", "intent", ("en",), "home-en", "1", "0" * 64)
    birth = Birth("kitchen", 2, "\x1b[31mred", False, (task,), "2026-01-01T00:00:00+00:00")
    with start_broker() as broker:
        with build_link(BridgeConfig(broker=(broker.url,)), "a-node") as link:
            link.wait_up(WAIT_S)
            for kind, said in (("birth", birth), ("state", State("kitchen", 1, "ready"))):
                topic = f"ciuic/v1/home/node/kitchen/{kind}"
                link.publish(Message(topic, encode_payload(said.to_dict()), qos=1, retain=True))
        _, found = _doctor(capsys, "--broker", broker.url)
    assert not found["node kitchen"]["found"]
    assert found["node kitchen"]["detail"] == "unknown; serves home; board unknown"


def test_for_people_it_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--model", "nowhere.bundle"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("lacking: nowhere.bundle")
