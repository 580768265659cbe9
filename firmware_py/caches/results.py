"""Answers by content: the exact text under the same task, rule and model. In memory only.

Texts are the keys and are never written anywhere. A stored answer is handed out without its joules: they were
spent once, and what a hit costs is priced by who looks it up. Nor does it say that they were
over the first asker's bound: who asks next may have none.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

from firmware_py.caches.lru import Lru
from firmware_py.caches.sizes import reply_bytes
from firmware_py.contracts.reply import UNKNOWN_ENERGY, Reply

Heard = tuple[int, str]  # the version of the user's names, and the asker's language where it is known
Key = tuple[str, str, str, str, Heard]


def key(task: str, text: str, rule: str, bundle_sha256: str, heard: Heard = (0, "")) -> Key:
    """What an answer depends on; `heard` is what the text is understood by."""
    return (task, text, rule, bundle_sha256, heard)


class ResultCache:
    """Thread-safe; bounded by entries and by bytes."""

    __slots__ = ("_lock", "_replies")

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._replies: Lru[Key, Reply] = Lru(max_entries, max_bytes)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Answers held."""
        return len(self._replies)

    def get(self, wanted: Key) -> Reply | None:
        """The stored answer, marked as a hit, with the first asker's id still on it."""
        with self._lock:
            return self._replies.get(wanted)

    def put(self, wanted: Key, reply: Reply) -> None:
        """Hold an answer."""
        # The first asker's bound and outage are not the next one's.
        route = replace(reply.route, cache="hit", over_budget=False, fallback=None)
        stored = replace(reply, route=route, energy=UNKNOWN_ENERGY)
        with self._lock:
            self._replies.put(wanted, stored, reply_bytes(stored) + sys.getsizeof(wanted[1]))
