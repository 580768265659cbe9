"""Who asks and where the answer goes: the identity level of the topic binds both. Pure.

MQTT tells a subscriber no sender. On `…/svc/<task>/infer/<client>` the `<client>` level is the
asker, and a broker's access control can bind it. `…/node/<id>/cmd/infer` has no such level: there
the client level of a well-formed reply topic is the asker, and without one nobody can be told.
"""

from __future__ import annotations

from firmware_py.contracts.errors import ReplyTopicMissingError, ReplyTopicRefusedError, RequestError
from firmware_py.contracts.records import record
from mqtt_bridge.transport.base import Message
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import reply_content_type


@record(frozen=True, slots=True)
class Asker:
    """A return address: what a reply needs besides its payload.

    `five` tells that the request carried MQTT 5 properties. Only then does the reply: rumqttd
    closes the connection of a 3.1.1 client that a message with properties would go to.
    """

    client: str
    reply_topic: str
    correlation: bytes | None
    content_type: str | None
    qos: int
    five: bool

    def reply(self, payload: bytes, expiry_s: int | None) -> Message:
        """The message that carries a reply; a content type is named only where the asker named one."""
        return Message(
            self.reply_topic,
            payload,
            self.qos,
            correlation=self.correlation,
            content_type=self.content_type,
            expiry_s=expiry_s if self.five else None,
        )


def find_asker(
    address: topics.Address, message: Message, reply_to: str | None
) -> tuple[Asker | None, RequestError | None]:
    """The asker, and what is wrong with the reply topic.

    With a fault the asker's reply topic is `…/reply/<client>/error`. No asker at all: drop it.
    `reply_to` is the payload's; the MQTT 5 response topic goes before it.
    """
    wanted = message.response_topic or reply_to
    client = address.client or _client_of(address.mesh, wanted)
    if not client:
        return None, None
    fault: RequestError | None = None
    if wanted is None:
        fault = ReplyTopicMissingError("neither a response topic nor reply_to names where the answer goes")
    else:
        reason = topics.reply_topic_fault(address.mesh, client, wanted)
        if reason is not None:
            fault = ReplyTopicRefusedError(reason)
    if fault is not None or wanted is None:
        wanted = topics.error_topic(address.mesh, client)
    return _asker(client, wanted, message), fault


def find_unnamed(message: Message) -> tuple[Asker | None, RequestError]:
    """Whom to tell that the client level of the request's topic is no name; no asker: drop it."""
    fault = ReplyTopicRefusedError(
        "the client level of the request's topic is not 1 to 64 of letters, digits, '_', '.', ':' and '-'",
        hint="Choose another client name: it is a level of the request's topic and of its reply topic.",
    )
    found = topics.unnamed_client(message.topic)
    if found is None:
        return None, fault
    mesh, client = found
    return _asker(client, topics.error_topic(mesh, client), message), fault


def _asker(client: str, reply_topic: str, message: Message) -> Asker:
    content_type = None if message.content_type is None else reply_content_type(message.content_type)
    five = message.response_topic is not None or message.correlation is not None or content_type is not None
    return Asker(client, reply_topic, message.correlation, content_type, min(message.qos, 1), five)


def _client_of(mesh: str, reply_topic: str | None) -> str:
    """The client level of a reply topic of this mesh; empty where it is none."""
    if reply_topic is None:
        return ""
    found = topics.parse(reply_topic)
    return found.client if found is not None and found.kind == "reply" and found.mesh == mesh else ""
