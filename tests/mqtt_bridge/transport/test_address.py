"""Broker addresses: their form, their default, and that a password stays in them."""

from __future__ import annotations

import pytest

from firmware_py.contracts.errors import ConfigError
from mqtt_bridge.transport.address import parse_broker


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:port", "mqtts://h:8883", "mqtt://h:99999"])
def test_a_broker_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_broker(url)


def test_a_broker_address_keeps_its_password_to_itself() -> None:
    found = parse_broker("mqtt://me:secret%40@h:1884")
    assert (found.username, found.password, found.port) == ("me", "secret@", 1884)
    assert "secret" not in f"{found} {found!r}"
    assert parse_broker("h").port == 1883
