"""Broker addresses: `mqtt://[user:password@]host[:port]`, or plain `host[:port]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from firmware_py.contracts.errors import ConfigError

DEFAULT_PORT = 1883


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker listens; neither `str()` nor `repr()` tells the password."""

    host: str
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"mqtt://{self.host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """Read one broker URL.

    Raises:
        ConfigError: another scheme, or no host, or a port out of range.
    """
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port
    except ValueError:
        msg = "a broker address has no usable port"
        raise ConfigError(msg, hint="Write --broker mqtt://host:port.") from None
    if parts.scheme not in ("mqtt", "tcp") or not parts.hostname:
        msg = "a broker address is not of the form mqtt://host:port"
        tls = parts.scheme in ("mqtts", "ssl", "tls")
        hint = (
            "TLS listeners are not supported yet; use mqtt://host:port."
            if tls
            else "Write --broker mqtt://host:port."
        )
        raise ConfigError(msg, hint=hint)
    return BrokerAddress(
        parts.hostname,
        DEFAULT_PORT if port is None else port,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )
