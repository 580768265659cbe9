"""The asker's own eyes: a question that no node answers is lost, is counted, and fails the run."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ciuic import demo
from ciuic.demo import play
from ciuic.demo.play import Asker, Pace
from ciuic.demo.sentences import Question, Sentence
from ciuic.demo.summary import Answered, Killed, Played, checks, summarise
from firmware_py.contracts.reply import Reply, Route
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from mqtt_bridge.wire.codec import encode_reply

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERED = "every request answered, again only where it was sent again: lost or answered twice"
WAIT_S = 10.0
ASKED = [Question(at, Sentence(f"turn on light {at}", "HassTurnOn", "template"), 5) for at in range(4)]


@contextlib.contextmanager
def node(broker: MemoryBroker, deaf: str = "", copies: int = 1) -> Iterator[None]:
    """Answers every question `copies` times, but not the one whose text has the words of `deaf`."""
    link = MemoryTransport(broker, LinkOptions("n1", ()))

    def answer(message: Message) -> None:
        asked = json.loads(message.payload)
        if deaf and deaf in asked["input"]["text"]:
            return
        reply = Reply(asked["id"], "ok", Route("n1"), {"label": "HassTurnOn", "slots": []})
        for _ in range(copies):
            link.publish(Message(message.response_topic or "", encode_reply(reply)))

    link.subscribe("ciuic/v1/demo/svc/home/infer/+", answer)
    with link:
        link.wait_up(WAIT_S)
        yield


def played(deaf: str = "", copies: int = 1, kill: Callable[[], None] = lambda: None) -> Played:
    """Four questions through the demo's asker to a scripted node; the second one's asking is followed by `kill`."""
    broker = MemoryBroker()
    link = MemoryTransport(broker, LinkOptions("asker", ()))
    asker = Asker({5: link}, "demo", qos=1)
    with link, node(broker, deaf, copies):
        link.wait_up(WAIT_S)
        answers = list(asker.play(ASKED, Pace(0.001, 2, kill)))
    return Played(len(ASKED), answers, asker.repeats, asker.unexplained)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is late is not judged here, but where a question is lost: that is waited for."""
    monkeypatch.setattr(play, "DEADLINE_S", 30.0)
    monkeypatch.setattr(play, "LINGER_S", 0.1)


def test_every_question_is_settled_and_the_kill_comes_once() -> None:
    kills: list[None] = []
    run = played(kill=lambda: kills.append(None))
    assert sorted(answer.question.index for answer in run.answers) == [0, 1, 2, 3]
    assert all(answer.reply is not None for answer in run.answers)
    assert kills == [None]


def test_a_question_that_nobody_answers_is_lost_and_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "DEADLINE_S", 2.0)
    figures = summarise(played(deaf="light 2"))
    assert (figures["asked"], figures["answered"], figures["lost"]) == (4, 3, 1)
    missed = [check.name for check in checks(figures) if not check.ok]
    assert ANSWERED in missed


def test_answers_that_come_twice_are_dropped_counted_and_fail_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each question was sent once, but its answer came twice: no retry explains the second one."""
    monkeypatch.setattr(play, "LINGER_S", 2.0)
    figures = summarise(played(copies=2))
    assert figures["answered"] == 4
    assert figures["repeats_dropped"] >= figures["answered_twice"] >= 4
    assert ANSWERED in [check.name for check in checks(figures) if not check.ok]


@pytest.mark.parametrize(("lost", "status"), [(0, 0), (1, 1)])
def test_the_exit_status_rests_on_the_checks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lost: int, status: int
) -> None:
    """Two hundred right answers are status 0; the same with one missing are status 1, and the document says why."""
    answers = [
        Answered(
            Question(at, Sentence(f"light {at}", "HassTurnOn", "hand" if at % 4 else "template"), 5),
            Reply(str(at), "ok", Route("pi5"), {"label": "HassTurnOn", "slots": []}) if at >= lost else None,
            0.004,
            late=False,
        )
        for at in range(200)
    ]
    broker = SimpleNamespace(kind=SimpleNamespace(name="none"), url="")
    monkeypatch.setattr(
        "mqtt_bridge.broker.process.start_broker", lambda _kind: contextlib.nullcontext(broker)
    )
    run = Played(200, answers, killed=Killed("pi5", "SIGKILL", 120))
    monkeypatch.setattr(demo, "_play", lambda *_: run)
    monkeypatch.setattr(demo, "_check_bundle", lambda *_: None)
    words = argparse.Namespace(
        model=Path("a.bundle"),
        trust=Path("trust"),
        sentences=demo._ROOT / "examples/home_en.jsonl",
        count=200,
        seed=0,
        broker=None,
        json=True,
    )
    assert demo.run_demo(words) == status
    printed = json.loads(capsys.readouterr().out)
    assert printed["lost"] == lost
    assert [check["ok"] for check in printed["checks"]] == [not lost, True, True, True]
