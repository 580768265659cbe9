"""Eclipse mosquitto (>= 2.0.11), where it is on PATH.

`set_tcp_nodelay true` is not its default; without it a QoS 1 round trip takes 44 ms. Access
control: `acl_lines` binds the `<client>` level to the MQTT user name, which only
means something where users are authenticated, so the embedded broker on loopback goes without
(docs/adr, "The embedded broker has no access control").
"""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from firmware_py.contracts.errors import ConfigError
from mqtt_bridge.broker.kind import HOST, BrokerKind, Ports
from mqtt_bridge.transport.incoming import MAX_PACKET_BYTES
from mqtt_bridge.wire import topics

_EXTRA_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def executable() -> str | None:
    """Find mosquitto on PATH, or in a `sbin` folder that a user's PATH leaves out; CIUIC_MOSQUITTO overrides.

    `CIUIC_MOSQUITTO=` (empty) hides an installed one.
    """
    override = os.environ.get("CIUIC_MOSQUITTO")
    if override is not None:
        return shutil.which(override) if override else None
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_EXTRA_FOLDERS))


def config_lines(port: int) -> list[str]:
    """The configuration of a loopback listener; every line differs from a default for a reason."""
    return [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "persistence false",
        f"max_packet_size {MAX_PACKET_BYTES}",
        "max_inflight_messages 256",
        "max_queued_messages 10000",
        "max_queued_bytes 67108864",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        # Started by root, mosquitto would change its user, and with it lose both the right to read
        # this file and the signal that ends it with its parent.
        f"user {getpass.getuser()}",
    ]


def acl_lines(mesh: str, node_users: tuple[str, ...], identity: Literal["%u", "%c"] = "%u") -> list[str]:
    """Access by pattern: a client asks and reads only on its own level, nodes do the rest.

    `identity` stands in the `<client>` level: `%u` is the MQTT user name. `%c`, the client id, is only for
    a broker that binds it to the user (`use_username_as_clientid`, certificates): anywhere else a
    client chooses it freely, and with it whose questions it asks and whose answers it reads.

    Raises:
        ConfigError: the mesh is no topic level, or a user name cannot stand in a line of the file.
    """
    request = topics.build_filter("request", mesh)
    lines = []
    for user in node_users:
        if not user.isprintable() or not user or user != user.strip():
            msg = f"the user name {user!r} cannot stand in an access list"
            raise ConfigError(
                msg, hint="Name the MQTT user that nodes log in as: printable, no blank at either end."
            )
        lines += [f"user {user}", f"topic readwrite {topics.ROOT}/{topics.VERSION}/{mesh}/#"]
    own = request.rsplit("/", 1)[0]
    lines += [
        f"pattern write {own}/{identity}",
        f"pattern read {topics.ROOT}/{topics.VERSION}/{mesh}/reply/{identity}/#",
    ]
    for kind in ("birth", "state", "heartbeat", "energy"):
        lines.append(f"pattern read {topics.build_filter(kind, mesh)}")
    return lines


def write_config(folder: Path, lines: Sequence[str]) -> list[str]:
    """Put the lines into the folder's configuration file and return the command line."""
    path = folder / "mosquitto.conf"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [executable() or "mosquitto", "-c", str(path)]


def _write(folder: Path, ports: Ports) -> list[str]:
    return write_config(folder, config_lines(ports.v5))


KIND = BrokerKind("mosquitto", lambda: executable() is not None, _write, one_port=True, delayed_qos1=False)
