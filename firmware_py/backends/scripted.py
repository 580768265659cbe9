"""The fake interpreter: answers from a script, under the same rules as the real one.

It serves bundles whose manifest names the runtime `scripted` (tests, dry runs of a mesh); their graph
members are not read. The standard script passes `h` through, so that embedding and heads decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firmware_py.contracts.errors import GraphError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors

Script = Callable[[Graph, Tensors], Mapping[str, Any]]
"""What a graph answers; it may raise what an interpreter raises."""


def pass_through(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
    """`h_out` is `h`; every other output is zero."""
    out = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in graph.outputs}
    out["h_out"] = np.array(tensors["h"])
    return out


class ScriptedGraph:
    """One graph that a script answers for."""

    __slots__ = ("_closed", "_graph", "_script", "calls")

    def __init__(self, graph: Graph, script: Script = pass_through) -> None:
        self._graph = graph
        self._script = script
        self._closed = False
        self.calls = 0

    @property
    def resident_bytes(self) -> int:
        """What the file would take."""
        return self._graph.file.size_bytes

    def run(self, tensors: Tensors) -> Tensors:
        """Check the inputs as an interpreter would, then ask the script.

        Raises:
            GraphError: closed, an input does not fit, or the script failed.
        """
        key = self._graph.key
        if self._closed:
            msg = f"graph {key} is closed"
            raise GraphError(msg)
        for spec in self._graph.inputs:
            value = tensors.get(spec.name)
            if value is None or value.shape != spec.shape or value.dtype != spec.dtype:
                msg = f"graph {key} does not get {spec.name} as {spec.dtype}{list(spec.shape)}"
                raise GraphError(msg)
        self.calls += 1
        try:
            return self._script(self._graph, tensors)
        except (RuntimeError, ValueError) as error:
            msg = f"graph {key} failed on scripted"
            raise GraphError(msg) from error

    def close(self) -> None:
        """Refuse further runs."""
        self._closed = True
