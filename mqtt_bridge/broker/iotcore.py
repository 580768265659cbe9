"""iotcore (rumqttd 0.20): a broker from pip alone, in a child process.

Why a configuration file: without one it listens on every address and speaks only MQTT 3.1.1. Its
gaps: no `no-local`, the client's receive maximum is ignored, retained replay to one subscriber is
cut at `max_outgoing_packet_count`, a session with clean start is clean whatever its expiry, a
message with MQTT 5 properties that would go to a 3.1.1 subscriber closes that subscriber's
connection, and its sockets have no TCP_NODELAY: clients that acknowledge late (every client but
ours, which sets TCP_QUICKACK) wait up to 45 ms for a reply.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from mqtt_bridge.broker.kind import HOST, BrokerKind, Ports
from mqtt_bridge.transport.incoming import MAX_PACKET_BYTES

# `-c` puts the working folder first on the path; drop it, so that a folder there named iotcore
# cannot take the package's place. Its own logging marks every packet as an error: silence it.
_CHILD = (
    "import sys; sys.path[:] = [p for p in sys.path if p not in ('', '.')]; "
    "import logging; logging.getLogger('rumqttd').setLevel(logging.CRITICAL); "
    "from iotcore.broker import Broker; Broker(config_path=sys.argv[1]).run_forever()"
)

_ROUTER = """\
id = 0
[router]
id = 0
max_connections = 1100
max_outgoing_packet_count = 20000
max_segment_size = 104857600
max_segment_count = 10
"""

_LISTENER = """\
[{version}.1]
name = "{version}-loopback"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {limit}
max_inflight_count = 256
dynamic_filters = true
"""


def config_text(ports: Ports) -> str:
    """The rumqttd TOML with one listener per protocol version, both on loopback."""
    listeners = (
        _LISTENER.format(version=version, host=HOST, port=port, limit=MAX_PACKET_BYTES)
        for version, port in (("v4", ports.v311), ("v5", ports.v5))
    )
    return _ROUTER + "".join(listeners)


def _write(folder: Path, ports: Ports) -> list[str]:
    path = folder / "rumqttd.toml"
    path.write_text(config_text(ports), encoding="utf-8")
    return [sys.executable, "-c", _CHILD, str(path)]


KIND = BrokerKind(
    "iotcore",
    lambda: importlib.util.find_spec("iotcore") is not None,
    _write,
    one_port=False,
    delayed_qos1=True,
    missing=("no_local", "receive_maximum", "will_delay", "mixed_properties"),
)
