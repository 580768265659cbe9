"""The transport contract: publish, subscribe, be told of the link, one thread for every handler.

Rules that every transport keeps and `testing/transport_contract.py` proves:

- Handlers, jobs, timers and link watchers run on one thread, the transport's own. What they
  publish goes straight out; a publish from another thread is handed over to that thread.
- Subscriptions are remembered and made again at each connection; a watcher hears `up` only after
  the broker has confirmed them.
- A filter that the broker refuses is named by `refused`; it is asked for again at each connection.
- The connection is made again by itself, through the broker list in its order of preference.
- A QoS 0 message published while the link is down is dropped; QoS 1 waits, up to a bound.
- A handler that raises is logged and does not end the thread.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field
from types import TracebackType
from typing import Literal, Self

from firmware_py.contracts.records import record
from mqtt_bridge.transport.timers import Job, Timer
from mqtt_bridge.wire.topics import matches

_log = logging.getLogger(__name__)

# Not at once again: who may subscribe changes with the broker's configuration.
REFUSED_HINT = (
    "let its access control allow this client to subscribe there; it is asked again at each connection"
)

LinkEvent = Literal["up", "down"]
Protocol = Literal["5", "3.1.1"]


@record(frozen=True, slots=True)
class Message:
    """One message as MQTT 5 carries it; 3.1.1 drops the last four fields.

    `expiry_s` is the message expiry interval, whole seconds. `retain` is set on a delivery only
    where the broker replays a retained message.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    content_type: str | None = None
    expiry_s: int | None = None


@record(frozen=True, slots=True)
class LinkOptions:
    """How to connect.

    `brokers` are URLs in order of preference. `session_expiry_s` 0 ends the session with the
    connection: a node must do so, or its dead session stays in the shared group and swallows
    requests; a client that wants replies kept while it is away gives seconds. `keepalive_s` 5
    finds a silent loss in 10 s at most; a closed socket is noticed at once.
    """

    client_id: str
    brokers: tuple[str, ...]
    protocol: Protocol = "5"
    will: Message | None = None
    session_expiry_s: int = 0
    keepalive_s: int = 5
    receive_maximum: int = 256
    max_queued: int = 2000


Handler = Callable[[Message], None]
Watcher = Callable[[LinkEvent], None]


@record(frozen=True, slots=True)
class Subscription:
    """One remembered subscription; `retained` asks for the broker's retained messages."""

    topic_filter: str
    handler: Handler = field(compare=False)
    qos: int = 1
    retained: bool = True


class Transport(ABC):
    """One client's link to a broker."""

    def __init__(self, options: LinkOptions) -> None:
        self.options = options
        self._subscriptions: dict[str, Subscription] = {}
        self._left: dict[str, Subscription] = {}
        self._watchers: list[Watcher] = []
        self._refused: set[str] = set()
        self._dropped = 0
        self._unread = 0

    @property
    def filters(self) -> frozenset[str]:
        """Filters that are subscribed, now or as soon as the link is up."""
        return frozenset(self._subscriptions)

    @property
    def refused(self) -> frozenset[str]:
        """Filters that the broker refused on this connection: nothing comes for them."""
        return frozenset(self._refused)

    @property
    def dropped(self) -> int:
        """Messages that could not be sent or delivered: QoS 0 while down, beyond a bound, or `unread`."""
        return self._dropped + self._unread

    @property
    def unread(self) -> int:
        """Messages that came and could not be read, or were too long to be."""
        return self._unread

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether the broker has confirmed connection and subscriptions."""

    @property
    @abstractmethod
    def shared_subscriptions(self) -> bool | None:
        """Whether the broker serves `$share`; null where it does not say (MQTT 3.1.1)."""

    @abstractmethod
    def start(self) -> None:
        """Start the thread; returns at once. Connecting goes on until `close`."""

    @abstractmethod
    def wait_up(self, timeout_s: float) -> None:
        """Wait until the link is up.

        Raises:
            BrokerUnreachableError: it was not, within `timeout_s` seconds.
        """

    @abstractmethod
    def publish(self, message: Message) -> None:
        """Send a message; from the transport's own thread it goes straight out."""

    @abstractmethod
    def call_soon(self, job: Job) -> None:
        """Run a job on the transport's thread."""

    @abstractmethod
    def call_later(self, delay_s: float, job: Job) -> Timer:
        """Run a job on the transport's thread after `delay_s` seconds."""

    @abstractmethod
    def backlog(self) -> bool:
        """Whether more messages wait behind the one being handled; only on the transport's thread."""

    @abstractmethod
    def close(self) -> None:
        """Send what waits, disconnect cleanly (no will), end the thread; a second call does nothing.

        What is on its way for filters that were left is handled before.
        """

    @abstractmethod
    def kill(self) -> None:
        """End as a crash would: no goodbye, so the broker publishes the will. For tests."""

    @abstractmethod
    def _subscribed(self, subscription: Subscription) -> None:
        """Tell the broker of a new subscription, if connected; any thread."""

    @abstractmethod
    def _unsubscribed(self, topic_filter: str) -> None:
        """Tell the broker that a subscription ended, if connected; any thread."""

    def subscribe(self, topic_filter: str, handler: Handler, *, qos: int = 1, retained: bool = True) -> None:
        """Deliver messages of a filter to `handler`, from now on and after every reconnect."""
        subscription = Subscription(topic_filter, handler, qos, retained)
        self._left.pop(topic_filter, None)
        self._subscriptions[topic_filter] = subscription
        self._subscribed(subscription)

    def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription, or what is still delivered of one that was left; an unknown filter does nothing."""
        self._left.pop(topic_filter, None)
        if self._subscriptions.pop(topic_filter, None) is not None:
            self._refused.discard(topic_filter)
            self._unsubscribed(topic_filter)

    def leave(self, topic_filter: str) -> None:
        """End a subscription, but hand what is still on its way to its handler, until the link is closed.

        A broker takes a message that we read for delivered; dropped, nobody would ever answer it.
        """
        subscription = self._subscriptions.get(topic_filter)
        if subscription is not None:
            # In both for a moment rather than in neither: the link's thread may be delivering.
            self._left[topic_filter] = subscription
            self._subscriptions.pop(topic_filter, None)
            self._refused.discard(topic_filter)
            self._unsubscribed(topic_filter)

    def watch(self, watcher: Watcher) -> None:
        """Be told of the link, on the transport's thread: `up` at each connection, `down` at each loss."""
        self._watchers.append(watcher)

    def _deliver(self, message: Message) -> None:
        """Run every handler whose filter fits."""
        for subscription in dict.fromkeys((*self._subscriptions.values(), *self._left.values())):
            if matches(subscription.topic_filter, message.topic):
                self._guard(subscription.handler, message)

    def _tell(self, event: LinkEvent) -> None:
        for watcher in tuple(self._watchers):
            self._guard(watcher, event)

    @staticmethod
    def _guard(job: Callable[..., None], *arguments: object) -> None:
        """Run a job of somebody else.

        The one blind except of the bridge: a defect in a handler must not end the thread that owns
        the socket, or the whole node would fall silent. The message text is left out of the log:
        an exception may quote a user's words.
        """
        try:
            job(*arguments)
        except Exception as error:  # noqa: BLE001
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
            _log.error("a handler raised %s at %s", type(error).__name__, where)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
