"""What is said to paho and what paho says, in our words: client, CONNECT, SUBSCRIBE, CONNACK, messages.

Facts about paho 2.2 that shape it: it does not set TCP_NODELAY; it does not read the broker's receive maximum, and a
broker ends a connection that goes over it (MQTT 5, 3.3.4); it reads packets of any length, properties in quadratic time,
and ends the link over a value that it does not like.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MessageType, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt_bridge.transport.address import BrokerAddress
from mqtt_bridge.transport.base import LinkOptions, Message, Subscription
from mqtt_bridge.transport.incoming import HEAD_BYTES, MAX_PACKET_BYTES, cut_down, unreadable
from mqtt_bridge.transport.outgoing import BrokerLimits
from mqtt_bridge.transport.sockets import tune

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0
_CHUNK_BYTES = 64 * 1024  # of a packet that is too long, read to be forgotten
_SAFE_INFLIGHT = 20  # until the broker names its receive maximum; mosquitto's default
_MOST_INFLIGHT = 65_535  # what an absent receive maximum means (MQTT 5, 3.2.2.3.3)
_RETAIN_REFUSED, _QOS_REFUSED = 0x9A, 0x9B  # of the will (MQTT 5, 3.2.2.2)


class GuardedClient(Client):
    """paho's client, for messages that anybody may have written: it holds no long packet and reads no odd property.

    Such a message comes to `on_message` with a topic that is no UTF-8, so that it is acknowledged as any other.
    """

    def _handle_publish(self) -> MQTTErrorCode:
        """Let paho read a PUBLISH that it reads soon and without complaint."""
        found, five = self._in_packet, self._protocol == MQTTv5
        if self._too_long:
            _log.warning("dropped a message of %d bytes: it is too long", found["remaining_length"])
            found["packet"] = unreadable(found["command"], found["packet"], five=five)
        elif five:
            found["packet"] = cut_down(found["command"], found["packet"])
        return super()._handle_publish()

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read; of a PUBLISH that is too long only the head stays, and any other such packet ends the link.

        To end the link over a message would let its writer cut everybody off, and a kept session brings it again.
        """
        if not self._too_long:
            return super()._sock_recv(bufsize)
        if self._in_packet["command"] & 0xF0 != MessageType.PUBLISH:
            msg = "a packet is too long"
            raise ConnectionAbortedError(msg)
        del self._in_packet["packet"][HEAD_BYTES:]
        return super()._sock_recv(min(bufsize, _CHUNK_BYTES))

    @property
    def _too_long(self) -> bool:
        """Whether the packet under way has announced too many bytes."""
        found = self._in_packet
        return bool(found["have_remaining"]) and found["remaining_length"] > MAX_PACKET_BYTES


def make_client(options: LinkOptions) -> Client:
    """A client that acknowledges by hand and leaves reconnecting to us; its callbacks are still to be set."""
    five = options.protocol == "5"
    client = GuardedClient(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=MQTTv5 if five else MQTTv311,
        clean_session=None if five else options.session_expiry_s == 0,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_queued_messages_set(options.max_queued)
    client.max_inflight_messages_set(_SAFE_INFLIGHT)
    client.on_socket_open = _on_socket_open
    return client


def connect(client: Client, broker: BrokerAddress, options: LinkOptions, will: Message | None) -> None:
    """Open the socket and send CONNECT.

    Raises:
        OSError, ValueError: the broker cannot be reached.
    """
    five = options.protocol == "5"
    _allow_inflight(client, _SAFE_INFLIGHT)
    client.username_pw_set(broker.username, broker.password)
    if will is not None:
        _set_will(client, will, five=five)
    if five:
        properties = _new_properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = options.session_expiry_s
        properties.ReceiveMaximum = options.receive_maximum
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect_async(
            broker.host,
            broker.port,
            options.keepalive_s,
            clean_start=options.session_expiry_s == 0,
            properties=properties,
        )
    else:
        client.connect_async(broker.host, broker.port, options.keepalive_s)
    client.reconnect()


def accepted(
    client: Client, options: LinkOptions, properties: Properties | None
) -> tuple[bool, BrokerLimits]:
    """What an MQTT 5 broker's CONNACK grants: shared subscriptions (3.2.2.3.13: absent means yes), and its limits."""
    allowed = getattr(properties, "ReceiveMaximum", _MOST_INFLIGHT)
    _allow_inflight(client, min(allowed, options.receive_maximum))
    limits = BrokerLimits(
        getattr(properties, "MaximumPacketSize", None),
        getattr(properties, "MaximumQoS", 2),
        getattr(properties, "RetainAvailable", 1) != 0,
    )
    return getattr(properties, "SharedSubscriptionAvailable", 1) != 0, limits


def refused(limits: BrokerLimits, reason: ReasonCode) -> BrokerLimits:
    """What is known of a broker that did not take our will: the next attempt asks for less."""
    if reason.value == _RETAIN_REFUSED:
        return replace(limits, retain=False)
    if reason.value == _QOS_REFUSED:
        return replace(limits, qos=0)
    return limits


def subscribe(client: Client, subscription: Subscription, *, five: bool) -> int | None:
    """Send SUBSCRIBE; its packet id, None where there is no connection."""
    if not five:
        return client.subscribe(subscription.topic_filter, subscription.qos)[1]
    handling = (
        SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
        if subscription.retained
        else SubscribeOptions.RETAIN_DO_NOT_SEND
    )
    options = SubscribeOptions(subscription.qos, retainHandling=handling)
    return client.subscribe(subscription.topic_filter, options=options)[1]


def received(message: MQTTMessage) -> Message:
    """A message of paho's as ours.

    Raises:
        UnicodeDecodeError: its topic is no UTF-8: a lax broker passed it on, or `GuardedClient` could not read it.
    """
    properties = message.properties
    if properties is None:
        return Message(message.topic, bytes(message.payload), message.qos, message.retain)
    return Message(
        message.topic,
        bytes(message.payload),
        message.qos,
        message.retain,
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
        getattr(properties, "ContentType", None),
        getattr(properties, "MessageExpiryInterval", None),
    )


def _allow_inflight(client: Client, most: int) -> None:
    """paho's own setter refuses open connections; from one positive value to another the attribute is safe."""
    client._max_inflight_messages = most  # noqa: SLF001 - see above


def _set_will(client: Client, will: Message, *, five: bool) -> None:
    properties = _new_properties(PacketTypes.WILLMESSAGE) if five else None
    if properties is not None and will.content_type is not None:
        properties.ContentType = will.content_type
    client.will_set(will.topic, will.payload, will.qos, will.retain, properties)


def _new_properties(packet: int) -> Properties:
    found: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return found


def _on_socket_open(_client: Client, _data: Any, sock: Any) -> None:
    tune(sock)
