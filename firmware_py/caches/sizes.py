"""How much memory a kept reply takes: for what is bounded by bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firmware_py.contracts.reply import Reply

_REPLY_BYTES = 1024  # without slots; with key and entry of a reply book 1.1 KB (tracemalloc, CPython 3.11)
_SLOT_BYTES = 320  # a slot's dictionary and numbers
_CANDIDATE_BYTES = 256  # a thing that a slot may mean: its words are those of the names file


def reply_bytes(reply: Reply) -> int:
    """About what the reply holds: a slot quotes the text, once as it was said and once as its value."""
    slots = (reply.result or {}).get("slots", ())
    return _REPLY_BYTES + sum([_slot_bytes(slot) for slot in slots])


def _slot_bytes(slot: Mapping[str, Any]) -> int:
    quoted = sys.getsizeof(slot.get("text")) + sys.getsizeof(slot.get("value"))
    return _SLOT_BYTES + _CANDIDATE_BYTES * len(slot.get("candidates", ())) + quoted
