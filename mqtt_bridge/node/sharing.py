"""Whether the broker serves shared subscriptions: as its CONNACK says, or found out by trying.

MQTT 3.1.1 has no word for it, and a broker that lacks it takes `$share/…` for a literal topic: the
node would be subscribed to nothing and never know. So there it sends itself one message through a
group of its own, at each connection: after a fail-over it may be another broker. Until that is
answered what was known last counts, and an answer that comes late counts too.
"""

from __future__ import annotations

from collections.abc import Callable

from mqtt_bridge.transport.base import LinkEvent, Message, Transport
from mqtt_bridge.transport.timers import Timer
from mqtt_bridge.wire import topics

PROBE_S = 2.0


class SharingProbe:
    """Calls `on_change`, on the transport's thread, with whether the broker shares, when that is news.

    It begins with the belief that brokers do.
    """

    def __init__(self, transport: Transport, mesh: str, node: str, on_change: Callable[[bool], None]) -> None:
        self._transport = transport
        self._on_change = on_change
        self._topic = topics.build("reply", mesh, client=node, rest="sharing")
        self._timer: Timer | None = None
        self._link = 0  # which connection a probe belongs to
        self._answered = False
        self._shared = True
        if transport.options.protocol != "5":
            transport.subscribe(topics.share(node, self._topic), self._on_probe, qos=1, retained=False)
        transport.watch(self._on_link)

    def _on_link(self, event: LinkEvent) -> None:
        self._link += 1
        self._answered = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if event != "up":
            return
        says = self._transport.shared_subscriptions
        if says is not None:
            self._found(says)
            return
        self._transport.publish(Message(self._topic, b"?", 1))
        # Not before the other watchers are through: the time would run while nobody reads the answer.
        link = self._link
        self._transport.call_soon(lambda: self._wait(link))

    def _wait(self, link: int) -> None:
        if link == self._link and not self._answered:
            self._timer = self._transport.call_later(PROBE_S, self._overdue)

    def _overdue(self) -> None:
        if self._transport.backlog():  # the answer may be among what was not read yet
            self._wait(self._link)
        else:
            self._found(shared=False)

    def _on_probe(self, _message: Message) -> None:
        self._answered = True
        if self._timer is not None:
            self._timer.cancel()
        self._found(shared=True)

    def _found(self, shared: bool) -> None:
        if shared != self._shared:
            self._shared = shared
            self._on_change(shared)
