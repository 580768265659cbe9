"""Answers by asker and id: a repeat of an answered request gets the same reply, of an open one waits.

One thread owns it. An entry lives until the request's deadline + 2 s: a second longer than any
client of ours asks again. Deadlines may be an hour, so an answered one goes after 30 s: whoever missed the
answer asks again within 5 s while its link is up, and at once when it is back; what comes later is answered
anew. The key holds a fingerprint of the question, because small devices send `"id":"1"` with every text,
and a new question must not get an old answer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from firmware_py.caches.sizes import reply_bytes
from firmware_py.contracts.errors import BusyError, all_codes
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Request
from mqtt_bridge.node.asker import Asker

KEEP_AFTER_DUE_S = 2.0
KEEP_ANSWERED_S = 30.0  # six of our client's longest steps (transport/rpc.py)
MOST_ASKERS = 8
MOST_REPLIES = 4096
MOST_BYTES = 8 * 2**20  # some 3500 replies of usual size; to a long text one takes up to 34 KB
_ENTRY_BYTES = 512  # key and entry beside the reply
_BUSY = frozenset(code for code, cls in all_codes().items() if issubclass(cls, BusyError))

Key = tuple[str, str, int]
Standing = Literal["new", "open"]


@dataclass(slots=True)
class _Entry:
    """A request: who waits for it while it is open, its reply once it is answered."""

    until_s: float
    askers: list[Asker] = field(default_factory=list)
    reply: Reply | None = None
    kept_bytes: int = 0


class ReplyBook:
    """Open requests and kept replies; at most `most` replies of `most_bytes` are kept, the oldest go first.

    Open requests are bounded by the queue of who works on them.
    """

    def __init__(self, most: int = MOST_REPLIES, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()  # answered ones in the order of their answers
        self._kept = self._kept_bytes = 0
        self.duplicates = 0

    def __len__(self) -> int:
        """Requests that are not answered yet."""
        return len(self._entries) - self._kept

    def enter(self, key: Key, request: Request, asker: Asker) -> Reply | Standing:
        """Note a request: `new` is for the caller to run, `open` waits; a repeat gets its kept reply."""
        entry = self._entries.get(key)
        if entry is not None and entry.until_s < request.arrived_s:
            self._drop(key)
            entry = None
        if entry is None:
            self._entries[key] = _Entry(request.due_s + KEEP_AFTER_DUE_S, [asker])
            return "new"
        self.duplicates += 1
        if entry.reply is not None:
            return entry.reply
        # One reply answers a repeat with the same return address. Who makes up a new one each time is not
        # put down for ever; a later repeat gets the kept reply.
        known = any(_address(asker) == _address(other) for other in entry.askers)
        if not known and len(entry.askers) < MOST_ASKERS:
            entry.askers.append(asker)
        return "open"

    def answer(self, key: Key, reply: Reply, now_s: float) -> list[Asker]:
        """Close a request and name those who wait for it; a busy reply is not kept."""
        entry = self._entries.get(key)
        if entry is None or entry.reply is not None:
            return []
        askers, entry.askers = entry.askers, []
        if reply.error is not None and reply.error.code in _BUSY:
            self._drop(key)
            return askers
        self._keep(key, entry, reply)
        entry.until_s = min(entry.until_s, now_s + KEEP_ANSWERED_S)
        return askers

    def _keep(self, key: Key, entry: _Entry, reply: Reply) -> None:
        entry.reply = reply
        entry.kept_bytes = _ENTRY_BYTES + reply_bytes(reply)
        self._entries.move_to_end(key)
        self._kept += 1
        self._kept_bytes += entry.kept_bytes
        while self._kept > self._most or self._kept_bytes > self._most_bytes:
            self._drop(next(key for key, entry in self._entries.items() if entry.reply is not None))

    def expire(self, now_s: float) -> None:
        """Drop every entry whose time is over, answered or not: replies hold users' words."""
        for key in [key for key, entry in self._entries.items() if entry.until_s < now_s]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key)
        if entry.reply is not None:
            self._kept -= 1
            self._kept_bytes -= entry.kept_bytes


def _address(asker: Asker) -> tuple[str, bytes | None]:
    return asker.reply_topic, asker.correlation


def key_of(request: Request) -> Key:
    """Asker, id, and a fingerprint of the question, to which belongs how well and how cheaply it is to be answered."""
    question = (request.task, request.qos.accuracy, request.qos.energy_j, *sorted(request.input.items()))
    return (request.client, request.id, hash(question))
