"""A link that goes back to an earlier broker of its list when that is back, without losing what it has accepted.

Who looks for a node begins at the first broker of the list. While the link is to a later one, a scout asks the
earlier ones now and then. When one has answered twice in a row the link is left in order: no new messages, what was
accepted is finished, the last word, DISCONNECT; then it is made there. What does not end in time keeps the link.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mqtt_bridge.transport import scout
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.transport.way_back import LOOK_S, WayBack

_log = logging.getLogger(__name__)

_FINISH_S = 5.0  # for what was accepted; meanwhile nobody else's requests are heard


@dataclass(frozen=True, slots=True)
class Leaving:
    """How who lives on a link leaves it; all on the transport's thread.

    `prepare`: accept nothing new. `idle`: whether all that was accepted is finished. `goodbye`: the last word.
    `resume`: accept again, from the next link on (the link is down then), or because this one stays.
    """

    prepare: Callable[[], None]
    idle: Callable[[], bool]
    goodbye: Callable[[], None]
    resume: Callable[[], None]


class RoamingTransport(MqttTransport):
    """A link over MQTT that goes back.

    Raises:
        ConfigError: a broker address has another form.
    """

    def __init__(self, options: LinkOptions, look_s: float = LOOK_S) -> None:
        """Look for an earlier broker every `look_s` seconds; 0: never."""
        super().__init__(options)
        self._way_back = WayBack(look_s)
        self._leaving: Leaving | None = None
        self._link = 0  # which one a look belongs to
        self._target = 0
        self._finish_s: float | None = None  # until when what was accepted may finish; null: not leaving

    def leave_by(self, leaving: Leaving) -> None:
        """Who lives on the link, before it is started; without this it never goes back."""
        self._leaving = leaving

    # --- looking -------------------------------------------------------------------------------

    def _confirmed(self) -> None:
        super()._confirmed()
        self._link += 1
        self._plan(self._way_back.settled(self._next.at, time.monotonic()))

    def _plan(self, delay_s: float | None) -> None:
        if delay_s is not None and self._leaving is not None:
            link = self._link
            self.call_later(delay_s, lambda: self._look(link))

    def _look(self, link: int) -> None:
        if self._is_up(link):
            earlier = self._brokers[: self._next.at]
            scout.look(
                earlier, self.options.protocol, lambda found: self.call_soon(lambda: self._seen(link, found))
            )

    def _seen(self, link: int, found: int | None) -> None:
        if not self._is_up(link):
            return
        if found is None or not self._way_back.seen(found):
            self._plan(self._way_back.look_s)
        elif self._leaving is not None:
            self._target = found
            self._finish_s = time.monotonic() + _FINISH_S
            self._leaving.prepare()

    def _is_up(self, link: int) -> bool:
        return link == self._link and self._up.is_set() and not self._stopping

    # --- moving --------------------------------------------------------------------------------

    def _turn(self) -> None:
        super()._turn()
        if self._finish_s is None or self._leaving is None or not self._up.is_set() or self._stopping:
            return
        if self._leaving.idle() and not self.backlog():
            self._go(self._leaving)
        elif time.monotonic() >= self._finish_s:
            self._stay(self._leaving, "what was accepted here takes long")

    def _go(self, leaving: Leaving) -> None:
        """Leave; what still comes until the broker has confirmed that nothing more does is answered, too."""
        leaving.goodbye()
        emptied = self._empty(leaving.idle)
        if self._finish_s is None or self._stopping:
            return  # the link broke on the way, or this is the end anyway
        if not emptied:
            self._stay(leaving, "this one has not confirmed in time that nothing more comes")
            return
        self._disconnect()
        self._rival.ended(self._next.held_s(time.monotonic()), taken=False)
        left = self._next.broker
        self._let_go()
        self._outbox.link_ended(held=True)
        self._way_back.moving(self._target)
        self._next.go_to(self._target)
        self._finish_s = None
        _log.warning("left %s: %s is back, and preferred", left, self._next.broker)
        leaving.resume()
        self._tell("down")

    def _stay(self, leaving: Leaving, why: str) -> None:
        _log.warning("%s is back, but %s: staying", self._brokers[self._target], why)
        self._finish_s = None
        self._plan(self._way_back.stayed())
        leaving.resume()

    def _lost(self, why: str) -> None:
        if self._up.is_set():
            self._way_back.ended(time.monotonic())
        super()._lost(why)
        if self._finish_s is not None and self._leaving is not None:
            self._finish_s = None
            self._leaving.resume()
