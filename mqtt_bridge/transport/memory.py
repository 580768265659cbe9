"""A broker in this process, with MQTT's rules and no socket: demos, tests and simulations run on it.

It keeps the same contract as the MQTT transport: shared groups, retained messages, wills, sessions
that outlive a connection, message expiry. A QoS 1 message is acknowledged when its handler returns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.errors import BrokerUnreachableError
from mqtt_bridge.transport.base import LinkEvent, LinkOptions, Message, Subscription, Transport
from mqtt_bridge.transport.timers import Job, Timer, Timers
from mqtt_bridge.wire.topics import matches

_IDLE_S = 1.0


@dataclass(slots=True)
class _Session:
    """What the broker knows of one client id."""

    filters: dict[str, Subscription] = field(default_factory=dict)
    link: MemoryTransport | None = None
    waiting: deque[tuple[Message, float]] = field(default_factory=deque)
    gone_s: float = 0.0


class MemoryBroker:
    """Sessions, shared groups and retained messages behind one lock.

    Args:
        clock: decides expiry of messages and sessions.
        shared: whether `$share` is served; some brokers do not.
        refuses: which filters its access control refuses.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        shared: bool = True,
        refuses: Callable[[str], bool] = lambda _filter: False,
    ) -> None:
        self.shared = shared
        self.refuses = refuses
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, tuple[Message, float]] = {}
        self._turns: dict[str, int] = {}
        self._running = True

    @property
    def running(self) -> bool:
        """Whether the broker accepts connections."""
        return self._running

    def stop(self) -> None:
        """Die as a killed process: links drop, sessions and retained messages are gone."""
        with self._lock:
            self._running = False
            links = [session.link for session in self._sessions.values() if session.link is not None]
            self._sessions.clear()
            self._retained.clear()
        for link in links:
            link.lost()

    def restart(self) -> None:
        """Accept connections again."""
        self._running = True

    def connect(self, link: MemoryTransport) -> bool:
        """Attach a link to its session; false while stopped. A second link takes the first one over."""
        with self._lock:
            if not self._running:
                return False
            name, expiry_s = link.options.client_id, link.options.session_expiry_s
            session = self._sessions.get(name)
            former = session.link if session is not None else None
            stale = session is not None and self._clock.now_s() - session.gone_s > expiry_s
            if session is None or expiry_s == 0 or (former is None and stale):
                session = self._sessions[name] = _Session()
            session.link = link
            for message, due_s in tuple(session.waiting):
                if due_s >= self._clock.now_s():
                    link.receive(message)
            session.waiting.clear()
        if former is not None and former is not link:
            former.lost()
        return True

    def disconnect(self, link: MemoryTransport, *, clean: bool) -> None:
        """Detach a link; without a clean goodbye its will is published."""
        with self._lock:
            session = self._sessions.get(link.options.client_id)
            if session is None or session.link is not link:
                return
            session.link = None
            session.gone_s = self._clock.now_s()
            if link.options.session_expiry_s == 0:
                del self._sessions[link.options.client_id]
            if not clean and link.options.will is not None:
                self.publish(link.options.will)

    def subscribe(self, link: MemoryTransport, subscription: Subscription) -> None:
        """Add a filter; retained messages follow, except for shared filters."""
        with self._lock:
            session = self._sessions.get(link.options.client_id)
            if session is None or (subscription.topic_filter.startswith("$share/") and not self.shared):
                return
            session.filters[subscription.topic_filter] = subscription
            if subscription.retained and not subscription.topic_filter.startswith("$share/"):
                for topic, (message, due_s) in self._retained.items():
                    if matches(subscription.topic_filter, topic) and due_s >= self._clock.now_s():
                        link.receive(message)

    def unsubscribe(self, link: MemoryTransport, topic_filter: str) -> None:
        """Drop a filter."""
        with self._lock:
            session = self._sessions.get(link.options.client_id)
            if session is not None:
                session.filters.pop(topic_filter, None)

    def publish(self, message: Message) -> None:
        """Route to every session once per plain filter, and to one member of each shared group."""
        with self._lock:
            due_s = float("inf") if message.expiry_s is None else self._clock.now_s() + message.expiry_s
            if message.retain:
                if message.payload:
                    self._retained[message.topic] = (message, due_s)
                else:
                    self._retained.pop(message.topic, None)
            live = replace(message, retain=False)
            groups: dict[str, list[tuple[_Session, Subscription]]] = {}
            for session in self._sessions.values():
                plain: Subscription | None = None
                for subscription in session.filters.values():
                    if not matches(subscription.topic_filter, message.topic):
                        continue
                    if subscription.topic_filter.startswith("$share/"):
                        groups.setdefault(subscription.topic_filter, []).append((session, subscription))
                    else:
                        plain = subscription
                if plain is not None:
                    _hand(session, live, plain, due_s)
            for name, members in groups.items():
                turn = self._turns[name] = self._turns.get(name, -1) + 1
                _hand(members[turn % len(members)][0], live, members[turn % len(members)][1], due_s)


def _hand(session: _Session, message: Message, subscription: Subscription, due_s: float) -> None:
    qos = min(message.qos, subscription.qos)
    if session.link is not None:
        session.link.receive(replace(message, qos=qos))
    elif qos > 0:
        session.waiting.append((replace(message, qos=qos), due_s))


class MemoryTransport(Transport):
    """A link to a `MemoryBroker`; the broker list of the options is not looked at."""

    def __init__(self, broker: MemoryBroker, options: LinkOptions) -> None:
        super().__init__(options)
        self._broker = broker
        self._timers = Timers()
        self._jobs: deque[Job] = deque()
        self._inbox: deque[Message] = deque()
        self._outbox: deque[Message] = deque()
        self._wake = threading.Condition()
        self._up = threading.Event()
        self._linked = self._stopping = False
        self._clock = SystemClock()
        self._thread = threading.Thread(target=self._run, name=f"memory-{options.client_id}", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._up.is_set()

    @property
    def shared_subscriptions(self) -> bool | None:
        """As MQTT 5 brokers say it; unknown in 3.1.1."""
        return self._broker.shared if self.options.protocol == "5" else None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_up(self, timeout_s: float) -> None:
        """Wait for the link."""
        if not self._up.wait(timeout_s):
            msg = f"the in-process broker did not answer within {timeout_s:g} s"
            raise BrokerUnreachableError(msg)

    def publish(self, message: Message) -> None:
        """Hand the message to the broker, or keep it (QoS 1) until the link is up."""
        if self._linked and self._broker.running:
            self._broker.publish(self._stripped(message))
        elif message.qos == 0 or len(self._outbox) >= self.options.max_queued:
            self._dropped += 1
        else:
            self._outbox.append(message)

    def call_soon(self, job: Job) -> None:
        """Queue a job for the thread."""
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    def call_later(self, delay_s: float, job: Job) -> Timer:
        """Queue a timer for the thread."""
        timer = Timer(job)
        due_s = self._clock.now_s() + delay_s
        self.call_soon(lambda: self._timers.add(due_s, timer))
        return timer

    def backlog(self) -> bool:
        """Whether more deliveries wait."""
        return bool(self._inbox)

    def close(self) -> None:
        """Say goodbye and end the thread."""
        if not self._thread.is_alive():
            return
        self.call_soon(self._stop)
        self._thread.join(5.0)

    def receive(self, message: Message) -> None:
        """Take a delivery; called by the broker from any thread."""
        with self._wake:
            self._inbox.append(self._stripped(message))
            self._wake.notify()

    def lost(self) -> None:
        """The broker dropped this link."""
        self.call_soon(self._on_lost)

    def kill(self) -> None:
        """Drop the link as a dying process would."""
        self._stopping = True
        self._linked = False
        self._broker.disconnect(self, clean=False)
        self.call_soon(lambda: None)
        self._thread.join(5.0)

    def _stripped(self, message: Message) -> Message:
        if self.options.protocol == "5":
            return message
        return replace(message, response_topic=None, correlation=None, content_type=None, expiry_s=None)

    def _subscribed(self, subscription: Subscription) -> None:
        if not self._linked:
            return
        if self._broker.refuses(subscription.topic_filter):
            self._refused.add(subscription.topic_filter)
        else:
            self._broker.subscribe(self, subscription)

    def _unsubscribed(self, topic_filter: str) -> None:
        if self._linked:
            self._broker.unsubscribe(self, topic_filter)

    def _stop(self) -> None:
        while self._inbox:  # `deliver` may publish: still linked
            self._deliver(self._inbox.popleft())
        self._stopping = True
        self._linked = False
        self._up.clear()
        self._broker.disconnect(self, clean=True)

    def _on_lost(self) -> None:
        if self._linked:
            self._linked = False
            self._up.clear()
            self._inbox.clear()
            self._tell("down")

    def _link(self) -> None:
        if self._linked or self._stopping or not self._broker.connect(self):
            return
        self._linked = True
        self._refused.clear()
        for subscription in tuple(self._subscriptions.values()):
            self._subscribed(subscription)
        while self._outbox:
            self._broker.publish(self._stripped(self._outbox.popleft()))
        self._up.set()
        event: LinkEvent = "up"
        self._tell(event)

    def _run(self) -> None:
        while not self._stopping:
            self._link()
            with self._wake:
                if not self._jobs and not self._inbox:
                    most_s = _IDLE_S if self._linked else 0.02
                    self._wake.wait(self._timers.wait_s(self._clock.now_s(), most_s))
                jobs, self._jobs = self._jobs, deque()
            for job in jobs:
                self._guard(job)
            while self._inbox and not self._stopping:
                self._deliver(self._inbox.popleft())
            for job in self._timers.due(self._clock.now_s()):
                self._guard(job)
