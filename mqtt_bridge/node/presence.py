"""What a node says of itself: birth and state (retained), a will, and a heartbeat twice a second.

The will carries the epoch of its birth: an observer that hears it late knows it as older than the
retained birth's. But it would stay in the broker as the node's last word: brokers that share what they
retain publish the will of a link to one of them when the node is at another already. So is a goodbye to one
that it left for another. So the node listens to its own state and says it again. At each connection birth and state are said again, so nothing lives
in the broker alone. While the node cannot be asked (the broker refuses what it would hear requests
by) its state is `init`. No MQTT 5 properties: a rumqttd broker closes the
connection of a 3.1.1 subscriber that such a message would go to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from firmware_py.contracts.node_state import Birth, Heartbeat, Lifecycle, State
from mqtt_bridge.node.beat import Beat
from mqtt_bridge.node.roll import epoch_of, told
from mqtt_bridge.transport.base import LinkEvent, Message, Transport
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import JSON, encode_payload

HEARTBEAT_S = 0.5
_ENDS = ("lost", "disconnected")


def state_message(mesh: str, node: str, epoch: int, state: Lifecycle) -> Message:
    """A lifecycle message; with `lost` it is the will."""
    topic = topics.build("state", mesh, node=node)
    return _retained(topic, State(node, epoch, state).to_dict())


class Presence:
    """Publishes birth, state and heartbeats of one node on its transport's thread."""

    def __init__(
        self,
        transport: Transport,
        mesh: str,
        birth: Birth,
        heartbeat: Callable[[], Heartbeat],
        period_s: float = HEARTBEAT_S,
    ) -> None:
        self._transport = transport
        self._mesh = mesh
        self._birth = birth
        self._heartbeat = heartbeat
        self._serving: Callable[[], bool] = lambda: True
        self._watchers: list[Callable[[Lifecycle], None]] = []
        self._said: Lifecycle | None = None
        self._away = False  # it has said goodbye to this broker and goes to another
        self._beats = Beat(transport, period_s, self._beat)
        self._beat_topic = topics.build("heartbeat", mesh, node=birth.node)

    def ready_if(self, serving: Callable[[], bool]) -> None:
        """Say `ready` only while this holds; it is looked at with each beat."""
        self._serving = serving

    def watch(self, watcher: Callable[[Lifecycle], None]) -> None:
        """Be told, on the transport's thread, of each state that was said."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Say everything at each connection from now on."""
        topic = topics.build("state", self._mesh, node=self._birth.node)
        self._transport.subscribe(topic, self._on_own_state, retained=False)
        self._transport.watch(self._on_link)
        self._beats.start()

    def stop(self) -> None:
        """Stop beating and say `disconnected`, its last word; the transport's close sends it out."""
        self._transport.call_soon(self._end)

    def leave(self) -> None:
        """Say `disconnected` to a broker that the node leaves for another; on the transport's thread."""
        if self._beats.running:
            self._away = True
            self._say("disconnected")

    def resume(self) -> None:
        """Speak again: at the next connection, or at once where the node stayed; on the transport's thread."""
        away, self._away = self._away, False
        if away and self._transport.connected and self._beats.running:
            self._announce()

    def _end(self) -> None:
        """On the transport's thread, where no beat can be under way."""
        if self._beats.end():
            self._say("disconnected")

    def _on_link(self, event: LinkEvent) -> None:
        if event == "up" and self._beats.running:
            self._announce()

    def _on_own_state(self, message: Message) -> None:
        """Correct what a life before said, or a will of this one; a later life of the name is right while it lasts."""
        heard = told(message)
        if heard is None or message.retain or not self._beats.running or self._away:
            return  # a retained one came before `up`
        epoch, own = epoch_of(heard), self._birth.epoch
        ended = heard.get("state") in _ENDS  # said to the broker that it left, and handed on by that
        if epoch > own and ended:  # another node of this name gave way; what it said is not true of us
            self._announce()
        elif epoch < own or (epoch == own and ended):
            self._say(self._state())

    def _announce(self) -> None:
        topic = topics.build("birth", self._mesh, node=self._birth.node)
        self._transport.publish(_retained(topic, self._birth.to_dict()))
        self._say(self._state())

    def _state(self) -> Lifecycle:
        return "ready" if self._serving() else "init"

    def _say(self, state: Lifecycle) -> None:
        self._said = state
        self._transport.publish(state_message(self._mesh, self._birth.node, self._birth.epoch, state))
        for watcher in self._watchers:
            watcher(state)

    def _beat(self) -> None:
        if self._transport.connected and not self._away:
            state = self._state()
            if state != self._said:
                self._say(state)
            payload = encode_payload(self._heartbeat().to_dict(), JSON)
            self._transport.publish(Message(self._beat_topic, payload, 0))


def _retained(topic: str, data: Mapping[str, Any]) -> Message:
    return Message(topic, encode_payload(data, JSON), 1, retain=True)
