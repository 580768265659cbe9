"""Every topic of the mesh, in one table: built, matched and parsed from here only.

All topics are `ciuic/v1/<mesh>/…`; the major version is the second level. MQTT tells a subscriber
no sender, so `<client>` is a level of its own that a broker's access control can bind.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from firmware_py.contracts.errors import ConfigError

ROOT = "ciuic"
VERSION = "v1"
DEFAULT_MESH = "home"
MAX_TOPIC_CHARS = 1024
MAX_REST_LEVELS = 16
ERROR_LEVEL = "error"
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_REST = re.compile(r"[A-Za-z0-9_.:/-]+")
_NO_TOPIC = re.compile(r"[+#\0]")  # what MQTT forbids in a topic name
_PREFIX = f"{ROOT}/{VERSION}/"

Kind = Literal["request", "command", "reply", "birth", "state", "heartbeat", "energy", "segment", "leader"]


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One topic: `pattern` below `ciuic/v1/<mesh>/`, who sends it, and how.

    `payload` names a schema of `wire/schema.py`; null where the topic is reserved and nothing is
    sent on it yet.
    """

    kind: Kind
    pattern: str
    sender: Literal["client", "node"]
    qos: int
    retained: bool
    payload: str | None
    summary: str


TABLE: tuple[TopicRow, ...] = (
    TopicRow(
        "request",
        "svc/{task}/infer/{client}",
        "client",
        1,
        False,
        "request",
        "A question to whichever node serves the task; nodes share `$share/<task>/…/infer/+`.",
    ),
    TopicRow(
        "command",
        "node/{node}/cmd/{verb}",
        "client",
        1,
        False,
        "request",
        "A question to one node (verb `infer`); the asker is the client level of its reply topic.",
    ),
    TopicRow(
        "reply",
        "reply/{client}/{rest}",
        "node",
        1,
        False,
        "reply",
        "Answers to one client, on a topic below its own level; `error` where the asked topic was refused.",
    ),
    TopicRow(
        "birth",
        "node/{node}/birth",
        "node",
        1,
        True,
        "birth",
        "What a node is and serves, once a session; an empty payload makes the mesh forget it.",
    ),
    TopicRow(
        "state",
        "node/{node}/state",
        "node",
        1,
        True,
        "state",
        "The node's lifecycle; the will says `lost` with the epoch of its birth.",
    ),
    TopicRow(
        "heartbeat",
        "node/{node}/hb",
        "node",
        0,
        False,
        "heartbeat",
        "Load, power and cost lines, twice a second.",
    ),
    TopicRow(
        "energy",
        "node/{node}/energy",
        "node",
        0,
        False,
        "energy",
        "Joules metered beside joules charged, every 10 s while a meter reads.",
    ),
    TopicRow("segment", "seg/{job}/{stage}", "node", 1, False, None, "Reserved: activations between stages."),
    TopicRow("leader", "ctl/leader", "node", 1, True, None, "Reserved: the coordinator's lease."),
)
_ROWS: dict[str, TopicRow] = {row.kind: row for row in TABLE}


@dataclass(frozen=True, slots=True)
class Address:
    """A topic taken apart; levels that its pattern lacks are empty strings."""

    kind: Kind
    mesh: str
    task: str = ""
    client: str = ""
    node: str = ""
    verb: str = ""
    job: str = ""
    stage: str = ""
    rest: str = ""


def is_name(text: str) -> bool:
    """Whether the text may stand as one level: 1 to 64 of letters, digits, `_ . : -`."""
    return _NAME.fullmatch(text) is not None


def check_name(what: str, text: str) -> str:
    """The name itself.

    Raises:
        ConfigError: the text may not stand as one level of a topic.
    """
    if not is_name(text):
        msg = f"the {what} name is not 1 to 64 of letters, digits, '_', '.', ':' and '-'"
        raise ConfigError(msg, hint=f"Choose another {what} name; it becomes one level of MQTT topics.")
    return text


def build(kind: Kind, mesh: str, **levels: str) -> str:
    """The topic of a kind.

    Raises:
        ConfigError: a level is missing or no name.
    """
    parts = [_PREFIX + check_name("mesh", mesh)]
    for level in _ROWS[kind].pattern.split("/"):
        if not level.startswith("{"):
            parts.append(level)
            continue
        name = level[1:-1]
        value = levels.get(name, "")
        parts.append(value if name == "rest" and _is_rest(value) else check_name(name, value))
    return "/".join(parts)


def build_filter(kind: Kind, mesh: str, **levels: str) -> str:
    """The subscription for a kind: levels not given are wildcards."""
    parts = [_PREFIX + check_name("mesh", mesh)]
    for level in _ROWS[kind].pattern.split("/"):
        if not level.startswith("{"):
            parts.append(level)
        elif level == "{rest}":
            parts.append("#")
        elif level[1:-1] in levels:
            parts.append(check_name(level[1:-1], levels[level[1:-1]]))
        else:
            parts.append("+")
    return "/".join(parts)


def share(group: str, topic_filter: str) -> str:
    """The shared form of a subscription: each message goes to one member of the group."""
    return f"$share/{check_name('group', group)}/{topic_filter}"


def unshared(topic_filter: str) -> str:
    """The filter that a shared subscription filters by; any other filter as it is."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic fits a filter (MQTT 5, section 4.7); shared filters by their inner filter."""
    short = len(topic) <= MAX_TOPIC_CHARS and len(topic_filter) <= MAX_TOPIC_CHARS
    return _matches(topic_filter, topic) if short else _matches.__wrapped__(topic_filter, topic)


@functools.lru_cache(maxsize=1024)
def _matches(topic_filter: str, topic: str) -> bool:
    inner = unshared(topic_filter)
    if topic.startswith("$") != inner.startswith("$"):
        return False
    wanted, given = inner.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def parse(topic: str) -> Address | None:
    """Take a topic apart, or null where it is none of the table's."""
    if len(topic) > MAX_TOPIC_CHARS or not topic.startswith(_PREFIX):
        return None
    return _parse(topic)


@functools.lru_cache(maxsize=1024)  # clients come back; long topics never get here
def _parse(topic: str) -> Address | None:
    levels = topic.split("/")
    if len(levels) < 5 or not is_name(levels[2]):
        return None
    for row in TABLE:
        found = _fit(row.pattern.split("/"), levels[3:])
        if found is not None:
            return Address(row.kind, levels[2], **found)
    return None


def error_topic(mesh: str, client: str) -> str:
    """Where a client is told what its own reply topics cannot be told; the level need not be a name.

    Never longer than `…/svc/<task>/infer/<client>`, so what a broker took from the client it takes from a node.
    """
    return f"{_PREFIX}{mesh}/reply/{client}/{ERROR_LEVEL}"


def unnamed_client(topic: str) -> tuple[str, str] | None:
    """Mesh and client level of a request's topic, where that level is no name but MQTT allows it.

    A broker has let the level by in one topic, so it does in another: unlike a reply topic of the payload's
    choice, which may end the connection of the node that publishes on it.
    """
    head, _slash, client = topic.rpartition("/")
    if not client or is_name(client) or _NO_TOPIC.search(client):
        return None
    address = parse(f"{head}/any")
    return (address.mesh, client) if address is not None and address.kind == "request" else None


def reply_topic_fault(mesh: str, client: str, topic: str) -> str | None:
    """Why `topic` is not one of this client's reply topics; null if it is."""
    if len(topic) > MAX_TOPIC_CHARS:
        return f"the reply topic is longer than {MAX_TOPIC_CHARS} characters"
    return _reply_topic_fault(mesh, client, topic)


@functools.lru_cache(maxsize=1024)
def _reply_topic_fault(mesh: str, client: str, topic: str) -> str | None:
    prefix = f"{_PREFIX}{mesh}/reply/{client}/"
    if "+" in topic or "#" in topic:
        return "the reply topic holds a wildcard"
    if not topic.startswith(prefix) or topic == prefix:
        return "the reply topic does not lie below the asking client's own level"
    if not _is_rest(topic[len(prefix) :]):
        return (
            f"below the client's level the reply topic holds more than letters, digits, '_', '.', ':', '-' "
            f"and '/', or over {MAX_REST_LEVELS} levels"
        )
    return None


def _fit(pattern: list[str], levels: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    if pattern[-1] == "{rest}" and len(levels) >= len(pattern):
        levels = [*levels[: len(pattern) - 1], "/".join(levels[len(pattern) - 1 :])]
    if len(pattern) != len(levels):
        return None
    for wanted, given in zip(pattern, levels, strict=True):
        if wanted == "{rest}":
            if not _is_rest(given):
                return None
            found["rest"] = given
        elif wanted.startswith("{"):
            if not is_name(given):
                return None
            found[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return found


def _is_rest(text: str) -> bool:
    """Levels that every broker takes from a publisher.

    A node publishes where an asker tells it to. mosquitto ends the connection of whoever publishes on a
    topic with control characters, non-characters or over 200 levels, so nothing beyond the plain is let by.
    """
    plain = len(text) <= MAX_TOPIC_CHARS and _REST.fullmatch(text) is not None
    return plain and text.count("/") < MAX_REST_LEVELS
