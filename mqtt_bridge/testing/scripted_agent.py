"""An agent that answers by rule: it echoes the text's length, inline or from a bounded queue.

It keeps the port's rules (`mqtt_bridge.node.port`): no exception for a request's sake, one reply
per request, a full queue refuses. `hold` makes the worker wait, so that a test can fill the queue.
"""

from __future__ import annotations

import queue
import threading

from firmware_py.contracts.errors import (
    CiuicError,
    DeadlinePassedError,
    EmptyInputError,
    InputTooLongError,
    QueueFullError,
    UnknownTaskError,
)
from firmware_py.contracts.reply import ModelRef, Reply, Route, Timing, error_reply
from firmware_py.contracts.request import Request
from mqtt_bridge.node.port import OnReply

_MAX_WORDS = 512


class ScriptedAgent:
    """Serves one task; `answered` lists the ids it worked on, in order."""

    def __init__(
        self, node: str = "fake", *, task: str = "home", inline: bool = True, bound: int = 64
    ) -> None:
        self.node = node
        self.task = task
        self.inline = inline
        self.answered: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        self._queue: queue.Queue[tuple[Request, OnReply] | None] = queue.Queue(bound)
        self._worker = threading.Thread(target=self._work, name=f"agent-{node}", daemon=True)
        self._worker.start()

    def answer(self, request: Request) -> Reply:
        """Answer by rule."""
        error = self._fault(request)
        if error is not None:
            return error_reply(request.id, error, node=self.node)
        self.answered.append(request.id)
        text = request.input["text"]
        return Reply(
            id=request.id,
            status="ok",
            route=Route(self.node, exit=1, exits=3, widths=(4,), delegate="scripted", cache="miss"),
            result={"label": "echo", "confidence": 1.0, "slots": [], "length": len(text)},
            model=ModelRef("scripted", "1", "0" * 64),
            time=Timing(0.0, 0.0),
        )

    def try_inline(self, request: Request, on_reply: OnReply) -> bool:
        """Answer now unless told to queue or the worker is held."""
        if not (self.inline and self.hold.is_set() and self._queue.empty()):
            return False
        on_reply(self.answer(request))
        return True

    def submit(self, request: Request, on_reply: OnReply) -> None:
        """Queue, or refuse at once when full."""
        try:
            self._queue.put_nowait((request, on_reply))
        except queue.Full:
            error = QueueFullError("the queue is full", retry_after_s=0.1)
            on_reply(error_reply(request.id, error, node=self.node))

    def close(self) -> None:
        """End the worker."""
        self.hold.set()
        self._queue.put(None)
        self._worker.join(5.0)

    def _fault(self, request: Request) -> CiuicError | None:
        text = request.input.get("text", "")
        if request.task != self.task:
            return UnknownTaskError("no bundle here serves that task")
        if request.deadline_s <= 0.0:
            return DeadlinePassedError("the deadline was over on arrival")
        if not text.strip():
            return EmptyInputError("the text is empty")
        if len(text.split()) > _MAX_WORDS:
            return InputTooLongError("the text is too long")
        return None

    def _work(self) -> None:
        while True:
            item = self._queue.get()
            self.hold.wait()
            if item is None:
                return
            request, on_reply = item
            on_reply(self.answer(request))
