"""A bundle on this board: proved, and given to every slot."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from firmware_py.backends.guarded import guarded
from firmware_py.backends.litert import CPU
from firmware_py.backends.opening import DelegateSpec, open_loader, runtime_of
from firmware_py.backends.simulated import SimulatedRunner
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.caches.models import ModelCache
from firmware_py.compose.ground import Ground
from firmware_py.compose.places import trust_of
from firmware_py.contracts.errors import GoldenTestError
from firmware_py.contracts.reply import ModelRef
from firmware_py.contracts.seams import Runner
from firmware_py.inference.engine import Engine, Weights
from firmware_py.inference.golden import self_test
from firmware_py.node_parts import Served, Slot
from firmware_py.tasks.intent import IntentTask

COMMAND_TOKENS = 16  # graphs that are loaded ahead are for texts of so many


@dataclass(frozen=True, slots=True)
class Model:
    """One bundle, ready to be given to slots."""

    unpacked: Unpacked
    weights: Weights
    served: Served
    ladder: tuple[DelegateSpec, ...]


def open_model(path: Path, ground: Ground) -> Model:
    """Verify, unpack, prove; a delegate that fails its test is out, the last resort must pass."""
    config = ground.config
    unpacked = unpack(path, trust_of(config), Path(config.store).expanduser())
    if unpacked.mended and ground.box is not None:
        ground.box.acquit()
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
    return Model(
        unpacked=unpacked,
        weights=weights,
        served=Served(
            manifest=manifest,
            model=ModelRef(manifest.name, manifest.version, unpacked.sha256),
            task=IntentTask(
                manifest, unpacked.read(manifest.tokenizer.name), ground.names, bio_tags=weights.bio_tags
            ),
        ),
        ladder=ladder,
    )


def _ladder(ground: Ground, recipe: str) -> tuple[DelegateSpec, ...]:
    """The profile's delegates that run this recipe, the processor last.

    Libraries are for the board's own devices: a simulated board has only its processor.
    """
    ladder = [
        DelegateSpec(delegate.name, delegate.library, dict(delegate.options))
        for delegate in ground.profile.delegates
        if delegate.library is not None and delegate.recipe == recipe and not ground.simulated
    ]
    return (*ladder, DelegateSpec(CPU))


def open_slot(number: int, models: list[Model], ground: Ground, stack: ExitStack) -> Slot:
    """One engine for each model; the graphs of commands are loaded.

    Raises:
        GraphError: a graph of the last resort cannot be loaded.
    """
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


def _runner(model: Model, spec: DelegateSpec, budget_bytes: int, ground: Ground, slot: int) -> Runner:
    manifest = model.unpacked.manifest
    name, loader = open_loader(model.unpacked.folder, manifest, spec)
    if spec.library is not None and ground.watch is not None:
        loader = guarded(loader, ground.watch.witness(slot, name))
    runner = ModelCache(manifest.graphs, loader, name, budget_bytes)
    if spec is model.ladder[-1]:
        # Loaded ahead: the first command must not pay for it. A longer text, or a narrower width, loads its
        # own (some ms, once).
        keys = (graph.key for graph in manifest.graphs if graph.key.bucket <= COMMAND_TOKENS)
        runner.load(key for key in keys if key.width == manifest.full_widths[0])
    if not ground.simulated:
        return runner
    factor = ground.profile.simulation.speed_factor or 1.0
    return SimulatedRunner(runner, factor, ground.clock, ground.energy.listener)
