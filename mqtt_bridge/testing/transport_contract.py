"""The suite that every transport passes: subclass it and give a `bed` fixture.

Nothing here is timed: waits have deadlines only so that a defect fails instead of hanging.
"""

# ruff: noqa: D102, S101 - a test suite: names say what is proved, and it asserts

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from mqtt_bridge.transport.base import Message, Transport

WAIT_S = 10.0
QUIET_S = 0.3  # how long nothing must come, where silence is the claim


class Bed(Protocol):
    """A broker that can die, and links to it."""

    five: bool

    def link(self, name: str, **options: Any) -> Transport:
        """A transport that is not started; the bed closes it at the end."""

    def outage(self) -> None:
        """Kill the broker and start it again: everything in it is gone."""


class Inbox:
    """Collects deliveries."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self.threads: set[str] = set()

    def __call__(self, message: Message) -> None:
        """Take one delivery."""
        self.threads.add(threading.current_thread().name)
        self.messages.put(message)

    def take(self) -> Message:
        """The next delivery."""
        return self.messages.get(timeout=WAIT_S)

    def nothing_more(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            self.messages.get(timeout=QUIET_S)
        except queue.Empty:
            return True
        return False


def up(*links: Transport) -> None:
    """Start links and wait for each."""
    for link in links:
        link.start()
    for link in links:
        link.wait_up(WAIT_S)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread makes true."""
    ticker = threading.Event()
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        ticker.wait(0.01)
    msg = "the condition did not come true"
    raise AssertionError(msg)


class TransportContract:
    """What `transport/base.py` promises."""

    def test_a_message_arrives_with_its_bytes(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")
        b.subscribe("t/+", inbox)
        up(a, b)
        for qos in (0, 1):
            a.publish(Message("t/1", b"\x00\xffx", qos))
            found = inbox.take()
            # The delivery's QoS is no part of the contract: rumqttd delivers QoS 0 at the subscription's.
            assert (found.topic, found.payload, found.retain) == ("t/1", b"\x00\xffx", False)

    def test_properties_travel_in_five_and_are_left_out_in_three(self, bed: Bed) -> None:
        inbox, a = Inbox(), bed.link("a")
        a.subscribe("t/1", inbox)
        up(a)
        a.publish(Message("t/1", b"x", 1, False, "re/1", b"\x00c", "application/json", 60))
        found = inbox.take()
        wanted = ("re/1", b"\x00c", "application/json") if bed.five else (None, None, None)
        assert (found.response_topic, found.correlation, found.content_type) == wanted

    def test_what_does_not_match_is_not_delivered(self, bed: Bed) -> None:
        inbox, a = Inbox(), bed.link("a")
        a.subscribe("t/+/x", inbox)
        up(a)
        a.publish(Message("t/1/y", b"no", 1))
        a.publish(Message("t/1/x", b"yes", 1))
        assert inbox.take().payload == b"yes"

    def test_handlers_jobs_and_timers_share_one_thread(self, bed: Bed) -> None:
        inbox, a = Inbox(), bed.link("a")
        a.subscribe("t", inbox)
        up(a)
        names: queue.Queue[str] = queue.Queue()
        a.call_soon(lambda: names.put(threading.current_thread().name))
        a.call_later(0.01, lambda: names.put(threading.current_thread().name))
        a.publish(Message("t", b"x", 1))
        inbox.take()
        assert {names.get(timeout=WAIT_S), names.get(timeout=WAIT_S)} == inbox.threads

    def test_a_cancelled_timer_does_not_run(self, bed: Bed) -> None:
        a, ran = bed.link("a"), queue.Queue[str]()
        up(a)
        a.call_later(0.05, lambda: ran.put("cancelled")).cancel()
        a.call_later(0.1, lambda: ran.put("kept"))
        assert ran.get(timeout=WAIT_S) == "kept"

    def test_a_handler_may_publish_and_subscribe(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")

        def answer(message: Message) -> None:
            a.subscribe("other", inbox)
            a.publish(Message("re", message.payload + b"!", message.qos))

        a.subscribe("ask", answer)
        b.subscribe("re", inbox)
        up(a, b)
        b.publish(Message("ask", b"x", 1))
        assert inbox.take().payload == b"x!"
        b.publish(Message("other", b"y", 1))
        assert inbox.take().payload == b"y"

    def test_a_handler_that_raises_does_not_end_the_link(self, bed: Bed) -> None:
        inbox, a = Inbox(), bed.link("a")

        def broken(message: Message) -> None:
            raise ValueError(message.payload)

        a.subscribe("broken", broken)
        a.subscribe("fine", inbox)
        up(a)
        a.publish(Message("broken", b"x", 1))
        a.publish(Message("fine", b"y", 1))
        assert inbox.take().payload == b"y"

    def test_order_is_kept_for_one_publisher(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")
        b.subscribe("t", inbox)
        up(a, b)
        for number in range(200):
            a.publish(Message("t", str(number).encode(), 1))
        assert [int(inbox.take().payload) for _ in range(200)] == list(range(200))

    def test_unsubscribed_is_quiet(self, bed: Bed) -> None:
        inbox, a = Inbox(), bed.link("a")
        a.subscribe("t", inbox)
        up(a)
        a.publish(Message("t", b"1", 1))
        inbox.take()
        assert a.filters == {"t"}
        a.unsubscribe("t")
        assert not a.filters
        a.publish(Message("t", b"2", 1))
        assert inbox.nothing_more()

    def test_what_is_on_its_way_when_a_filter_is_left_is_handled_before_the_goodbye(self, bed: Bed) -> None:
        a, b = bed.link("a"), bed.link("b")
        begun, go = threading.Event(), threading.Event()

        def slow(message: Message) -> None:
            begun.set()
            go.wait(WAIT_S)
            b.publish(Message("re", message.payload, 1))

        answers, marks = Inbox(), Inbox()
        a.subscribe("re", answers)
        a.subscribe("mark", marks)
        b.subscribe("t", slow)
        up(a, b)
        for number in range(100):
            a.publish(Message("t", str(number).encode(), 1))
        a.publish(Message("mark", b"x", 1))
        assert begun.wait(WAIT_S)
        marks.take()
        b.leave("t")
        closing = threading.Thread(target=b.close)
        closing.start()
        go.set()
        closing.join(WAIT_S)
        assert [int(answers.take().payload) for _ in range(100)] == list(range(100))

    def test_what_was_left_does_not_come_back(self, bed: Bed) -> None:
        inbox, events, a = Inbox(), queue.Queue[str](), bed.link("a")
        a.watch(events.put)
        a.subscribe("t", inbox)
        up(a)
        a.leave("t")
        assert not a.filters
        bed.outage()
        assert [events.get(timeout=WAIT_S) for _ in range(3)] == ["up", "down", "up"]
        a.publish(Message("t", b"x", 1))
        assert inbox.nothing_more()

    def test_retained_messages_come_first_and_an_empty_one_clears(self, bed: Bed) -> None:
        own, a = Inbox(), bed.link("a")
        a.subscribe("r/+", own)
        up(a)
        a.publish(Message("r/1", b"kept", 1, retain=True))
        own.take()  # the broker has it
        first, b = Inbox(), bed.link("b")
        b.subscribe("r/+", first)
        up(b)
        found = first.take()
        assert (found.payload, found.retain) == (b"kept", True)
        a.publish(Message("r/1", b"", 1, retain=True))
        first.take()
        second, c = Inbox(), bed.link("c")
        c.subscribe("r/+", second)
        up(c)
        assert second.nothing_more()

    def test_a_shared_group_gets_each_message_once(self, bed: Bed) -> None:
        inboxes = [Inbox(), Inbox(), Inbox()]
        workers = [bed.link(f"w{n}") for n in range(3)]
        for worker, inbox in zip(workers, inboxes, strict=True):
            worker.subscribe("$share/g/s/+", inbox)
        a = bed.link("a")
        up(a, *workers)
        for number in range(30):
            a.publish(Message("s/1", str(number).encode(), 1))
        until(lambda: sum(inbox.messages.qsize() for inbox in inboxes) >= 30)
        found = [inbox.take().payload for inbox in inboxes for _ in range(inbox.messages.qsize())]
        assert sorted(map(int, found)) == list(range(30))
        assert inboxes[0].nothing_more()
        assert [inbox.messages.qsize() for inbox in inboxes] == [0, 0, 0]

    def test_a_dead_member_leaves_its_group(self, bed: Bed) -> None:
        dying, living, gone = Inbox(), Inbox(), Inbox()
        a, w1, w2 = bed.link("a"), bed.link("w1", will=Message("gone", b"w1", 1)), bed.link("w2")
        w1.subscribe("$share/g/s", dying)
        w2.subscribe("$share/g/s", living)
        a.subscribe("gone", gone)
        up(a, w1, w2)
        w1.kill()
        assert gone.take().payload == b"w1"
        for number in range(10):
            a.publish(Message("s", str(number).encode(), 1))
        assert [int(living.take().payload) for _ in range(10)] == list(range(10))

    def test_the_will_comes_at_a_loss_and_not_at_a_goodbye(self, bed: Bed) -> None:
        wills, a = Inbox(), bed.link("a")
        a.subscribe("will/+", wills)
        polite, dying = (
            bed.link("polite", will=Message("will/polite", b"lost", 1)),
            bed.link("dying", will=Message("will/dying", b"lost", 1)),
        )
        up(a, polite, dying)
        polite.close()
        dying.kill()
        assert wills.take().topic == "will/dying"
        assert wills.nothing_more()

    def test_a_goodbye_sends_what_waits(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")
        b.subscribe("t", inbox)
        up(a, b)
        for number in range(50):
            a.publish(Message("t", str(number).encode(), 1))
        a.close()
        assert [int(inbox.take().payload) for _ in range(50)] == list(range(50))

    def test_an_outage_is_told_and_survived(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")
        told: dict[Transport, queue.Queue[str]] = {a: queue.Queue(), b: queue.Queue()}
        for link, events in told.items():
            link.watch(events.put)
        b.subscribe("t", inbox)
        up(a, b)
        bed.outage()
        for events in told.values():
            assert [events.get(timeout=WAIT_S) for _ in range(3)] == ["up", "down", "up"]
        a.publish(Message("t", b"after", 1))
        assert inbox.take().payload == b"after"

    def test_quality_one_waits_for_the_first_link(self, bed: Bed) -> None:
        inbox, a, b = Inbox(), bed.link("a"), bed.link("b")
        b.subscribe("t", inbox)
        up(b)
        a.publish(Message("t", b"zero", 0))
        a.publish(Message("t", b"one", 1))
        up(a)
        assert inbox.take().payload == b"one"
        assert inbox.nothing_more()

    def test_a_session_that_outlives_its_link_keeps_messages(self, bed: Bed) -> None:
        inbox = Inbox()
        a, away = bed.link("a"), bed.link("away", session_expiry_s=60)
        away.subscribe("t", inbox)
        up(a, away)
        away.kill()
        sent: queue.Queue[str] = queue.Queue()
        a.subscribe("mark", lambda _message: sent.put("sent"))
        for number in range(5):
            a.publish(Message("t", str(number).encode(), 1))
        a.publish(Message("mark", b"x", 1))
        sent.get(timeout=WAIT_S)
        back = bed.link("away", session_expiry_s=60)
        back.subscribe("t", inbox)
        up(back)
        assert [int(inbox.take().payload) for _ in range(5)] == list(range(5))

    def test_the_backlog_tells_one_from_many(self, bed: Bed) -> None:
        a, b = bed.link("a"), bed.link("b")
        seen: queue.Queue[bool] = queue.Queue()
        begun, go = threading.Event(), threading.Event()

        def slow(message: Message) -> None:
            if message.payload == b"first":
                begun.set()
                go.wait(WAIT_S)
            seen.put(b.backlog())

        marks = Inbox()
        a.subscribe("mark", marks)
        b.subscribe("t", slow)
        up(a, b)
        a.publish(Message("t", b"first", 1))
        assert begun.wait(WAIT_S)
        for text in (b"second", b"last"):
            a.publish(Message("t", text, 1))
        a.publish(Message("mark", b"x", 1))
        marks.take()  # a broker handles one client's messages in order: the others lie in b's socket
        go.set()
        assert [seen.get(timeout=WAIT_S) for _ in range(3)] == [True, True, False]

    def test_close_twice_is_close_once(self, bed: Bed) -> None:
        a = bed.link("a")
        up(a)
        a.close()
        a.close()
        assert not a.connected
