"""How well a node's charges agree with its meter, every 10 s, for who wants to watch it.

The meter runs beside the request path, and so does this: it reads sums that the ledger has anyway, on the transport's
thread, as the heartbeat does. Nothing is said while no meter reads, and nothing is lost while the link is down: the next
message covers what was not told. No MQTT 5 properties, as in `presence`.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_py.contracts.node_state import EnergyReport
from mqtt_bridge.node.beat import Beat
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.wire.codec import JSON, encode_payload

PERIOD_S = 10.0


class JoulesTold:
    """Publishes what `report` says, on one topic; None is not said."""

    def __init__(
        self,
        transport: Transport,
        topic: str,
        report: Callable[[], EnergyReport | None],
        period_s: float = PERIOD_S,
    ) -> None:
        self._transport = transport
        self._topic = topic
        self._report = report
        self._beats = Beat(transport, period_s, self._tell)

    def start(self) -> None:
        """Say it once a period from now on."""
        self._beats.start()

    def stop(self) -> None:
        """Say no more; before the node says `disconnected`, which is its last word."""
        self._transport.call_soon(self._end)

    def _end(self) -> None:
        self._beats.end()

    def _tell(self) -> None:
        report = self._report() if self._transport.connected else None
        if report is not None:
            self._transport.publish(Message(self._topic, encode_payload(report.to_dict(), JSON), 0))
