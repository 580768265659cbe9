"""An incoming PUBLISH packet, cut down to what the bridge uses before paho reads it. Pure; knows nothing of paho.

A broker hands on what any client wrote. paho's reading of properties is quadratic in their number, and it ends the
link over a value that it does not like; both would let one message of one client stop everybody's requests.
"""

from __future__ import annotations

from mqtt_bridge.transport.outgoing import variable

# Of a packet. Larger than the codec's 64 KiB, so that an oversized request still reaches a node and hears why.
MAX_PACKET_BYTES = 256 * 1024
HEAD_BYTES = 2 + 0xFFFF + 2  # what may stand before the properties: topic and packet id

_NO_TOPIC = b"\x00\x01\xff"  # one byte that is no UTF-8: the message is dropped, counted and acknowledged
_TEXTS = frozenset({0x03, 0x08})  # content type, response topic
_USED = frozenset({0x02, 0x09}) | _TEXTS  # and message expiry interval, correlation data
_USER = 0x26  # two fields
_VARIABLE = 0x0B  # a subscription identifier, which ends by its own bits
# Of the properties of fixed length (MQTT 5, 2.2.2.2).
_BYTES = (
    dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1)
    | dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2)
    | dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4)
)
# Those with a length of two bytes, then as many.
_FIELDS = frozenset({0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F})


def cut_down(first: int, packet: bytearray) -> bytearray:
    """An MQTT 5 PUBLISH with the properties that the bridge uses; `unreadable` where they cannot be read.

    One walk over the properties, whatever their number.

    Args:
        first: the first byte of the fixed header.
        packet: what follows the fixed header.
    """
    start = _head_bytes(first, packet)
    try:
        kept, end = _kept(packet, start)
    except (IndexError, ValueError):  # UnicodeDecodeError is one
        return unreadable(first, packet, five=True)
    return packet[:start] + variable(len(kept)) + kept + packet[end:]


def unreadable(first: int, packet: bytearray, *, five: bool) -> bytearray:
    """The packet as one without a readable topic: it keeps its packet id and quality, and nothing else."""
    start = _head_bytes(first, packet)
    packet_id = packet[start - 2 : start] if first & 0x06 else b""
    return bytearray(_NO_TOPIC + packet_id + (b"\x00" if five else b""))


def _head_bytes(first: int, packet: bytearray) -> int:
    """How many bytes topic and packet id take."""
    return 2 + int.from_bytes(packet[:2], "big") + (2 if first & 0x06 else 0)


def _kept(packet: bytearray, start: int) -> tuple[bytearray, int]:
    """The properties that are used, and where the payload begins.

    Raises:
        IndexError, ValueError: they go beyond their end, one is unknown, or a used one is wrong or comes twice.
    """
    length, at = _read_variable(packet, start)
    end = at + length
    if end > len(packet):
        msg = "the properties go beyond the packet"
        raise ValueError(msg)
    kept, seen = bytearray(), set()
    while at < end:
        identifier, after = packet[at], _after(packet, at)
        if after > end:
            msg = "a property goes beyond the properties"
            raise ValueError(msg)
        if identifier in _USED:
            if identifier in seen or (identifier in _TEXTS and not _is_text(packet[at + 3 : after])):
                msg = "a property comes twice, or is no text"
                raise ValueError(msg)
            seen.add(identifier)
            kept += packet[at:after]
        at = after
    return kept, end


def _after(packet: bytearray, at: int) -> int:
    """Where the property that begins at `at` ends."""
    identifier, value = packet[at], at + 1
    if identifier in _BYTES:
        return value + _BYTES[identifier]
    if identifier in _FIELDS:
        return _after_field(packet, value)
    if identifier == _USER:
        return _after_field(packet, _after_field(packet, value))
    if identifier == _VARIABLE:
        return _read_variable(packet, value)[1]
    msg = "an unknown property"
    raise ValueError(msg)


def _after_field(packet: bytearray, at: int) -> int:
    return at + 2 + (packet[at] << 8 | packet[at + 1])


def _is_text(data: bytearray) -> bool:
    """Whether paho takes it for a string: no null and no byte order mark in it.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    text = data.decode("utf-8")
    return "\0" not in text and "\ufeff" not in text


def _read_variable(packet: bytearray, at: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5, 1.5.5), and where it ends."""
    number = 0
    for place in range(4):
        byte = packet[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    msg = "a number of more than four bytes"
    raise ValueError(msg)
