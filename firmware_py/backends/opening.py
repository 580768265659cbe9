"""From a delegate of the board profile to a loader of graphs, whichever runtime the bundle asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware_py.backends.litert import CPU, LiteRtDelegate, LiteRtGraph, check_runtime
from firmware_py.backends.loaded import Loader
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.contracts.manifest import Graph, Manifest

SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True)
class DelegateSpec:
    """A delegate by name; without a library it is what the runtime holds itself."""

    name: str = CPU
    library: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def runtime_of(manifest: Manifest) -> str:
    """The runtime with its version that will run this bundle here: `ai-edge-litert 2.3.0`, `scripted 1`.

    Raises:
        BundleRuntimeError: this board has none that the manifest admits.
    """
    if SCRIPTED in manifest.runtimes:
        return f"{SCRIPTED} {manifest.runtimes[SCRIPTED]}"
    return check_runtime(manifest.runtimes)


def open_loader(folder: Path, manifest: Manifest, spec: DelegateSpec) -> tuple[str, Loader]:
    """The delegate's name as routes say it, and what loads one graph with it.

    The delegate's library is loaded with the first graph: until it can be, loading raises
    DelegateError and the rungs below serve.
    """
    if SCRIPTED in manifest.runtimes:
        return SCRIPTED, ScriptedGraph
    return spec.name, _LiteRtLoader(folder, spec)


class _LiteRtLoader:
    __slots__ = ("_delegate", "_folder", "_spec")

    def __init__(self, folder: Path, spec: DelegateSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._delegate: LiteRtDelegate | None = None

    def __call__(self, graph: Graph) -> LiteRtGraph:
        spec = self._spec
        if self._delegate is None and spec.library is not None:
            self._delegate = LiteRtDelegate(spec.name, spec.library, spec.options)
        return LiteRtGraph(self._folder, graph, self._delegate)
