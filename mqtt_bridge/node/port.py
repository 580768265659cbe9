"""What the endpoint needs of an agent; `firmware_py.agent.CiuicNode` fits, and so does the fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Request

OnReply = Callable[[Reply], None]


class NodeAgent(Protocol):
    """Answers requests now, or later from its queue. Neither method raises for a request's sake."""

    def try_inline(self, request: Request, on_reply: OnReply) -> bool:
        """Answer on the calling thread if nothing waits and a slot is free; False if it must queue.

        `on_reply` is called before this returns, ahead of whatever the agent still does for itself.
        """

    def submit(self, request: Request, on_reply: OnReply) -> None:
        """Queue; `on_reply` is called once, from any thread, perhaps before this returns."""
