"""A link that goes back to its first broker: when it does, when not, and what it finishes before."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from mqtt_bridge.broker.process import BrokerProcess, free_port, start_broker
from mqtt_bridge.testing.transport_contract import QUIET_S, WAIT_S, Inbox, until
from mqtt_bridge.transport import scout
from mqtt_bridge.transport.address import parse_broker
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.roaming import Leaving, RoamingTransport
from tests.brokers import link_to, mosquitto_with, needs_mosquitto

LOOK_S = 0.1


class Guest:
    """Who lives on a link, with one filter; holds it while `busy`."""

    def __init__(self, link: RoamingTransport) -> None:
        self.link = link
        self.busy = threading.Event()
        self.said: queue.Queue[str] = queue.Queue()
        self.got = Inbox()
        link.subscribe("ask", self.got)
        link.watch(self.said.put)
        link.leave_by(Leaving(self._prepare, lambda: not self.busy.is_set(), self._goodbye, self._resume))

    def _prepare(self) -> None:
        self.said.put("prepare")
        self.link.leave("ask")

    def _goodbye(self) -> None:
        self.said.put("goodbye")
        self.link.publish(Message("last", b"x", 1))

    def _resume(self) -> None:
        self.said.put("resume")
        self.link.subscribe("ask", self.got)

    def says(self, *words: str) -> None:
        assert [self.said.get(timeout=WAIT_S) for _ in words] == list(words)

    def says_nothing(self) -> None:
        with pytest.raises(queue.Empty):
            self.said.get(timeout=10 * LOOK_S + QUIET_S)


@contextlib.contextmanager
def living(*urls: str, look_s: float = LOOK_S) -> Iterator[Guest]:
    link = RoamingTransport(LinkOptions("roamer", urls), look_s)
    guest = Guest(link)
    with link:
        link.wait_up(WAIT_S)
        guest.says("up")
        yield guest


@pytest.fixture
def pair(kind: str) -> Iterator[tuple[BrokerProcess, BrokerProcess]]:
    """Two brokers, of which the first does not run yet."""
    with start_broker(kind) as first, start_broker(kind) as second:
        first.kill()
        yield first, second


def test_a_link_goes_back_in_order_and_says_where_it_is(
    pair: tuple[BrokerProcess, BrokerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = pair
    lasts = Inbox()
    with living(first.url, second.url) as guest, link_to(second, "observer") as observer:
        observer.subscribe("last", lasts)
        observer.wait_up(WAIT_S)
        assert str(guest.link.broker) == second.url
        first.start()
        guest.says("prepare", "goodbye", "resume", "down", "up")
        assert str(guest.link.broker) == first.url
        assert lasts.take().payload == b"x"
        with link_to(first, "fixed") as fixed:
            fixed.wait_up(WAIT_S)
            fixed.publish(Message("ask", b"here", 1))
            assert guest.got.take().payload == b"here"
    assert f"left {second.url}: {first.url} is back" in caplog.text
    assert f"connected to {first.url}" in caplog.text


def test_who_goes_back_has_served(
    pair: tuple[BrokerProcess, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a node that had served for hours would end when another one of its name comes to the first broker."""
    monkeypatch.setattr("mqtt_bridge.transport.rival.YOUNG_S", LOOK_S)
    first, second = pair
    with living(first.url, second.url) as guest:
        assert guest.link._rival.fresh
        first.start()
        guest.says("prepare", "goodbye", "resume", "down", "up")
        assert not guest.link._rival.fresh


def test_the_will_is_not_told_by_a_move(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    wills = Inbox()
    link = RoamingTransport(
        LinkOptions("roamer", (first.url, second.url), will=Message("will", b"x", 1)), LOOK_S
    )
    guest = Guest(link)
    with link_to(second, "observer") as observer, link:
        observer.subscribe("will", wills)
        observer.wait_up(WAIT_S)
        guest.says("up")
        first.start()
        guest.says("prepare", "goodbye", "resume", "down", "up")
        assert wills.nothing_more()


def test_a_port_that_accepts_and_is_no_broker_does_not_tempt(kind: str) -> None:
    with start_broker(kind) as second, socket.create_server(("127.0.0.1", 0)) as dummy:
        url = f"mqtt://127.0.0.1:{dummy.getsockname()[1]}"
        with living(url, second.url) as guest:  # the first attempt ends after its time
            guest.says_nothing()


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x87\x00", b"\xff" * 300]
)
def test_whatever_is_said_instead_of_yes_is_a_no(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _address = server.accept()
            with link, contextlib.suppress(ConnectionResetError):
                link.recv(4096)
                link.sendall(said)
                link.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert not scout.answers(parse_broker(f"127.0.0.1:{server.getsockname()[1]}"), "5")
        thread.join(WAIT_S)


def test_nobody_there_is_a_no_and_a_broker_a_yes(broker: BrokerProcess) -> None:
    assert not scout.answers(parse_broker(f"127.0.0.1:{free_port()}"), "5")
    assert scout.answers(parse_broker(broker.url), "5")
    assert scout.answers(parse_broker(broker.url_v311), "3.1.1")


@needs_mosquitto
def test_a_broker_that_does_not_take_our_login_is_a_no() -> None:
    with start_broker(mosquitto_with("allow_anonymous false", without="allow_anonymous")) as strict:
        assert not scout.answers(parse_broker(strict.url), "5")


@pytest.mark.parametrize("look_s", [0.0, 3600.0])
def test_a_link_that_does_not_look_stays(pair: tuple[BrokerProcess, BrokerProcess], look_s: float) -> None:
    first, second = pair
    with living(first.url, second.url, look_s=look_s) as guest:
        first.start()
        guest.says_nothing()
        assert str(guest.link.broker) == second.url


def test_what_was_accepted_is_finished_first(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    with living(first.url, second.url) as guest:
        guest.busy.set()
        first.start()
        guest.says("prepare")
        guest.says_nothing()
        guest.busy.clear()
        guest.says("goodbye", "resume", "down", "up")


def test_what_does_not_end_keeps_the_link(
    pair: tuple[BrokerProcess, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mqtt_bridge.transport.roaming._FINISH_S", 0.2)
    first, second = pair
    with living(first.url, second.url) as guest, link_to(second, "fixed") as fixed:
        fixed.wait_up(WAIT_S)
        guest.busy.set()
        first.start()
        guest.says("prepare", "resume")
        assert str(guest.link.broker) == second.url
        # It looks again, and prepares again, now and then: what is asked in such a moment is for others to answer.
        tries = 0

        def heard() -> bool:
            nonlocal tries
            tries += 1
            fixed.publish(Message("ask", b"still", 1))
            return not guest.got.nothing_more()

        until(heard)
        assert tries < 10


def test_what_comes_up_after_the_goodbye_keeps_the_link_too(
    pair: tuple[BrokerProcess, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mqtt_bridge.transport.mqtt._CLOSE_TIMEOUT_S", 0.2)
    first, second = pair
    with living(first.url, second.url) as guest:
        honest = guest._goodbye

        def goodbye() -> None:
            guest.busy.set()
            honest()

        guest.link.leave_by(Leaving(guest._prepare, lambda: not guest.busy.is_set(), goodbye, guest._resume))
        first.start()
        guest.says("prepare", "goodbye", "resume")
        assert guest.link.connected
        assert str(guest.link.broker) == second.url


def test_what_the_broker_has_not_confirmed_keeps_the_link(
    pair: tuple[BrokerProcess, BrokerProcess],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("mqtt_bridge.transport.mqtt._CLOSE_TIMEOUT_S", 0.2)
    first, second = pair
    with living(first.url, second.url) as guest:
        pid = second.pid
        assert pid is not None
        honest = guest._goodbye

        def goodbye() -> None:
            os.kill(pid, signal.SIGSTOP)
            honest()

        guest.link.leave_by(Leaving(guest._prepare, lambda: True, goodbye, guest._resume))
        try:
            first.start()
            guest.says("prepare", "goodbye", "resume")
            assert str(guest.link.broker) == second.url
            assert "has not confirmed in time" in caplog.text
        finally:
            os.kill(pid, signal.SIGCONT)
        assert guest.link.connected


def test_a_link_that_breaks_while_it_is_left_is_made_anew(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    with living(first.url, second.url) as guest:
        guest.busy.set()
        first.start()
        guest.says("prepare")
        second.kill()
        guest.says("resume", "down", "up")
        assert str(guest.link.broker) == first.url
        assert guest.link.filters == {"ask"}


def test_a_broker_that_flaps_is_trusted_less_each_time(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    with living(first.url, second.url) as guest:
        waits: list[float | None] = []
        plan = guest.link._plan
        guest.link._plan = lambda delay_s: (waits.append(delay_s), plan(delay_s))[1]  # type: ignore[method-assign,func-returns-value]
        for _ in range(3):
            first.start()
            guest.says("prepare", "goodbye", "resume", "down", "up")
            assert str(guest.link.broker) == first.url
            first.kill()
            guest.says("down", "up")
            assert str(guest.link.broker) == second.url
        assert [wait for wait in waits if wait not in (None, LOOK_S)] == [2 * LOOK_S, 4 * LOOK_S, 8 * LOOK_S]


def test_a_link_closed_while_it_is_left_ends_in_time(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    with living(first.url, second.url) as guest:
        guest.busy.set()
        first.start()
        guest.says("prepare")
        guest.link.close()
        assert not guest.link._thread.is_alive()


def test_no_move_begins_during_a_stop(pair: tuple[BrokerProcess, BrokerProcess]) -> None:
    first, second = pair
    with living(first.url, second.url) as guest:
        guest.busy.set()
        first.start()
        guest.says("prepare")

        def finish_and_stop() -> None:
            guest.busy.clear()
            guest.link._begin_stop()

        guest.link.call_soon(finish_and_stop)
        guest.link._thread.join(WAIT_S)
        assert guest.said.empty()
