"""The verbs `node` and `ask` from outside, and the settings' page."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ciuic.cli import main
from firmware_py.config import reference
from firmware_py.contracts.errors import ReplyInvalidError
from firmware_py.contracts.reply import Energy, Reply, Route, Timing
from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.mosquitto import acl_lines
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.cli import _json, _shown, settle, spoken
from mqtt_bridge.compose import BRIDGE
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.commands import CIUIC, ENVIRONMENT, ROOT, ciuic

PATIENT = ("--deadline", "30")  # where an answer is expected, a busy machine may take its time


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_serves_is_asked_and_leaves_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    command = ["node", "run", "--id", "n1", "--simulate", "--model", str(bundle), "--allow-unsigned"]
    command += ["--store", str(tmp_path), "--state", str(tmp_path / "state"), "--meter", "off"]
    with start_broker() as broker:
        states = Inbox()
        link = MqttTransport(LinkOptions("observer", (broker.url,)))
        link.subscribe("ciuic/v1/home/node/n1/state", states)
        with (
            link,
            subprocess.Popen(
                [*CIUIC, *command, "--broker", broker.url],
                cwd=ROOT,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                text=True,
            ) as node,
        ):
            try:
                assert node.stdout is not None
                assert node.stdout.readline().startswith("node n1: serves home in mesh home")
                told = ciuic("ask", "turn on the kitchen light", *PATIENT, "--broker", broker.url)
                assert told.returncode == 0, told.stderr
                assert told.stdout.startswith("turn_on  (confidence")
                assert "on n1 (scripted" in told.stdout
                words = ("turn", "off", "the", "garden", "light")
                raw = ciuic("ask", *words, "--json", "--to", "n1", *PATIENT, "--broker", broker.url)
                reply = json.loads(raw.stdout)
                assert reply["result"]["label"] == "turn_off"
                assert reply["round_trip_s"] > 0
                bad = ciuic("ask", " ", *PATIENT, "--broker", broker.url)
                assert bad.returncode == 1
                assert "[input_empty]" in bad.stderr
                assert "hint:" in bad.stderr
                node.send_signal(number)
                assert node.wait(WAIT_S) == 0
            finally:
                node.kill()
        found = [json.loads(states.take().payload)["state"] for _ in range(2)]
        assert found == ["ready", "disconnected"]
        assert (tmp_path / "state/n1/epoch").exists()


@pytest.mark.parametrize("words", [(), ("--no-keeper",)])
def test_a_start_that_waits_for_another_process_heeds_a_signal(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    command = ["node", "run", "--id", "n1", "--simulate", "--model", str(bundle), "--allow-unsigned", *words]
    command += ["--store", str(tmp_path), "--state", "-", "--meter", "off", "--broker", "mqtt://127.0.0.1:1"]
    with (tmp_path / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # this process is the other one
        with subprocess.Popen(
            [*CIUIC, *command],
            cwd=ROOT,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        ) as node:
            try:
                assert node.stderr is not None
                assert "waiting for another process" in node.stderr.readline()
                node.send_signal(signal.SIGTERM)
                assert (node.wait(WAIT_S), node.stderr.read()) == (0, "")
            finally:
                node.kill()


def test_a_text_that_is_no_utf8_is_told_before_it_is_sent() -> None:
    found = ciuic("ask", os.fsdecode(b"turn on \xff the light"), "--broker", "mqtt://127.0.0.1:1")
    assert found.returncode == 1
    assert "error: the text is not UTF-8 [invalid_utf8]" in found.stderr
    assert "Traceback" not in found.stderr


def test_nobody_there_is_told_with_a_hint() -> None:
    with start_broker() as broker:
        silent = ciuic("ask", "hello", "--deadline", "0.2", "--broker", broker.url)
        assert silent.returncode == 1
        assert "[no_reply]" in silent.stderr


@pytest.mark.parametrize("flag", ["--deadline=-5", "--deadline=nan", "--deadline=1e9", "--energy=-1"])
def test_a_bound_that_no_node_takes_is_a_usage_error_before_it_is_sent(flag: str) -> None:
    found = ciuic("ask", "hello", flag, "--broker", "mqtt://127.0.0.1:1")
    assert found.returncode == 2
    assert "[config_invalid]" in found.stderr
    assert "ciuic ask --help" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "x", "--broker", "http://x"],
        ["ask", "x", "--mesh", "a/b"],
        ["node", "run", "--broker", "mqtts://x", "--allow-unsigned"],
        ["node", "run", "--protocol", "4"],
        ["node"],
        ["node", "run", "--bogus"],
        ["ask"],
        ["ask", "x", "--deadline", "abc"],
    ],
)
def test_a_wrong_flag_is_a_usage_error(words: list[str], tmp_path: Path) -> None:
    if words[:2] == ["node", "run"] and "--broker" in words:
        bundle = tmp_path / "tiny.bundle"
        write_tiny_bundle(bundle)
        words = [*words, "--model", str(bundle), "--store", str(tmp_path), "--state", "-", "--meter", "off"]
    found = ciuic(*words)
    assert found.returncode == 2, found.stderr
    assert "[config_invalid]" in found.stderr
    assert "hint: " in found.stderr


def test_the_access_list_for_a_broker_of_the_users_own_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["broker", "--acl", "node", "--acl", "pi 5", "--mesh", "flat"]) == 0
    assert capsys.readouterr().out.splitlines() == acl_lines("flat", ("node", "pi 5"))
    assert "pattern write ciuic/v1/flat/svc/+/infer/%u" in acl_lines("flat", ("node",))


@pytest.mark.parametrize("words", [["node\ntopic readwrite #"], [""], [" node"], ["node", "--mesh", "a/#"]])
def test_an_access_list_is_not_made_of_names_that_change_its_meaning(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker", "--acl", *words]) == 2
    told = capsys.readouterr()
    assert (told.out, "[config_invalid]" in told.err) == ("", True)


def test_a_slot_is_spoken_with_what_it_names() -> None:
    slots = [
        {"name": "brightness", "value": 50, "text": "fifty"},
        {"name": "area", "value": "Kitchen", "text": "the kitchen", "id": "k1", "kind": "area"},
        {"name": "name", "value": "lamp", "text": "lamp", "candidates": [{"id": "l1"}, {"id": "l2"}]},
    ]
    result = {"label": "HassLightSet", "confidence": 0.9, "slots": slots}
    lines = spoken(Reply("r", "ok", Route("n1", exit=0, exits=3, delegate="host"), result), 0.001)
    assert lines[1:4] == [
        "  brightness = 50",
        "  area = Kitchen  (area k1)",
        "  name = lamp  (one of l1, l2)",
    ]
    assert lines[4].startswith("exit 0 of 3 on n1 (host)")


def test_a_reply_is_spoken_with_its_joules_and_their_doubt() -> None:
    route = Route("pi5", 2, 3, (4, 4), "xnnpack", "miss", simulated=True)
    energy = Energy(0.0012, 0.0003, method="predicted", source="ina219", simulated=True)
    result = {"label": "HassTurnOn", "confidence": 0.978, "slots": [{"name": "area", "value": "kitchen"}]}
    reply = Reply("r", "ok", route, result, None, Timing(0.0, 0.0008), energy)
    text = "\n".join(spoken(reply, 0.0021))
    assert "HassTurnOn  (confidence 0.98)" in text
    assert "area = kitchen" in text
    assert "exit 2 of 3 on pi5" in text
    assert "1.20 ± 0.30 mJ above idle (predicted, ina219, simulated)" in text
    dear = replace(reply, route=replace(route, over_budget=True))
    assert "over the energy budget: this answer is expected to cost more" in "\n".join(spoken(dear, 0.0021))
    guess = replace(reply, energy=replace(energy, method="estimated", source="none"))
    assert "mJ above idle (estimated, simulated)" in "\n".join(spoken(guess, 0.0021))
    assert "energy unknown" in "\n".join(spoken(Reply("r", "out_of_scope", route), 0.1))


@pytest.mark.parametrize("char", ["\x1b", "\x9b", "\r", "\n", "\x7f", "\u202e", "\u2028", "\U000e0001"])
def test_what_a_terminal_would_obey_is_written_out_as_json_would(char: str) -> None:
    text = f"küche {char}[2J"
    assert char not in _shown(text)
    assert json.loads(f'"{_shown(text)}"') == text
    said = _shown(json.dumps({"a": text}, ensure_ascii=False))
    assert char not in said
    assert json.loads(said) == {"a": text}


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"label": 5, "confidence": 1.0, "slots": []},
        {"label": "x", "confidence": "high", "slots": []},
        {"label": "x", "confidence": 1.0, "slots": 7},
        {"label": "x", "confidence": 1.0, "slots": ["y"]},
        {"label": "x", "confidence": 1.0, "slots": [{"value": "y"}]},
        {"label": "x", "confidence": 1.0, "slots": [{"name": "y"}]},
        {"label": "x", "confidence": 1.0, "slots": [{"name": "y", "value": "z", "candidates": ["l1"]}]},
    ],
)
def test_a_result_that_is_none_is_an_error_with_a_code(result: dict[str, object] | None) -> None:
    with pytest.raises(ReplyInvalidError, match=r"reply.*\[reply_invalid\]"):
        spoken(Reply("r", "ok", Route("n1"), result), 0.001)


def test_a_refusal_without_a_reason_is_no_reply() -> None:
    with pytest.raises(ReplyInvalidError, match="refused and has no error"):
        spoken(Reply("r", "refused", Route("n1")), 0.001)


@pytest.mark.parametrize("value", [b"x", float("nan"), {b"k": 1}])
def test_a_reply_in_msgpack_that_json_has_no_form_for_is_an_error_with_a_code(value: object) -> None:
    with pytest.raises(ReplyInvalidError, match="JSON has no form"):
        _json(Reply("r", "ok", Route("n1"), {"label": value}), 0.1)


def test_the_settings_page_holds_the_mesh_table() -> None:
    assert reference(BRIDGE) in (ROOT / "docs/ref-config.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_node_id_is_no_way_out_of_the_state_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    words = ["node", "run", "--id", name, "--simulate", "--meter", "off", "--model", str(bundle)]
    words += [
        "--allow-unsigned",
        "--store",
        str(tmp_path / "store"),
        "--state",
        str(tmp_path / "state" / "below"),
    ]
    assert main(words) == 2
    assert "no state folder of its own" in capsys.readouterr().err
    assert not list(tmp_path.rglob("epoch"))


def test_a_node_that_serves_lets_the_collector_in() -> None:
    """What start-up made is not looked at again; what is made from then on is."""
    before = gc.get_threshold()
    gc.disable()
    try:
        settle()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()
        gc.set_threshold(*before)
