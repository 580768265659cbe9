"""What is asked. Wire form and field meanings: `docs/ref-wire-format.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import SchemaError, VersionError
from firmware_py.contracts.records import record

WIRE_VERSION = 1
MAX_PAYLOAD_BYTES = 64 * 1024  # the codec's limit; the broker's is larger so that the oversized hear why
MAX_ID_CHARS = 128
DEFAULT_DEADLINE_S = 2.0
MAX_DEADLINE_S = 3600.0
MAX_PRIORITY = 9
_MAX_TASK_CHARS, _MAX_STAMP_CHARS, _MAX_TOPIC_CHARS, _MAX_RULE_CHARS = 64, 64, 1024, 32
_LARGEST = sys.float_info.max


@record(frozen=True, slots=True)
class Qos:
    """What the asker needs of the answer; every field is optional.

    `deadline_s` counts from arrival and is a promise. `priority` runs from 0 to 9, 9 is the most
    urgent. `energy_j` bounds the predicted mean. `accuracy` names an exit rule of the manifest.
    """

    deadline_s: float | None = None
    priority: int = 5
    energy_j: float | None = None
    accuracy: str | None = None


_NO_QOS = Qos()


@record(frozen=True, slots=True)
class Session:
    """A hint for affinity: which growing transcript this request belongs to. Checked, and read by nobody yet."""

    id: str
    seq: int
    final: bool


@record(frozen=True, slots=True)
class Request:
    """One question.

    `input` maps modality to value (`text`, and optionally `lang`). `client` is the identity level
    of the topic that it came on, not a field of the payload. `arrived_s` is the monotonic second
    of arrival on this node.
    """

    id: str
    task: str
    input: Mapping[str, str]
    qos: Qos = field(default_factory=Qos)
    sent_at: str | None = None
    session: Session | None = None
    reply_to: str | None = None
    client: str = ""
    arrived_s: float = 0.0

    @property
    def deadline_s(self) -> float:
        """Seconds from arrival until the answer is worthless."""
        return DEFAULT_DEADLINE_S if self.qos.deadline_s is None else self.qos.deadline_s

    @property
    def due_s(self) -> float:
        """The monotonic second at which the deadline is over."""
        return self.arrived_s + self.deadline_s

    def to_dict(self) -> dict[str, Any]:
        """The wire form; unset optional fields are left out."""
        out: dict[str, Any] = {"v": WIRE_VERSION, "id": self.id, "task": self.task, "input": dict(self.input)}
        qos = {
            key: value
            for key, value in (
                ("deadline_s", self.qos.deadline_s),
                ("priority", self.qos.priority),
                ("energy_j", self.qos.energy_j),
                ("accuracy", self.qos.accuracy),
            )
            if value is not None
        }
        if qos:
            out["qos"] = qos
        if self.sent_at is not None:
            out["sent_at"] = self.sent_at
        if self.session is not None:
            out["session"] = {"id": self.session.id, "seq": self.session.seq, "final": self.session.final}
        if self.reply_to is not None:
            out["reply_to"] = self.reply_to
        return out


def parse_request(data: Any, *, client: str = "", arrived_s: float = 0.0) -> Request:
    """Check a decoded payload and make it a Request; unknown fields are ignored.

    Raises:
        SchemaError: a field is missing, of the wrong type or out of range.
        VersionError: `v` is another major version.
    """
    ordinary = _ordinary(data, client, arrived_s)
    if ordinary is not None:
        return ordinary
    top = Fields(data, "request")
    version = top.integer("v", low=0)
    if version != WIRE_VERSION:
        msg = f"request.v is {version}, this node speaks {WIRE_VERSION}"
        raise VersionError(msg)
    request_id = top.text("id", limit=MAX_ID_CHARS)
    if not request_id:
        top.fail("request.id is empty")
    inputs = top.object("input")
    if not inputs:
        top.fail("request.input is empty")
    for key, value in inputs.items():
        if not isinstance(key, str) or not isinstance(value, str):
            msg = "request.input maps names to strings"
            raise SchemaError(msg)
    return Request(
        id=request_id,
        task=top.text("task", limit=_MAX_TASK_CHARS),
        input=dict(inputs),
        qos=_parse_qos(top.object("qos", None)),
        sent_at=top.text("sent_at", None, limit=_MAX_STAMP_CHARS),
        session=_parse_session(top.object("session", None)),
        reply_to=top.text("reply_to", None, limit=_MAX_TOPIC_CHARS),
        client=client,
        arrived_s=arrived_s,
    )


def _ordinary(data: Any, client: str, arrived_s: float) -> Request | None:
    """The request where every field is as the schema wants it, in a third of the time.

    None: something is rare (a session) or wrong, and the long way knows what. A test holds both to one answer.
    """
    if type(data) is not dict or type(data.get("v")) is not int or data["v"] != WIRE_VERSION:
        return None
    request_id, task, inputs, sent_at = (
        data.get("id"),
        data.get("task"),
        data.get("input"),
        data.get("sent_at"),
    )
    reply_to = data.get("reply_to")
    if not (
        type(request_id) is str
        and 0 < len(request_id) <= MAX_ID_CHARS
        and type(task) is str
        and len(task) <= _MAX_TASK_CHARS
        and type(inputs) is dict
        and inputs
        and (sent_at is None or (type(sent_at) is str and len(sent_at) <= _MAX_STAMP_CHARS))
        and (reply_to is None or (type(reply_to) is str and len(reply_to) <= _MAX_TOPIC_CHARS))
        and data.get("session") is None
    ):
        return None
    for key, value in inputs.items():
        if type(key) is not str or type(value) is not str:
            return None
    qos = _ordinary_qos(data.get("qos"))
    if qos is None:
        return None
    return Request(request_id, task, inputs, qos, sent_at, None, reply_to, client, arrived_s)


def _ordinary_qos(data: Any) -> Qos | None:
    if data is None:
        return _NO_QOS
    if type(data) is not dict:
        return None
    deadline_s, priority = data.get("deadline_s"), data.get("priority", 5)
    energy_j, accuracy = data.get("energy_j"), data.get("accuracy")
    if (
        (deadline_s is None or (type(deadline_s) is float and 0.0 <= deadline_s <= MAX_DEADLINE_S))
        and (type(priority) is int and 0 <= priority <= MAX_PRIORITY)
        and (energy_j is None or (type(energy_j) is float and 0.0 <= energy_j < _LARGEST))
        and (accuracy is None or (type(accuracy) is str and len(accuracy) <= _MAX_RULE_CHARS))
    ):
        return Qos(deadline_s, priority, energy_j, accuracy)
    return None


def _parse_qos(data: Mapping[str, Any] | None) -> Qos:
    if data is None:
        return Qos()
    qos = Fields(data, "request.qos")
    priority = qos.integer("priority", None, low=0, high=MAX_PRIORITY)
    return Qos(
        deadline_s=qos.number("deadline_s", None, low=0.0, high=MAX_DEADLINE_S),
        priority=5 if priority is None else priority,
        energy_j=qos.number("energy_j", None, low=0.0),
        accuracy=qos.text("accuracy", None, limit=_MAX_RULE_CHARS),
    )


def _parse_session(data: Mapping[str, Any] | None) -> Session | None:
    if data is None:
        return None
    session = Fields(data, "request.session")
    return Session(
        id=session.text("id", limit=MAX_ID_CHARS),
        seq=session.integer("seq"),
        final=session.flag("final", default=False),
    )
