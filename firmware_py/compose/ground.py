"""What all tasks of a board share."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from device_profiles.profile import BoardProfile
from firmware_py.backends.health import DelegateHealth
from firmware_py.black_box import BlackBox
from firmware_py.compose.energy import EnergyParts, metered
from firmware_py.compose.places import board_of
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import ConfigError
from firmware_py.costs import CostModel
from firmware_py.energy.ledger import Ledger
from firmware_py.hang_watch import HangWatch
from firmware_py.tasks.names_file import NamesFile


@dataclass(frozen=True, slots=True)
class Ground:
    """What all tasks of a board share."""

    config: AgentConfig
    profile: BoardProfile
    simulated: bool
    clock: Clock
    health: DelegateHealth
    costs: CostModel
    energy: EnergyParts
    names: NamesFile | None
    box: BlackBox | None
    watch: HangWatch | None

    def crashes(self, delegate: str) -> int:
        """How often a process of this node ended in a delegate's library."""
        return 0 if self.box is None else self.box.crashes(delegate)


def open_ground(config: AgentConfig, clock: Clock, stack: ExitStack) -> Ground:
    """Open the board's profile, meter, names and what the last process left.

    Raises:
        ProfileError: the board profile is absent or invalid.
        ConfigError: the board cannot be simulated.
    """
    profile, simulated = board_of(config.profile)
    if simulated and profile.simulation.speed_factor is None:
        msg = f"profile {profile.name} has no `simulation.speed_factor`, so this board cannot be simulated"
        raise ConfigError(msg, hint="`ciuic profile list --json` shows which profiles have one.")
    costs = CostModel(profile.simulation.busy_w)
    energy = EnergyParts(Ledger(costs, simulated=simulated))
    if config.meter != "off":
        energy = metered(profile, simulated, costs, clock, stack) or energy
    names = NamesFile(Path(config.names).expanduser()) if config.names else None
    if names is not None:
        names.watch()
        stack.callback(names.close)
    box, health = BlackBox.adopt(), DelegateHealth(clock)
    watch = None
    if box is not None:
        watch = HangWatch(box, clock.now_s)
        stack.callback(watch.close)
        _blame(box, health, profile)
    return Ground(config, profile, simulated, clock, health, costs, energy, names, box, watch)


def _blame(box: BlackBox, health: DelegateHealth, profile: BoardProfile) -> None:
    """Delegates in whose library this node crashed or hung start out; the second time they stay out."""
    for delegate in profile.delegates:
        crashes = box.crashes(delegate.name)
        if crashes > 1:
            health.bar(delegate.name, f"this node crashed or hung in its library {crashes} times")
        elif crashes:
            health.failed(delegate.name, "this node crashed or hung in its library")
