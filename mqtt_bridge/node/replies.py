"""Answers by asker and id: a repeat of an answered request gets the same reply, of an open one waits.

One thread owns it. An entry lives until the request's deadline + 2 s: a second longer than any
client of ours asks again. The key holds a fingerprint of the question, because small devices send
`"id":"1"` with every text, and a new question must not get an old answer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from firmware_py.contracts.errors import BusyError, all_codes
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Request
from mqtt_bridge.node.asker import Asker

KEEP_AFTER_DUE_S = 2.0
_BUSY = frozenset(code for code, cls in all_codes().items() if issubclass(cls, BusyError))

Key = tuple[str, str, int]
Standing = Literal["new", "open"]


@dataclass(slots=True)
class _Open:
    due_s: float
    askers: list[Asker] = field(default_factory=list)


class ReplyBook:
    """Open requests and kept replies; at most `most` replies are kept, the oldest go first."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._open: dict[Key, _Open] = {}
        self._kept: OrderedDict[Key, tuple[Reply, float]] = OrderedDict()
        self.duplicates = 0

    def __len__(self) -> int:
        """Requests that are not answered yet."""
        return len(self._open)

    def enter(self, key: Key, request: Request, asker: Asker) -> Reply | Standing:
        """Note a request: `new` is for the caller to run, `open` waits; a repeat gets its kept reply."""
        kept = self._kept.get(key)
        if kept is not None and kept[1] >= request.arrived_s:
            self.duplicates += 1
            return kept[0]
        entry = self._open.get(key)
        if entry is None:
            self._open[key] = _Open(request.due_s, [asker])
            return "new"
        self.duplicates += 1
        # A repeat on the same reply topic is answered by the first one's reply.
        if all(asker.reply_topic != other.reply_topic for other in entry.askers):
            entry.askers.append(asker)
        return "open"

    def answer(self, key: Key, reply: Reply) -> list[Asker]:
        """Close a request and name those who wait for it; a busy reply is not kept."""
        entry = self._open.pop(key, None)
        if entry is None:
            return []
        if reply.error is None or reply.error.code not in _BUSY:
            self._kept[key] = (reply, entry.due_s + KEEP_AFTER_DUE_S)
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return entry.askers

    def expire(self, now_s: float) -> None:
        """Drop kept replies whose time is over, from the oldest on, and requests that nobody answered."""
        for key in [key for key, entry in self._open.items() if entry.due_s + KEEP_AFTER_DUE_S < now_s]:
            del self._open[key]
        while self._kept:
            key, (_reply, until_s) = next(iter(self._kept.items()))
            if until_s >= now_s:
                return
            del self._kept[key]


def key_of(request: Request) -> Key:
    """Asker, id, and a fingerprint of the question."""
    return (request.client, request.id, hash((request.task, *sorted(request.input.items()))))
