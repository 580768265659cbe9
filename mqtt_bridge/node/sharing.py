"""Whether the broker serves shared subscriptions: as its CONNACK says, or found out by trying.

MQTT 3.1.1 has no word for it, and a broker that lacks it takes `$share/…` for a literal topic: the
node would be subscribed to nothing and never know. So there it sends itself one message through a
group of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from mqtt_bridge.transport.base import LinkEvent, Message, Transport
from mqtt_bridge.transport.timers import Timer
from mqtt_bridge.wire import topics

PROBE_S = 2.0


class SharingProbe:
    """Calls `on_absent` once, on the transport's thread, when the broker has no shared subscriptions."""

    def __init__(self, transport: Transport, mesh: str, node: str, on_absent: Callable[[], None]) -> None:
        self._transport = transport
        self._on_absent = on_absent
        self._topic = topics.build("reply", mesh, client=node, rest="sharing")
        self._filter = topics.share(node, self._topic)
        self._timer: Timer | None = None
        self._known = False
        if transport.options.protocol != "5":
            transport.subscribe(self._filter, self._on_probe, qos=1, retained=False)
        transport.watch(self._on_link)

    def _on_link(self, event: LinkEvent) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if event != "up" or self._known:
            return
        says = self._transport.shared_subscriptions
        if says is None:
            self._timer = self._transport.call_later(PROBE_S, self._absent)
            self._transport.publish(Message(self._topic, b"?", 1))
        elif not says:
            self._absent()

    def _on_probe(self, _message: Message) -> None:
        self._known = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.unsubscribe(self._filter)

    def _absent(self) -> None:
        self._known = True
        self._on_absent()
