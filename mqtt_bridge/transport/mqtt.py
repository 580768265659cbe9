"""A link through paho-mqtt: one thread owns the socket and runs paho's loop itself.

Why not paho's own thread: a publish from another thread costs 100 to 200 µs of wake-up, and its
reconnect waits a second. Here a handler's publish goes straight out on the thread that read the
request, and a closed socket is followed by the next broker of the list at once.

Facts about paho 2.2 and TCP that shape this file:

- with Nagle and delayed acknowledgement a QoS 1 round trip takes 44 ms instead of 0.5 ms: `sockets.tune` sets
  TCP_NODELAY, and TCP_USER_TIMEOUT (Linux), which ends a connection whose sent bytes nobody acknowledges.
- `loop_read` handles one packet; the socket is drained with poll(0) between, so that `backlog`
  can tell one request from a flood.
- `publish` outside a paho callback and without paho's thread writes to the socket at once;
  messages are therefore handled after `loop_read` returned, from an inbox, and acknowledged
  (manual) when their handler is through.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from firmware_py.contracts.errors import BrokerUnreachableError, NameTakenError
from mqtt_bridge.transport import paho_client
from mqtt_bridge.transport.address import BrokerAddress, parse_broker
from mqtt_bridge.transport.base import REFUSED_HINT, LinkOptions, Message, Subscription, Transport
from mqtt_bridge.transport.ending import Ending
from mqtt_bridge.transport.outbox import Outbox
from mqtt_bridge.transport.outgoing import BrokerLimits
from mqtt_bridge.transport.preference import Preference
from mqtt_bridge.transport.rival import Rival
from mqtt_bridge.transport.sockets import Poller, acknowledge_at_once
from mqtt_bridge.transport.timers import Job, Timer, Timers
from mqtt_bridge.wire.topics import matches

_log = logging.getLogger(__name__)

_MISC_EVERY_S = 1.0
_CLOSE_TIMEOUT_S = 2.0
_CLOSED = "the connection was closed"
_TAKEN_OVER = 0x8E  # reason code of a DISCONNECT (MQTT 5, 3.14.2.1)
_DRAIN = 64  # packets read in one go before jobs and timers get their turn


class MqttTransport(Transport):
    """A link over MQTT 5 or 3.1.1.

    Raises:
        ConfigError: a broker address has another form.
    """

    def __init__(self, options: LinkOptions) -> None:
        super().__init__(options)
        self._brokers = tuple(parse_broker(url) for url in options.brokers)
        self._next = Preference(self._brokers, random.Random())  # noqa: S311 - jitter, not a secret
        self._five = options.protocol == "5"
        self._timers = Timers()
        self._jobs: deque[Job] = deque()
        self._inbox: deque[tuple[Message, int, int]] = deque()
        self._poller = Poller()
        self._up = threading.Event()
        self._awaited: dict[int, str] = {}  # filters by the packet id of their SUBSCRIBE
        self._ending = Ending()
        self._stopping = self._killed = False
        self._shared: bool | None = None
        self._limits: dict[BrokerAddress, BrokerLimits] = {}
        self._told = False
        self._rival = Rival()
        self._taken = False  # the broker said that another client took this link
        self._when_rivalled: Callable[[BrokerAddress], None] = lambda _broker: None
        self._last: BrokerAddress | None = None  # to which a link was confirmed
        self._misc_s = self._give_up_s = 0.0
        self._client = self._make_client()
        self._outbox = Outbox(self._client, five=self._five, most=options.max_queued)
        self._thread = threading.Thread(target=self._run, name="ciuic-mqtt", daemon=True)

    # --- the contract ------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether connection and subscriptions are confirmed."""
        return self._up.is_set()

    @property
    def shared_subscriptions(self) -> bool | None:
        """As the CONNACK says it (MQTT 5, 3.2.2.3.13: absent means yes); null in 3.1.1."""
        return self._shared

    @property
    def dropped(self) -> int:
        """As the contract says, with what no broker took."""
        return super().dropped + self._outbox.dropped

    @property
    def socket(self) -> socket.socket | None:
        """The socket in use, for inspection."""
        found = self._client.socket()
        return found if isinstance(found, socket.socket) else None

    @property
    def broker(self) -> BrokerAddress:
        """Which broker of the list the link is to, or is tried next."""
        return self._next.broker

    def when_rivalled(self, job: Callable[[BrokerAddress], None]) -> None:
        """Run a job, on the transport's thread, each time that a broker says that another client has this id.

        Only while no link of this one has lasted: it came second. The job gets the broker.
        """
        self._when_rivalled = job

    def start(self) -> None:
        """Start the thread; it connects by itself."""
        self._thread.start()

    def wait_up(self, timeout_s: float) -> None:
        """Wait for the link."""
        if not self._up.wait(timeout_s):
            tried = ", ".join(map(str, self._brokers))
            msg = f"no broker answered within {timeout_s:g} s ({tried})"
            raise BrokerUnreachableError(msg)

    def publish(self, message: Message) -> None:
        """Send; straight out on the transport's thread, through the wake pipe from any other."""
        if message.qos == 0 and not self._outbox.open:
            self._dropped += 1
        elif threading.current_thread() is self._thread:
            self._outbox.publish(message)
        else:
            self.call_soon(lambda: self._outbox.publish(message))

    def call_soon(self, job: Job) -> None:
        """Run a job on the transport's thread."""
        self._jobs.append(job)
        if threading.current_thread() is not self._thread:
            self._poller.wake()

    def call_later(self, delay_s: float, job: Job) -> Timer:
        """Run a job on the transport's thread later."""
        timer = Timer(job)
        due_s = time.monotonic() + delay_s
        if threading.current_thread() is self._thread:
            self._timers.add(due_s, timer)
        else:
            self.call_soon(lambda: self._timers.add(due_s, timer))
        return timer

    def backlog(self) -> bool:
        """Whether more messages were read or lie in the socket."""
        return bool(self._inbox) or self._poller.readable()

    def close(self) -> None:
        """Send what waits, disconnect, end the thread."""
        if threading.current_thread() is not self._thread:
            self._end_thread()

    def kill(self) -> None:
        """Close the socket without DISCONNECT and end the thread."""
        self._killed = True
        self._end_thread()

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self.call_soon(self._begin_stop)
            self._thread.join(_CLOSE_TIMEOUT_S + paho_client.CONNECT_TIMEOUT_S)
        if not self._thread.is_alive():  # else its pipe stays: it still polls
            self._stopping = True
            self._poller.close()

    def _subscribed(self, subscription: Subscription) -> None:
        if self._outbox.open:
            self._here_or_soon(lambda: self._send_subscribe(subscription))

    def _unsubscribed(self, topic_filter: str) -> None:
        if self._outbox.open:
            self._here_or_soon(lambda: self._send_unsubscribe(topic_filter, self._ending.sent))

    def _here_or_soon(self, job: Job) -> None:
        """On this thread at once, so that a handler's SUBSCRIBE goes out before what it publishes next."""
        if threading.current_thread() is self._thread:
            job()
        else:
            self.call_soon(job)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._survive_turn()
            if not self._killed:
                self._say_goodbye()
            self._close_socket()
        finally:
            self._up.clear()

    def _survive_turn(self) -> None:
        """One turn; what paho or we could not handle costs the connection, never the thread.

        paho raises on properties that it cannot read (an unknown one, bytes that are no UTF-8), which a
        lax broker passes on from any client.
        """
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001 - see above
            _log.error("the link met %s; connecting anew", type(error).__name__)
            if self._poller.attached:
                self._lost("what came could not be read")
            else:
                self._next.back_off(time.monotonic())

    def _turn(self) -> None:
        now_s = time.monotonic()
        if not self._poller.attached and now_s >= self._next.retry_s:
            self._connect()
            now_s = time.monotonic()
        most_s = _MISC_EVERY_S
        if not self._poller.attached:
            most_s = max(0.0, min(most_s, self._next.retry_s - now_s))
        wait_s = 0.0 if self._jobs else self._timers.wait_s(now_s, most_s)
        if self._poller.sleep(wait_s):
            self._read()
        self._work()
        for job in self._timers.due(time.monotonic()):
            self._guard(job)
        if self._poller.attached:
            self._watch_link()

    def _work(self) -> None:
        """Handle what was read, then jobs of other threads; acknowledge each message after its handler."""
        while self._inbox:
            message, mid, qos = self._inbox.popleft()
            self._deliver(message)
            if any(matches(topic_filter, message.topic) for topic_filter in self._left):
                self._ending.came()
            if qos:
                self._client.ack(mid, qos)
        for _ in range(len(self._jobs)):
            self._guard(self._jobs.popleft())

    def _read(self) -> None:
        found = self.socket
        if found is not None:
            acknowledge_at_once(found)
        for _ in range(_DRAIN):
            if self._client.loop_read() != MQTT_ERR_SUCCESS or self._client.socket() is None:
                self._lost(_CLOSED)
                return
            if not self._poller.readable():
                return

    def _watch_link(self) -> None:
        """Write what is left over, keep alive, give up on a broker that accepts but does not answer."""
        if self._client.want_write():
            self._client.loop_write()
        self._poller.watch_writing(self._client.want_write())
        now_s = time.monotonic()
        if now_s - self._misc_s >= _MISC_EVERY_S:
            self._misc_s = now_s
            self._client.loop_misc()
        if self._client.socket() is None:
            self._lost(_CLOSED)
        elif not self._up.is_set() and now_s > self._give_up_s:
            self._lost("the broker did not confirm in time")

    # --- connecting --------------------------------------------------------------------------

    def _make_client(self) -> Client:
        client = paho_client.make_client(self.options)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        """Try one broker of the list; failing, the next comes next turn, back-off after a full round."""
        broker = self._next.broker
        try:
            self._open(broker)
        except (OSError, ValueError) as error:
            self._failed(broker, type(error).__name__)

    def _open(self, broker: BrokerAddress) -> None:
        will = self.options.will
        if will is not None:
            will = self._limits.get(broker, BrokerLimits()).lowered(will)
        self._taken = False
        self._give_up_s = time.monotonic() + 2 * paho_client.CONNECT_TIMEOUT_S
        paho_client.connect(self._client, broker, self.options, will)
        found = self.socket
        if found is None:
            msg = "closed at once"
            raise OSError(msg)
        self._poller.attach(found)

    def _failed(self, broker: BrokerAddress, why: str) -> None:
        if self._next.failed(time.monotonic()) and not self._told:
            _log.warning("no broker answers, last %s (%s); trying again", broker, why)
            self._told = True

    def _lost(self, why: str) -> None:
        """The link is gone: forget the socket, tell the watchers, look for a broker again."""
        if not self._poller.attached:
            return
        broker, now_s = self._next.broker, time.monotonic()
        was_up = self._up.is_set()
        self._let_go()
        held = was_up and self._next.lost(now_s, taken=self._taken)
        self._outbox.link_ended(held=held)
        if was_up:
            twin = f"; does another client use the id {self.options.client_id}? (--node gives a node its own)"
            _log.warning("lost %s: %s%s", broker, why, twin if why == _CLOSED and not held else "")
            self._jobs.append(lambda: self._tell("down"))  # behind an `up` that was not told yet
        else:
            self._failed(broker, why)
        pause_s = self._rival.ended(self._next.held_s(now_s) if was_up else 0.0, taken=self._taken)
        if pause_s is not None:
            self._give_way(broker, pause_s, now_s)

    def _give_way(self, broker: BrokerAddress, pause_s: float, now_s: float) -> None:
        """Leave the id to another client for a while."""
        self._next.rest(now_s, pause_s)
        self._told = True  # so that the end of it is told, too
        _log.error(
            "another client uses the id %s at %s: waiting for %g s [%s]. %s",
            self.options.client_id, broker, pause_s, NameTakenError.code, NameTakenError.default_hint,
        )  # fmt: skip
        if self._rival.fresh:
            self._jobs.append(lambda: self._when_rivalled(broker))

    def _let_go(self) -> None:
        """Close the socket and forget what belonged to its connection."""
        self._poller.detach()
        self._up.clear()
        self._awaited.clear()
        self._ending.link_ended()
        self._inbox.clear()  # unacknowledged: the broker sends them again, or they are lost as QoS 0 is
        found = self._client.socket()
        if found is not None:
            with contextlib.suppress(OSError):
                found.close()

    # --- paho's callbacks, all on this thread ----------------------------------------------------

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        broker, limit = self._next.broker, BrokerLimits()
        if reason.is_failure:
            _log.warning("the broker refused the connection: %s", reason)
            self._limits[broker] = paho_client.refused(self._limits.get(broker, limit), reason)
            return  # paho closes the socket, or the broker does
        if self._five:
            self._shared, limit = paho_client.accepted(self._client, self.options, properties)
            self._limits[broker] = limit
        self._outbox.fit(limit)
        self._jobs.append(self._outbox.send_held)
        self._refused.clear()
        for subscription in tuple(self._subscriptions.values()):
            self._send_subscribe(subscription)
        if not self._awaited:
            self._confirmed()

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._taken = flags.is_disconnect_packet_from_server and reason.value == _TAKEN_OVER

    def _on_subscribe(
        self, _client: Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        topic_filter = self._awaited.pop(mid, None)
        if topic_filter is None:
            return
        self._granted(topic_filter, next((reason for reason in reasons if reason.is_failure), None))
        if not self._awaited and not self._up.is_set():
            self._confirmed()

    def _granted(self, topic_filter: str, refusal: ReasonCode | None) -> None:
        if refusal is None or topic_filter not in self._subscriptions:
            self._refused.discard(topic_filter)
            return
        self._refused.add(topic_filter)
        _log.error("the broker refused the subscription %s (%s): %s", topic_filter, refusal, REFUSED_HINT)

    def _on_unsubscribe(
        self,
        _client: Client,
        _data: Any,
        mid: int,
        _reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._ending.confirmed(mid)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            found = paho_client.received(message)
        except UnicodeDecodeError:
            self._unread += 1
            self._client.ack(message.mid, message.qos)  # else it holds a place of the receive maximum
            return
        self._inbox.append((found, message.mid, message.qos))

    def _confirmed(self) -> None:
        """Connected and subscribed; what the watchers publish goes out after this callback."""
        broker = self._next.broker
        news = self._told or self._last not in (None, broker)
        _log.log(logging.WARNING if news else logging.INFO, "connected to %s", broker)
        self._told = False
        self._last = broker
        self._next.up(time.monotonic())
        self._up.set()
        self._jobs.append(lambda: self._tell("up"))

    # --- sending -----------------------------------------------------------------------------

    def _send_subscribe(self, subscription: Subscription) -> None:
        mid = paho_client.subscribe(self._client, subscription, five=self._five)
        if mid is not None:
            self._awaited[mid] = subscription.topic_filter

    def _send_unsubscribe(self, topic_filter: str, note: Callable[[int], None]) -> None:
        """End a filter; `note` takes the packet id of what went out."""
        _rc, mid = self._client.unsubscribe(topic_filter)
        if mid is not None:
            note(mid)

    def _begin_stop(self) -> None:
        self._stopping = True

    def _say_goodbye(self) -> None:
        """Flush, wait for the acknowledgements of what is under way, then DISCONNECT (no will)."""
        self._empty(lambda: True)
        self._disconnect()

    def _empty(self, idle: Callable[[], bool]) -> bool:
        """Handle what is on its way for filters that were left and send what waits, until `idle` holds, too.

        False: it did not come to that, for the time was over or the link broke.
        """
        deadline_s = time.monotonic() + _CLOSE_TIMEOUT_S
        self._work()
        self._ending.begin()
        while self._poller.attached and self._outbox.open and (now_s := time.monotonic()) < deadline_s:
            self._ending.heard(now_s, silent=not self._poller.readable())
            if (
                not self._ending.waits()
                and not self._client.want_write()
                and not self._outbox.pending
                and idle()
            ):
                if not self._left or self._ending.over:
                    return True
                self._send_unsubscribe(next(iter(self._left)), partial(self._ending.ask_again, now_s=now_s))
            if self._client.want_write():
                self._client.loop_write()
            if self._poller.readable(0.02):
                self._read()
            self._work()
        return False

    def _disconnect(self) -> None:
        if self._poller.attached and self._outbox.open:
            self._client.disconnect()
            if self._client.want_write():
                self._client.loop_write()

    def _close_socket(self) -> None:
        found = self._client.socket()
        if found is not None:
            found.close()
        self._poller.detach()
