"""Asks brokers whether they would take a client, from a thread of its own: connecting may block for seconds.

A port that accepts is no broker yet: what counts is a CONNACK that takes the login of the address. The client id is
made up for the look, so that nobody's session is taken over.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

from mqtt_bridge.transport import paho_client
from mqtt_bridge.transport.address import BrokerAddress
from mqtt_bridge.transport.base import LinkOptions, Protocol

_ANSWER_S = 2.0
_STEP_S = 0.2


def look(
    brokers: Sequence[BrokerAddress], protocol: Protocol, tell: Callable[[int | None], None]
) -> threading.Thread:
    """Tell, on a thread that ends then, the place of the first broker that answers; null: none does."""

    def run() -> None:
        tell(next((place for place, broker in enumerate(brokers) if answers(broker, protocol)), None))

    thread = threading.Thread(target=run, name="ciuic-scout", daemon=True)
    thread.start()
    return thread


def answers(broker: BrokerAddress, protocol: Protocol) -> bool:
    """Whether a broker takes a client there; blocks for about 4 s at most."""
    options = LinkOptions(f"ciuic-{secrets.token_hex(4)}", (), protocol)
    client = paho_client.make_client(options)
    said: list[bool] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: said.append(not reason.is_failure)
    try:
        paho_client.connect(client, broker, options, None)
        deadline_s = time.monotonic() + _ANSWER_S
        while not said and time.monotonic() < deadline_s and client.socket() is not None:
            client.loop(_STEP_S)
        if said == [True]:
            client.disconnect()
    except Exception:  # noqa: BLE001 - whatever listens there may say anything, and paho raises on much of it
        return False
    finally:
        found = client.socket()
        if found is not None:
            found.close()
    return said == [True]
