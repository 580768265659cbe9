"""What mosquitto's access list lets a client do."""

from __future__ import annotations

from pathlib import Path

from mqtt_bridge.broker import mosquitto
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import mosquitto_with, needs_mosquitto


@needs_mosquitto
def test_access_by_pattern_binds_the_client_level(tmp_path: Path) -> None:
    """With users told apart, a client can neither ask as another nor read another's replies."""
    acl = tmp_path / "acl"
    acl.write_text("\n".join(mosquitto.acl_lines("home", ("node",))) + "\n")
    acl.chmod(0o600)
    with start_broker(mosquitto_with(f"acl_file {acl}")) as broker:
        url = broker.url.removeprefix("mqtt://")
        node = MqttTransport(LinkOptions("n", (f"mqtt://node:x@{url}",)))
        # Who a client is, its user name says; the client id is anybody's choice.
        mallory = MqttTransport(LinkOptions("alice", (f"mqtt://mallory:x@{url}",)))
        asked, overheard = Inbox(), Inbox()
        node.subscribe("ciuic/v1/home/svc/home/infer/+", asked)
        mallory.subscribe("ciuic/v1/home/reply/#", overheard)
        with node, mallory:
            for link in (node, mallory):
                link.wait_up(WAIT_S)
            mallory.publish(Message("ciuic/v1/home/svc/home/infer/alice", b"as alice", 1))
            mallory.publish(Message("ciuic/v1/home/svc/home/infer/mallory", b"as mallory", 1))
            assert asked.take().payload == b"as mallory"
            node.publish(Message("ciuic/v1/home/reply/alice/1", b"for alice", 1))
            node.publish(Message("ciuic/v1/home/reply/mallory/1", b"for mallory", 1))
            assert overheard.take().payload == b"for mallory"


def test_a_broker_that_binds_client_ids_may_be_given_them() -> None:
    lines = "\n".join(mosquitto.acl_lines("home", ("node",), "%c"))
    assert "infer/%c" in lines
    assert "%u" not in lines
