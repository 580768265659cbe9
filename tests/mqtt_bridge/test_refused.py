"""A broker that refuses a node's subscription: the node does not say that it is ready, and why is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions, Protocol
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import mosquitto_with, needs_mosquitto
from tests.commands import CIUIC, ENVIRONMENT, ROOT

REQUESTS = "$share/home/ciuic/v1/home/svc/home/infer/+"
# Access lists of mosquitto 2.0 take every subscription and deliver nothing; its own plugin refuses.
PLUGINS = [
    *Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"),
    *Path("/usr/lib").glob("mosquitto_dyn*.so"),
]

pytestmark = [
    needs_mosquitto,
    pytest.mark.skipif(not PLUGINS, reason="mosquitto_dynamic_security.so is not installed"),
]


def _access(*, allow: bool) -> str:
    """Everybody may do everything, but subscribe to requests only where they are allowed."""
    acls = [{"acltype": "subscribeLiteral", "topic": REQUESTS, "priority": 1, "allow": allow}]
    actions = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")
    access = {
        "defaultACLAccess": dict.fromkeys(actions, True),
        "clients": [],
        "groups": [{"groupname": "all", "roles": [{"rolename": "all"}], "clients": []}],
        "roles": [{"rolename": "all", "acls": acls}],
        "anonymousGroup": "all",
    }
    return json.dumps(access)


Allow = Callable[[], None]


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[BrokerProcess, Allow]]:
    """A broker that refuses the subscription to requests, and what starts it anew without."""
    rules = tmp_path / "access.json"
    rules.write_text(_access(allow=False))
    kind = mosquitto_with(f"plugin {PLUGINS[0]}", f"plugin_opt_config_file {rules}")
    with start_broker(kind) as found:

        def allow() -> None:
            found.kill()
            rules.write_text(_access(allow=True))
            found.start()

        yield found, allow


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_refused_filter_is_known_by_name_until_it_is_granted(
    strict: tuple[BrokerProcess, Allow], protocol: Protocol, caplog: pytest.LogCaptureFixture
) -> None:
    broker, allow = strict
    with MqttTransport(LinkOptions("n1", (broker.url,), protocol)) as link:
        link.subscribe(REQUESTS, Inbox())
        link.subscribe("fine", Inbox())
        link.wait_up(WAIT_S)
        until(lambda: link.refused == {REQUESTS})
        assert f"the broker refused the subscription {REQUESTS} " in caplog.text
        allow()
        until(lambda: not link.refused)
        link.wait_up(WAIT_S)


def test_a_node_says_why_it_is_not_ready_and_serves_once_it_may(
    strict: tuple[BrokerProcess, Allow], tmp_path: Path
) -> None:
    broker, allow = strict
    states, bundle = Inbox(), tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    command = [*CIUIC, "node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    command += ["--model", str(bundle), "--allow-unsigned", "--store", str(tmp_path), "--state", "-"]
    link = MqttTransport(LinkOptions("observer", (broker.url,)))
    link.subscribe("ciuic/v1/home/node/n1/state", states)
    with (
        link,
        subprocess.Popen(
            [*command, "--broker", broker.url],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        ) as node,
    ):
        try:
            assert node.stdout is not None
            line = node.stdout.readline()
            assert line.startswith(f"node n1: not ready: the broker refuses the subscription {REQUESTS}")
            assert json.loads(states.take().payload)["state"] == "init"
            allow()
            assert node.stdout.readline().startswith("node n1: serves home in mesh home")
            while json.loads(states.take().payload)["state"] != "ready":
                pass
        finally:
            node.terminate()
        assert node.wait(WAIT_S) == 0
