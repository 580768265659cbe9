"""A broker that asks for a password gets it from file or variable, and nobody else hears it."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S
from tests.brokers import mosquitto_with, needs_mosquitto
from tests.commands import CIUIC, ROOT, ciuic

PATIENT = ("--deadline", "30")
PASSWORD = "p@ss,word:1/2#3"
WRITTEN = "p%40ss%2Cword%3A1%2F2%233"
BARE = {name: value for name, value in os.environ.items() if not name.startswith("CIUIC_")}

pytestmark = needs_mosquitto


def _hashed(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512, iterations, salt."""
    salt = b"0123456789ab"
    found = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(found).decode()}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    users = tmp_path / "users"
    users.write_text(f"kitchen:{_hashed(PASSWORD)}\n")
    users.chmod(0o600)
    strict = mosquitto_with("allow_anonymous false", f"password_file {users}", without="allow_anonymous")
    with start_broker(strict) as found:
        yield found


def _ciuic(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return ciuic(*words, env=BARE | {"PYTHONPATH": str(ROOT)} | variables)


def _url(broker: BrokerProcess, user: str = f"kitchen:{WRITTEN}") -> str:
    return f"mqtt://{user}@127.0.0.1:{broker.ports.v5}"


def test_a_password_comes_from_file_or_variable_and_is_printed_nowhere(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    bundle, file = tmp_path / "tiny.bundle", tmp_path / "node.toml"
    write_tiny_bundle(bundle)
    file.write_text(f'broker = ["{_url(broker)}"]\n')
    command = [*CIUIC, "node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    command += ["--model", str(bundle), "--allow-unsigned", "--store", str(tmp_path), "--state", "-"]
    command += ["--config", str(file), "--log-level", "debug"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=BARE | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as node,
    ):
        try:
            assert node.stdout is not None
            line = node.stdout.readline()
            assert line == f"node n1: serves home in mesh home on {broker.url}\n"
            from_variable = _ciuic("ask", "turn on the light", *PATIENT, CIUIC_BROKER=_url(broker))
            from_file = _ciuic(
                "ask", "turn on the light", *PATIENT, "--config", str(file), "--log-level", "debug"
            )
            seen = _ciuic("doctor", "--broker", _url(broker), "--model", str(bundle))
        finally:
            node.terminate()
        assert node.wait(WAIT_S) == 0
    for done in (from_variable, from_file):
        assert (done.returncode, done.stdout[:8]) == (0, "turn_on "), done.stderr
    assert "node n1" in seen.stdout
    told = [done.stdout + done.stderr for done in (from_variable, from_file, seen)]
    for text in (*told, (tmp_path / "log").read_text()):
        assert PASSWORD not in text
        assert WRITTEN not in text


@pytest.mark.parametrize("user", ["kitchen:wrong", ""])
def test_a_wrong_password_is_a_broker_that_does_not_answer(broker: BrokerProcess, user: str) -> None:
    url = _url(broker, user) if user else broker.url
    done = _ciuic("ask", "hello", CIUIC_BROKER=url)
    assert done.returncode == 1
    assert "[broker_unreachable]" in done.stderr
    assert "Not authorized" in done.stderr
    assert "wrong" not in done.stderr
