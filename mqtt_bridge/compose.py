"""Puts an agent on the mesh: transport, endpoint and presence, built here and nowhere else."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware_py.agent import CiuicNode
from firmware_py.config import Setting
from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.node_state import Birth, EnergyReport, Heartbeat, Lifecycle
from mqtt_bridge.node.endpoint import Endpoint, NodeIdentity
from mqtt_bridge.node.epoch import next_epoch
from mqtt_bridge.node.joules import JoulesTold
from mqtt_bridge.node.presence import Presence, state_message
from mqtt_bridge.transport.address import BrokerAddress
from mqtt_bridge.transport.base import LinkOptions, Protocol, Transport
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.transport.roaming import Leaving, RoamingTransport
from mqtt_bridge.wire import topics

BRIDGE: tuple[Setting, ...] = (
    Setting("broker", "list", ("mqtt://127.0.0.1:1883",), "brokers in order of preference, mqtt://host:port"),
    Setting("mesh", "text", topics.DEFAULT_MESH, "name of the mesh, which is the third level of every topic"),
    Setting("protocol", "text", "5", "MQTT version", choices=("5", "3.1.1")),
    Setting(
        "state",
        "text",
        "~/.local/state/ciuic",
        "folder for the node's epoch, a number that grows with every start; a dash: keep none",
    ),
    Setting("heartbeat_s", "number", 0.5, "seconds between heartbeats", low=0.05),
    Setting(
        "joules_s",
        "number",
        10.0,
        "seconds between energy reports, which compare metered joules with the joules charged to answers",
        low=1.0,
    ),
    Setting(
        "return_s",
        "number",
        20.0,
        "on a later broker of the list: seconds between looks whether an earlier one is back, to which the node then returns; "
        "0: it stays",
        low=0.0,
    ),
    Setting(
        "core",
        "integer",
        -1,
        "keep the node on this processor core, where its caches stay warm; -1: wherever the system puts it",
        low=-1,
    ),
)


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The resolved table; the fields are its keys."""

    broker: tuple[str, ...] = ("mqtt://127.0.0.1:1883",)
    mesh: str = topics.DEFAULT_MESH
    protocol: Protocol = "5"
    state: str = "~/.local/state/ciuic"
    heartbeat_s: float = 0.5
    joules_s: float = 10.0
    return_s: float = 20.0
    core: int = -1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BridgeConfig:
        """From resolved values; those of other tables are left out."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


class MeshNode:
    """An agent on the mesh: serves from `start` to `close`, and tells the mesh of both."""

    def __init__(
        self,
        transport: MqttTransport,
        agent: CiuicNode,
        endpoint: Endpoint,
        presence: Presence,
        joules: JoulesTold | None,
    ) -> None:
        """Take the parts; `joules` is None where there is no meter."""
        self.transport = transport
        self.agent = agent
        self.endpoint = endpoint
        self._presence = presence
        self._joules = joules
        self._closed = False

    def start(self) -> None:
        """Connect and serve; a broker that is not there yet is waited for in the background."""
        self.endpoint.start()
        self._presence.start()
        if self._joules is not None:
            self._joules.start()
        self.transport.start()

    def watch(self, watcher: Callable[[Lifecycle], None]) -> None:
        """Be told, on the transport's thread, of each state that the node says of itself."""
        self._presence.watch(watcher)

    def when_name_taken(self, job: Callable[[BrokerAddress], None]) -> None:
        """Run a job, on the transport's thread, when a broker says that another had the name first."""
        self.transport.when_rivalled(job)

    def close(self) -> None:
        """Take no more requests, answer or refuse what waits, say `disconnected`, leave."""
        if self._closed:
            return
        self._closed = True
        self.endpoint.stop()
        self.agent.close()
        if self._joules is not None:
            self._joules.stop()
        self._presence.stop()
        self.transport.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_mesh_node(config: BridgeConfig, agent: CiuicNode, clock: Clock | None = None) -> MeshNode:
    """A mesh node around an agent; it owns the agent and closes it.

    Raises:
        ConfigError: mesh or node name is no topic level, or a broker address has another form.
    """
    clock = clock or SystemClock()
    node = topics.check_name("node", agent.name)
    topics.check_name("mesh", config.mesh)
    folder = _state_folder(config, node)
    epoch = next_epoch(clock, folder)
    transport = RoamingTransport(
        LinkOptions(
            client_id=node,
            brokers=config.broker,
            protocol=config.protocol,
            will=state_message(config.mesh, node, epoch, "lost"),
        ),
        config.return_s,
    )
    tasks = agent.tasks()
    board = agent.board
    birth = Birth(
        node, epoch, board.profile, board.simulated, tasks, clock.utc().isoformat(timespec="seconds")
    )

    identity = NodeIdentity(config.mesh, node, tuple(task.name for task in tasks), board.simulated)
    endpoint = Endpoint(transport, agent, identity, clock)

    def heartbeat() -> Heartbeat:
        load = agent.load()
        return Heartbeat(
            node=node,
            epoch=epoch,
            queue=load.queue,
            answered=load.answered,
            refused=load.refused + endpoint.counts.refused,
            failed=load.failed,
            power_w=board.power_w(),
            power_source=board.power_source(),
            simulated=board.simulated,
            energy_method=board.energy_method(),
            costs=board.cost_lines(),
            dropped=endpoint.counts.dropped + transport.unread,
        )

    presence = Presence(transport, config.mesh, birth, heartbeat, config.heartbeat_s)
    presence.ready_if(lambda: not endpoint.refused())

    def resume() -> None:
        endpoint.resume()
        presence.resume()

    transport.leave_by(Leaving(endpoint.pause, endpoint.idle, presence.leave, resume))
    return MeshNode(transport, agent, endpoint, presence, _joules(config, agent, transport, epoch))


def _state_folder(config: BridgeConfig, node: str) -> Path | None:
    """Where the node remembers its epoch; None where it is not to.

    Raises:
        ConfigError: the node's name is no name of a folder below the state folder.
    """
    if config.state == "-":
        return None
    if node in (".", ".."):
        msg = f"a node named {node} has no state folder of its own"
        raise ConfigError(msg, hint="Choose another name with --id, or --state - to keep no state.")
    return Path(config.state).expanduser() / node


def _joules(config: BridgeConfig, agent: CiuicNode, transport: Transport, epoch: int) -> JoulesTold | None:
    """Who tells how charges agree with the meter; None where there is no meter."""
    board, reconciled = agent.board, agent.board.reconciled
    if reconciled is None:
        return None

    def report() -> EnergyReport | None:
        sums = reconciled()
        if sums is None:
            return None
        return EnergyReport(
            agent.name, epoch, sums, board.power_source(), board.energy_method(), board.simulated
        )

    topic = topics.build("energy", config.mesh, node=agent.name)
    return JoulesTold(transport, topic, report, config.joules_s)


def build_link(config: BridgeConfig, name: str) -> MqttTransport:
    """A transport for a client; nothing of it outlives the connection."""
    return MqttTransport(LinkOptions(topics.check_name("client", name), config.broker, config.protocol))


def fresh_client(prefix: str) -> str:
    """A client name that nobody else has."""
    return f"{prefix}-{secrets.token_hex(4)}"
