"""What goes out through paho: fitted to the broker, held until it has spoken, given up where it ends the link.

paho keeps what a broker has not acknowledged and sends all of it again at the next connection. It has no public
door to that, so this is the one place that reaches for it. One thread owns an outbox.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from paho.mqtt.client import MQTT_ERR_QUEUE_SIZE, MQTT_ERR_SUCCESS, Client
from paho.mqtt.enums import MessageState
from paho.mqtt.properties import Properties

from mqtt_bridge.transport.base import Message
from mqtt_bridge.transport.outgoing import BrokerLimits, pack_properties, packet_bytes

_log = logging.getLogger(__name__)


class Outbox:
    """The way out of one client; `open` between a broker's CONNACK and the end of its connection."""

    def __init__(self, client: Client, *, five: bool, most: int) -> None:
        """Hold at most `most` messages, those that paho keeps counted in; `five`: messages have properties."""
        self.open = False
        self.dropped = 0
        self._client = client
        self._five = five
        self._most = most
        self._limit = BrokerLimits()
        self._held: deque[Message] = deque()
        self._again: deque[tuple[Message, Properties | None]] = deque()
        self._suspects: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether a broker still owes an acknowledgement."""
        return bool(self._kept)

    def publish(self, message: Message) -> None:
        """Send, or hold until a broker has said what it takes: paho would send on before that."""
        if self.open:
            self.send_held()
            self._send(message)
        elif message.qos and len(self._held) + len(self._kept) < self._most:
            self._held.append(message)
        else:
            self.dropped += 1

    def send_held(self) -> None:
        """Send what waited for the connection."""
        while self._again:
            self._hand_over(*self._again.popleft())
        while self._held and self.open:
            self._send(self._held.popleft())

    def fit(self, limit: BrokerLimits) -> None:
        """Open towards a broker that takes this much.

        What paho is about to send again may have been meant for another broker. paho would also send all of it at
        once, whatever the receive maximum.
        """
        self.open = True
        self._limit = limit
        kept, most = self._kept, self._client._max_inflight_messages  # noqa: SLF001 - see above
        for mid, found in tuple(kept.items()):
            properties = found.properties.pack() if isinstance(found.properties, Packed) else b""
            again = limit.lowered(Message(found.topic, bytes(found.payload), found.qos, found.retain))
            if self._too_long(again, len(properties)):
                del kept[mid]
            elif again.qos < found.qos:  # paho would wait for an acknowledgement
                del kept[mid]
                self._again.append((again, found.properties))
            else:
                found.retain = again.retain
        for found in tuple(kept.values())[most:]:
            found.state = MessageState.MQTT_MS_QUEUED

    def link_ended(self, *, held: bool) -> None:
        """Close; drop what was under way when two links in a row ended soon after their start.

        A broker may answer a message with the end of the connection, and paho sends again what was not
        acknowledged: one such message would end every link from then on.

        Args:
            held: the link did not end soon after its start.
        """
        was_open, self.open = self.open, False
        if not was_open:
            return
        kept, waits = self._kept, MessageState.MQTT_MS_WAIT_FOR_PUBACK
        under_way = set() if held else {mid for mid, message in kept.items() if message.state == waits}
        poison = under_way & self._suspects
        for mid in poison:
            del kept[mid]
        if poison:
            self.dropped += len(poison)
            _log.warning("dropped %d messages that the broker answers with the end of the link", len(poison))
        self._suspects = under_way - poison

    @property
    def _kept(self) -> dict[int, Any]:
        """paho's unacknowledged messages by packet id; it has no public count of them and can only drop all."""
        found: dict[int, Any] = self._client._out_messages  # noqa: SLF001 - see above
        return found

    def _send(self, message: Message) -> None:
        message = self._limit.lowered(message)
        try:
            packed = pack_properties(message) if self._five else b""
            if not self._too_long(message, len(packed)):
                self._hand_over(message, Packed(packed) if packed else None)
        except ValueError:
            _log.warning("a message was not sent: its topic or size is not allowed")
            self.dropped += 1

    def _too_long(self, message: Message, property_bytes: int) -> bool:
        """Whether the broker would end the connection for the message's length; said and counted."""
        most = self._limit.packet_bytes
        if most is None:
            return False
        length = packet_bytes(message.qos, len(message.topic.encode()), property_bytes, len(message.payload))
        if length <= most:
            return False
        _log.warning("a message of %d bytes was not sent: the broker takes %d", length, most)
        self.dropped += 1
        return True

    def _hand_over(self, message: Message, properties: Properties | None) -> None:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if info.rc != MQTT_ERR_SUCCESS and (message.qos == 0 or info.rc == MQTT_ERR_QUEUE_SIZE):
            self.dropped += 1


class Packed(Properties):
    """Properties of an outgoing message, packed here; paho asks them for nothing else.

    A `Properties` builds three tables for every message and asks for all 27 names when it is packed: two fifths of
    the cost of a publish.
    """

    def __init__(self, packed: bytes) -> None:
        self.__dict__["packed"] = packed  # the base's setter knows only the names of properties

    def pack(self) -> bytes:
        """As MQTT 5, 2.2.2: their length, then the properties."""
        packed: bytes = self.__dict__["packed"]
        return packed

    def __str__(self) -> str:
        return f"{len(self.pack())} bytes"
