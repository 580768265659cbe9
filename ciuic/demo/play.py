"""Asks the questions at a steady pace, kills a node on the way, hands out answers as they come."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ciuic.demo.summary import Answered
from firmware_py.contracts.request import Qos, Request
from mqtt_bridge.transport.rpc import Client, ClientOptions, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ciuic.demo.sentences import Question
    from firmware_py.contracts.reply import Reply
    from mqtt_bridge.transport.base import Transport

TASK = "home"
DEADLINE_S = 2.0
LINGER_S = 0.3  # after the last answer: late repeats are still counted


@dataclass(frozen=True, slots=True)
class Pace:
    """One question every `interval_s`; before question `kill_at` (from 1) is answered, `kill` runs."""

    interval_s: float
    kill_at: int
    kill: Callable[[], None]


@dataclass(slots=True)
class Asker:
    """One client per protocol version; questions go out, answers come back in the order of arrival."""

    transports: dict[int, Transport]
    mesh: str
    qos: int
    task: str = TASK
    _clients: dict[int, Client] = field(default_factory=dict)
    _answers: queue.SimpleQueue[Answered] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        for protocol, transport in self.transports.items():
            options = ClientOptions(transport.options.client_id, self.mesh, self.qos)
            self._clients[protocol] = Client(transport, options)

    @property
    def repeats(self) -> int:
        """Replies that came again and were dropped."""
        return sum(client.counts.duplicates for client in self._clients.values())

    @property
    def unexplained(self) -> int:
        """Of these, the ones beyond a reply for each time that the question was sent."""
        return sum(client.counts.unexplained for client in self._clients.values())

    def play(self, questions: Sequence[Question], pace: Pace) -> Iterator[Answered]:
        """Ask all; yields each answer, a lost one without a reply. Ends when every question is settled."""
        settled = 0
        next_s = time.monotonic()
        for number, question in enumerate(questions, 1):
            self._ask(question)
            if number == pace.kill_at:
                pace.kill()
            next_s += pace.interval_s
            while (left_s := next_s - time.monotonic()) > 0:
                try:
                    answer = self._answers.get(timeout=left_s)
                except queue.Empty:
                    break
                settled += 1
                yield answer
        while settled < len(questions):  # the client settles every request by deadline + 1 s
            yield self._answers.get()
            settled += 1
        time.sleep(LINGER_S)

    def _ask(self, question: Question) -> None:
        request = Request(
            id=new_id(),
            task=self.task,
            input={"text": question.sentence.text, "lang": "en"},
            qos=Qos(deadline_s=DEADLINE_S),
        )
        asked_s = time.monotonic()

        def done(reply: Reply | None) -> None:
            latency_s = time.monotonic() - asked_s
            late = reply is not None and latency_s > DEADLINE_S
            self._answers.put(Answered(question, reply, latency_s, late))

        self._clients[question.protocol].send(request, done)
