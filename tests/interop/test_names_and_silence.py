"""What a foreign client hears that names itself as we would not, or asks for what no node serves."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess

import pytest

from mqtt_bridge.broker.process import BrokerProcess
from mqtt_bridge.testing.transport_contract import Inbox, up
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport

WAIT_S = 20
QUESTION = '{"v":1,"id":"q1","task":"home","input":{"text":"turn on the kitchen light"}}'

pytestmark = pytest.mark.interop
needs_tools = pytest.mark.skipif(
    shutil.which("mosquitto_rr") is None, reason="mosquitto's clients are not installed"
)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


@needs_tools
@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    "client", ["my client", "küche", "$me", "x" * 65, "y" * 2000], ids=lambda client: client[:10]
)
def test_a_client_level_that_is_no_name_is_told_on_its_error_topic(
    broker: BrokerProcess, client: str
) -> None:
    words = [
        "mosquitto_rr",
        "-p",
        str(broker.ports.v5),
        "-V",
        "mqttv5",
        "-q",
        "1",
        "-W",
        "10",
        "-m",
        QUESTION,
    ]
    words += ["-t", f"ciuic/v1/home/svc/home/infer/{client}", "-e", f"ciuic/v1/home/reply/{client}/error"]
    reply = json.loads(_run(*words))
    assert (reply["status"], reply["id"]) == ("refused", "q1")
    assert reply["error"]["code"] == "reply_topic_refused"
    assert "client" in reply["error"]["hint"]
    assert reply["route"] | {"node": "n1", "simulated": True} == reply["route"]


@pytest.mark.usefixtures("node")
def test_a_client_level_that_a_broker_may_take_amiss_costs_no_node_its_link(broker: BrokerProcess) -> None:
    """mosquitto ends the connection of who publishes on control characters: that is the client's, then."""
    births, replies = Inbox(), Inbox()
    rude = MqttTransport(LinkOptions("rude", (broker.url,)))
    fair = MqttTransport(LinkOptions("fair", (broker.url,)))
    fair.subscribe("ciuic/v1/home/node/n1/birth", births)
    fair.subscribe("ciuic/v1/home/reply/fair/#", replies)
    with contextlib.closing(rude), contextlib.closing(fair):
        up(rude, fair)
        assert json.loads(births.take().payload)["node"] == "n1"
        for level in ("a\x01b", "a\x7f", "a\ufffe"):
            rude.publish(Message(f"ciuic/v1/home/svc/home/infer/{level}", QUESTION.encode(), 1))
        answer_to = "ciuic/v1/home/reply/fair/1"
        asked = Message("ciuic/v1/home/svc/home/infer/fair", QUESTION.encode(), 1, response_topic=answer_to)
        for _ in range(2):
            fair.publish(asked)
            assert json.loads(replies.take().payload)["status"] == "ok"
        assert births.nothing_more()  # a node that connects anew is born anew


@pytest.mark.usefixtures("node")
def test_the_heartbeat_counts_what_was_refused_unread_and_what_was_dropped(broker: BrokerProcess) -> None:
    beats = Inbox()
    link = MqttTransport(LinkOptions("counts", (broker.url,)))
    link.subscribe("ciuic/v1/home/node/n1/hb", beats)
    with contextlib.closing(link):
        up(link)
        before = json.loads(beats.take().payload)
        link.publish(Message("ciuic/v1/home/svc/home/infer/counts", b"{", 1))
        link.publish(Message("ciuic/v1/home/svc/home/infer/counts", QUESTION.encode(), 1))  # no reply topic
        link.publish(Message("ciuic/v1/home/node/n1/cmd/infer", QUESTION.encode(), 1))
        # A property that the transport reads for nobody (`wire` has no such text), so whom to tell is not known.
        link.publish(Message("ciuic/v1/home/svc/home/infer/counts", b"{", 1, response_topic="\ufeff"))
        wanted = before["refused"] + 2, before["dropped"] + 2
        for _ in range(2 * WAIT_S):
            now = json.loads(beats.take().payload)
            if (now["refused"], now["dropped"]) == wanted:
                break
        assert (now["refused"], now["dropped"]) == wanted


@needs_tools
@pytest.mark.parametrize("kind", ["mosquitto"], indirect=True)
@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("version", "task", "said"),
    [("mqttv5", "chess", "RC:16"), ("mqttv5", "home", "RC:0"), ("mqttv311", "chess", "RC:0")],
)
def test_mosquitto_says_that_nobody_subscribes_to_a_task(
    broker: BrokerProcess, version: str, task: str, said: str
) -> None:
    """What docs/ref-topics.md tells of the PUBACK; nodes hear their own tasks only, so no node refuses."""
    words = ["mosquitto_pub", "-p", str(broker.ports.v5), "-V", version, "-q", "1", "-d", "-m", QUESTION]
    out = _run(*words, "-t", f"ciuic/v1/home/svc/{task}/infer/me")
    assert f"received PUBACK (Mid: 1, {said})" in out
