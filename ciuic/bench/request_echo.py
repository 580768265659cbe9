"""The floor's other end: a process that answers with as many bytes as the correlation data asks for.

It uses the node's transport class, subscribes as a node does and replies with the same properties, so
what a request costs above it is the node's own doing.
"""

from __future__ import annotations

import os
import sys

from mqtt_bridge.node.stop import StopSignals
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.wire import topics

TASK = "echo"
MESH = "bench"


def main(url: str, core: int = -1) -> int:
    """Echo until SIGTERM, on one core if told so."""
    if core >= 0:
        os.sched_setaffinity(0, {core})
    link = MqttTransport(LinkOptions("echo", (url,)))

    def answer(message: Message) -> None:
        size = int(message.correlation or b"0")
        if message.response_topic is not None:
            link.publish(
                Message(
                    message.response_topic,
                    bytes(size),
                    message.qos,
                    correlation=message.correlation,
                    expiry_s=3,
                )
            )

    link.subscribe(topics.share(TASK, topics.build_filter("request", MESH, task=TASK)), answer, qos=1)
    with StopSignals() as stop, link:
        link.wait_up(5.0)
        print("ready", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
