"""How an outgoing message is packed, and what a broker's CONNACK lets through. Pure; knows nothing of paho."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mqtt_bridge.transport.base import Message

_MOST_FIELD = 65_535  # bytes of a string or of binary data (MQTT 5, 1.5.4)
_EXPIRY, _CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION = b"\x02", b"\x03", b"\x08", b"\x09"  # MQTT 5, 2.2.2.2


def pack_properties(message: Message) -> bytes:
    """The message's properties in the order of their identifiers, with their length; empty if it has none.

    Raises:
        ValueError: one is longer than 65,535 bytes, or no UTF-8.
    """
    packed = b""
    if message.expiry_s is not None:
        packed = _EXPIRY + message.expiry_s.to_bytes(4, "big")
    if message.content_type is not None:
        packed += _CONTENT_TYPE + _field(message.content_type.encode("utf-8"))
    if message.response_topic is not None:
        packed += _RESPONSE_TOPIC + _field(message.response_topic.encode("utf-8"))
    if message.correlation is not None:
        packed += _CORRELATION + _field(message.correlation)
    return variable(len(packed)) + packed if packed else b""


def packet_bytes(qos: int, topic_bytes: int, property_bytes: int, payload_bytes: int) -> int:
    """The length of a PUBLISH packet (MQTT 5, 3.3): fixed header, topic, packet id, properties, payload."""
    left = 2 + topic_bytes + (2 if qos else 0) + (property_bytes or 1) + payload_bytes
    return 2 + (left > 0x7F) + (left > 0x3FFF) + (left > 0x1F_FFFF) + left


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What the broker takes (MQTT 5, 3.2.2.3); it ends the connection of who sends more."""

    packet_bytes: int | None = None
    qos: int = 2
    retain: bool = True

    def lowered(self, message: Message) -> Message:
        """The message with no more quality and retention than the broker has."""
        if message.qos <= self.qos and (self.retain or not message.retain):
            return message
        return replace(message, qos=min(message.qos, self.qos), retain=message.retain and self.retain)


def _field(data: bytes) -> bytes:
    """Two bytes of length, then the data."""
    if len(data) > _MOST_FIELD:
        msg = "a property of the message is too long"
        raise ValueError(msg)
    return len(data).to_bytes(2, "big") + data


def variable(number: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5): seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
