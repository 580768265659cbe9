"""Builds the board's real parts from profile and configuration; nothing else opens anything."""

from __future__ import annotations

import logging
import math
import re
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_profiles.detect import detect
from device_profiles.loader import load_profile
from device_profiles.profile import BoardProfile
from firmware_py.agent import CiuicNode
from firmware_py.backends.guarded import guarded
from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.litert import CPU
from firmware_py.backends.opening import DelegateSpec, open_loader, runtime_of
from firmware_py.backends.simulated import LoadListener, SimulatedRunner
from firmware_py.black_box import BlackBox
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.caches.models import ModelCache
from firmware_py.caches.results import ResultCache
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.errors import CiuicError, ConfigError, GoldenTestError, HardwareError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.reply import ModelRef
from firmware_py.contracts.request import Qos
from firmware_py.contracts.seams import Runner
from firmware_py.costs import CostModel
from firmware_py.energy.ledger import Ledger
from firmware_py.energy.open import SimulatedBoard, open_meter, start_plant
from firmware_py.energy.plant_link import PlantClient
from firmware_py.energy.statement import Statements
from firmware_py.energy.watch import EnergyWatch
from firmware_py.hang_watch import HangWatch
from firmware_py.inference.calibration import Calibration
from firmware_py.inference.child import Child
from firmware_py.inference.engine import Engine, Weights
from firmware_py.inference.golden import check_rows, load_rows, self_test
from firmware_py.inference.retests import Retests
from firmware_py.node_parts import Board, NodeParts, Served, Slot
from firmware_py.resources.governor import Ask, Policy, decide
from firmware_py.resources.state import BoardState, StateReader
from firmware_py.tasks.intent import IntentTask
from firmware_py.tasks.names_file import NamesFile

_log = logging.getLogger(__name__)

ROOT = Path("/")
CHECKOUT = Path(__file__).resolve().parent.parent
SHIPPED_TRUST = CHECKOUT / "models" / "trust"
_SMALL_BOARD_BYTES = 768 * 2**20
_COMMAND_TOKENS = 16
_SMALL_BUDGET_BYTES = 24 * 2**20


def board_of(name: str, root: Path = ROOT) -> tuple[BoardProfile, bool]:
    """The profile to use and whether it is simulated: it is unless this machine is that board.

    Raises:
        ProfileError: there is no such profile, or it breaks its form.
    """
    here = detect(root)
    profile = load_profile(name or here or "simulated")
    return profile, profile.name != here


def profile_values(name: str) -> Mapping[str, Any]:
    """What a board says of settings: boards with little memory hold fewer graphs.

    Raises:
        ProfileError: as `board_of`.
    """
    profile, _ = board_of(name)
    return {"memory_bytes": _SMALL_BUDGET_BYTES} if profile.memory_bytes < _SMALL_BOARD_BYTES else {}


def trust_of(config: AgentConfig) -> Trust:
    """The operator's trust folder, and the publishers whose keys ship with this code."""
    folder = Path(config.trust or "~/.config/ciuic/trust").expanduser()
    if config.trust and not folder.is_dir():
        msg = f"the trust folder {folder} does not exist"
        raise ConfigError(msg)
    return Trust(folder, config.allow_unsigned, () if config.trust else (SHIPPED_TRUST,), apart=True)


def shipped(path: str) -> Path:
    """The bundle at a path; a relative one that is not here is looked for where this code lies."""
    here, there = Path(path), CHECKOUT / path
    return there if not here.exists() and there.is_file() else here


def node_name(config: AgentConfig) -> str:
    """The configured name, else one of the host name that fits a topic level."""
    return config.node or re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-") or "node"


@dataclass(frozen=True, slots=True)
class EnergyParts:
    """What prices answers and watches the rail."""

    ledger: Ledger
    watch: EnergyWatch | None = None
    listener: LoadListener | None = None

    def power_w(self) -> float | None:
        """The rail's power now, None when unknown."""
        return None if self.watch is None else self.watch.power_w()


@dataclass(frozen=True, slots=True)
class _Ground:
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


@dataclass(frozen=True, slots=True)
class _Model:
    """One bundle, ready to be given to slots."""

    unpacked: Unpacked
    weights: Weights
    served: Served
    ladder: tuple[DelegateSpec, ...]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A board's parts put together, before a node or a benchmark uses them."""

    ground: _Ground
    served: Mapping[str, Served]
    slots: tuple[Slot, ...]
    limits: Callable[[Ask, int], Limits]
    heal: Callable[[Slot], None]
    calibrate: Callable[[Slot], float]


@contextmanager
def assembled(config: AgentConfig, clock: Clock | None = None) -> Iterator[Assembly]:
    """The parts without a node, for benchmarks and evaluation.

    Raises:
        ProfileError: the board profile is absent or invalid.
        BundleError: a bundle is refused; its code says why.
        ConfigError: a setting does not fit this machine.
    """
    with ExitStack() as stack:
        yield _assemble(config, clock or SystemClock(), stack)


def build_node(config: AgentConfig, clock: Clock | None = None) -> CiuicNode:
    """A node that answers; closing it stops threads, meter and plant.

    Raises:
        ProfileError: the board profile is absent or invalid.
        BundleError: a bundle is refused; its code says why.
        ConfigError: a setting does not fit this machine.
    """
    with ExitStack() as stack:
        made = _assemble(config, clock or SystemClock(), stack)
        ground = made.ground
        energy = ground.energy
        parts = NodeParts(
            clock=ground.clock,
            board=Board(
                profile=ground.profile.name,
                simulated=ground.simulated,
                power_source=energy.ledger.source,
                power_w=energy.power_w,
                cost_lines=ground.costs.lines,
                energy_method=lambda: energy.ledger.method,
                reconciled=None if energy.watch is None else Statements(energy.ledger, energy.watch).take,
            ),
            served=made.served,
            slots=made.slots,
            limits=made.limits,
            charge=energy.ledger.charge,
            price=energy.ledger.price,
            uncharged=energy.ledger.uncharged.note,
            learn=ground.costs.learn,
            heal=made.heal,
            calibrate=made.calibrate,
            queue_bound=config.queue_bound,
            ageing_s=config.ageing_s,
            inline_s=config.inline_s,
            results=ResultCache(config.cache_entries, config.cache_bytes) if config.cache_entries else None,
            closing=stack.pop_all().close,
            box=ground.box,
        )
    return CiuicNode(node_name(config), parts)


def _assemble(config: AgentConfig, clock: Clock, stack: ExitStack) -> Assembly:
    ground = _ground(config, clock, stack)
    models = [_model(shipped(path), ground) for path in config.model]
    if not models:
        msg = "no bundle to serve"
        raise ConfigError(msg, hint="Name one with --model.")
    served = {model.served.manifest.task.name: model.served for model in models}
    if len(served) != len(models):
        twice = Counter(model.served.manifest.task.name for model in models).most_common(1)[0][0]
        msg = f"two bundles serve the task {twice}"
        raise ConfigError(msg, hint="Give one bundle per task.")
    reader = StateReader(ROOT, ground.profile.thermal_zones, ground.clock)
    policy = Policy(power_limit_w=config.power_limit_w or None)
    unknown, metered = BoardState(), policy.power_limit_w is not None

    def limits(ask: Ask, stages: int) -> Limits:
        # A simulated board has no heat of its own; this machine's is not its business.
        state = unknown if ground.simulated else reader.state()
        power_w = ground.energy.power_w() if metered else None
        if power_w is not None:
            state = BoardState(state.temperature_c, power_w)
        return decide(state, ask, policy, stages)

    slots = tuple(_slot(number, models, ground, stack) for number in range(config.slots))
    if ground.watch is not None:
        ground.watch.start()
    retests = Retests(ground.health, lambda delegate, child: _prove(delegate, child, models, ground))
    stack.callback(retests.close)
    learners = [_calibration(model, ground, limits, lambda: retests.proving) for model in models]
    if ground.energy.watch is not None:
        ground.energy.watch.start()  # not before: the work of starting would be learned as the board's idle draw
    return Assembly(
        ground=ground,
        served=served,
        slots=slots,
        limits=limits,
        heal=lambda slot: retests.step(lambda delegate: _check(delegate, slot, models, ground)),
        # One slot's worker only: others would work through its rests, and all learn the same watts.
        calibrate=lambda slot: _in_turn(learners, slot) if slot is slots[0] else math.inf,
    )


def _ground(config: AgentConfig, clock: Clock, stack: ExitStack) -> _Ground:
    profile, simulated = board_of(config.profile)
    if simulated and profile.simulation.speed_factor is None:
        msg = f"no source tells how fast {profile.name} is, so it cannot be simulated"
        raise ConfigError(msg, hint="`ciuic profile list` shows which boards can be simulated.")
    costs = CostModel(profile.simulation.busy_w)
    energy = EnergyParts(Ledger(costs, simulated=simulated))
    if config.meter != "off":
        energy = _metered(profile, simulated, costs, clock, stack) or energy
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
    return _Ground(config, profile, simulated, clock, health, costs, energy, names, box, watch)


def _blame(box: BlackBox, health: DelegateHealth, profile: BoardProfile) -> None:
    """Delegates in whose library this node crashed or hung start out; the second time they stay out."""
    for delegate in profile.delegates:
        crashes = box.crashes(delegate.name)
        if crashes > 1:
            health.bar(delegate.name, f"this node crashed or hung in its library {crashes} times")
        elif crashes:
            health.failed(delegate.name, "this node crashed or hung in its library")


def _metered(
    profile: BoardProfile, simulated: bool, costs: CostModel, clock: Clock, stack: ExitStack
) -> EnergyParts | None:
    """The first rail's sensor, watched; None, said once, when there is none to read."""
    rail = next(iter(profile.rails), None)
    if rail is None:
        return _unmetered("the profile has no power rail")
    plant: PlantClient | None = None
    board: SimulatedBoard | None = None
    if simulated:
        seed = zlib.crc32(profile.name.encode())
        plant = start_plant(rail, profile.simulation.busy_w, clock, seed)
        if plant is None:
            return _unmetered(f"the profile of {profile.name} lacks the watts to simulate a sensor")
        stack.callback(plant.close)
        board = SimulatedBoard(plant, seed)
    try:
        meter = open_meter(rail, clock, board)
    except HardwareError as error:  # absent, or on a bus that is busy or hangs: the node answers all the same
        return _unmetered(error.message)
    if meter is None:
        return _unmetered(f"no sensor of rail {rail.name} that this version reads ({rail.sensor})")
    ledger = Ledger(costs, source=meter.capabilities.source, simulated=simulated)
    watch = EnergyWatch(meter, ledger, clock)
    stack.callback(watch.close)
    return EnergyParts(ledger, watch, plant)


def _unmetered(reason: str) -> EnergyParts | None:
    """Say once why nothing is measured."""
    _log.warning("%s: joules are estimated from the profile, or unknown", reason)
    return None


def _model(path: Path, ground: _Ground) -> _Model:
    """Verify, unpack, prove; a delegate that fails its test is out, the last resort must pass."""
    config = ground.config
    unpacked = unpack(path, trust_of(config), Path(config.store).expanduser())
    manifest = unpacked.manifest
    runtime_of(manifest)
    ladder = _ladder(ground, manifest.recipe)
    for spec in ladder if config.self_test == "once" else ():
        if ground.crashes(spec.name):
            continue  # out already, and tested anew when its pause is over
        try:
            self_test(unpacked, spec, ground.clock)
        except GoldenTestError as error:
            if spec is ladder[-1]:
                raise
            ground.health.failed(spec.name, error.message)
    weights = Weights.load(unpacked)
    return _Model(
        unpacked=unpacked,
        weights=weights,
        served=Served(
            manifest=manifest,
            model=ModelRef(manifest.name, manifest.version, unpacked.sha256),
            task=IntentTask(
                manifest, unpacked.read(manifest.tokenizer.name), ground.names, begins=weights.begins
            ),
        ),
        ladder=ladder,
    )


def _ladder(ground: _Ground, recipe: str) -> tuple[DelegateSpec, ...]:
    """The profile's delegates that run this recipe, the processor last.

    Libraries are for the board's own devices: a simulated board has only its processor.
    """
    ladder = [
        DelegateSpec(delegate.name, delegate.library, dict(delegate.options))
        for delegate in ground.profile.delegates
        if delegate.library is not None and delegate.recipe == recipe and not ground.simulated
    ]
    return (*ladder, DelegateSpec(CPU))


def _slot(number: int, models: list[_Model], ground: _Ground, stack: ExitStack) -> Slot:
    # Each rung holds graphs of its own, and all of them may be loaded at once.
    rungs = ground.config.slots * sum(len(model.ladder) for model in models)
    share = ground.config.memory_bytes // rungs
    engines = {}
    for model in models:
        runners = [_runner(model, spec, share, ground, number) for spec in model.ladder]
        for runner in runners:
            stack.callback(runner.close)
        costs = ground.costs.of(model.weights.sha256)
        engine = Engine(model.weights, runners, ground.clock, ground.health, costs)
        engines[model.served.manifest.task.name] = engine
    return Slot(engines, threading.Lock(), number)


def _runner(model: _Model, spec: DelegateSpec, budget_bytes: int, ground: _Ground, slot: int) -> Runner:
    manifest = model.unpacked.manifest
    name, loader = open_loader(model.unpacked.folder, manifest, spec)
    if spec.library is not None and ground.watch is not None:
        loader = guarded(loader, ground.watch.witness(slot, name))
    runner = ModelCache(manifest.graphs, loader, name, budget_bytes)
    if spec is model.ladder[-1]:
        # Loaded ahead: the first command must not pay for it. A longer text, or a narrower width, loads its
        # own (some ms, once).
        keys = (graph.key for graph in manifest.graphs if graph.key.bucket <= _COMMAND_TOKENS)
        runner.load(key for key in keys if key.width == manifest.full_widths[0])
    if not ground.simulated:
        return runner
    factor = ground.profile.simulation.speed_factor or 1.0
    return SimulatedRunner(runner, factor, ground.clock, ground.energy.listener)


def _calibration(
    model: _Model, ground: _Ground, limits: Callable[[Ask, int], Limits], proving: Callable[[], bool]
) -> Callable[[Slot], float]:
    """Rows to learn this board's watts from; without a meter there is nothing to learn."""
    task, ledger = model.served.task, ground.energy.ledger
    manifest = model.served.manifest
    anything = Ask(Qos(), math.inf, manifest.default_rule)
    limit_s = ground.config.calibrate_s if ground.energy.watch is not None else 0.0
    rows = [task.encode({"text": row.text}) for row in load_rows(model.unpacked)] if limit_s else []
    # Only what is loaded ahead: graphs for longer texts would stay in memory and nobody asked for them.
    rows = [row for row in rows if row.tokens <= _COMMAND_TOKENS]

    def spare() -> bool:
        # A self-test's watts are not those of the rows beside it.
        return not proving() and limits(anything, manifest.stages).max_stages is None

    calibration = Calibration(rows, ledger.charge, limit_s, spare)

    def step(slot: Slot) -> float:
        begin_s = ground.clock.now_s()
        try:
            return calibration.step(slot.engines[manifest.task.name])
        except CiuicError:
            ledger.uncharged.note(begin_s, ground.clock.now_s())
            raise

    return step


def _in_turn(learners: Sequence[Callable[[Slot], float]], slot: Slot) -> float:
    """A step of the first bundle that still has to learn; seconds until the next one, infinite when all have ended."""
    return next((rest_s for learn in learners if math.isfinite(rest_s := learn(slot))), math.inf)


def _prove(delegate: str, child: Child, models: list[_Model], ground: _Ground) -> None:
    """Self-test a delegate with every bundle in a child, unless it passed before: it may kill its process."""
    specs = [(model.unpacked, spec) for model in models for spec in model.ladder if spec.name == delegate]
    with ground.energy.ledger.uncharged.during(ground.clock.now_s):
        for unpacked, spec in specs if ground.config.self_test == "once" else ():
            self_test(unpacked, spec, ground.clock, child, anew=ground.crashes(delegate) > 0)


def _check(delegate: str, slot: Slot, models: list[_Model], ground: _Ground) -> None:
    """Run the golden rows on a slot's own graphs; the slot is taken only for the rows themselves."""
    for model in models:
        runner = slot.engines[model.served.manifest.task.name].runners.get(delegate)
        if runner is not None:
            rows = load_rows(model.unpacked)
            with slot.lock, ground.energy.ledger.uncharged.during(ground.clock.now_s):
                check_rows(model.weights, runner, rows)
