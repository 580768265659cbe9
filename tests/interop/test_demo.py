"""`ciuic demo` as a user runs it: real processes, a real broker, both MQTT versions, a node killed on the way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commands import CIUIC, ENVIRONMENT, ROOT

COUNT = 60  # a tenth over MQTT 3.1.1, a tenth out of scope; killed after the 36th
KILL_AT = 36
METER_WAIT_S = 60  # at most: nodes give up teaching their meters after 15 s


@pytest.fixture(scope="module")
def ended(kind: str, bundle: Path) -> subprocess.CompletedProcess[str]:
    command = [*CIUIC, "demo", "--count", str(COUNT), "--broker", kind, "--json"]
    command += ["--model", str(bundle), "--meter-wait", str(METER_WAIT_S)]
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def found(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The document on standard output, and nothing beside it."""
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_every_check_holds_and_so_the_exit_status_is_0(
    ended: subprocess.CompletedProcess[str], found: dict[str, Any], kind: str
) -> None:
    assert [check for check in found["checks"] if not check["ok"]] == []
    assert len(found["checks"]) == 4
    assert ended.returncode == 0, ended.stderr
    assert found["broker"] == kind


def test_every_request_is_answered_exactly_once_over_both_versions(found: dict[str, Any]) -> None:
    assert (found["asked"], found["answered"], found["lost"], found["answered_twice"]) == (COUNT, COUNT, 0, 0)
    assert sum(node["answers"] for node in found["nodes"].values()) == COUNT
    assert (found["refused"], found["failed"]) == (0, 0)
    assert found["mqtt_3_1_1"] == COUNT // 10


def test_the_others_answer_the_share_of_the_node_that_was_killed(found: dict[str, Any]) -> None:
    killed = found["killed"]
    assert (killed["node"], killed["signal"], killed["at_request"]) == ("pi5", "SIGKILL", KILL_AT)
    assert found["nodes"]["pi5"]["answers"] > 0
    assert set(killed["answered_after"]) == {"orin", "zero2w"}
    assert sum(killed["answered_after"].values()) == killed["asked_after"] == COUNT - KILL_AT


def test_every_answer_has_its_joules_and_says_where_they_are_from(found: dict[str, Any]) -> None:
    """What no window of the board's meter taught is `estimated` and has no source; the rest names the sensor."""
    metered = 0
    for node in found["nodes"].values():
        assert node["simulated"]
        assert node["with_joules"] == node["answers"]
        assert node["energy_j"] > 0.0
        assert node["u95_j"] > 0.0
        methods, sources = node["methods"], node["sources"]
        assert set(methods) <= {"estimated", "predicted"}
        assert methods.get("estimated", 0) == sources.get("none", 0)
        assert methods.get("predicted", 0) == sources.get("ina219", 0)
        metered += sources.get("ina219", 0)
    assert metered > 0
