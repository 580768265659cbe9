"""One loaded graph: what every door to an interpreter hands out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors


class LoadedGraph(Protocol):
    """One graph in memory, used by one thread at a time."""

    @property
    def resident_bytes(self) -> int:
        """About how much memory it holds."""

    def run(self, tensors: Tensors) -> Tensors:
        """Feed the inputs that the manifest names, run, and return the outputs that it names.

        Raises:
            GraphError: an input is missing or of another shape or type, the interpreter failed, or
                the graph is closed.
        """

    def close(self) -> None:
        """Release the memory; a second call does nothing."""


Loader = Callable[[Graph], LoadedGraph]
"""Loads one graph of a bundle; raises GraphError or DelegateError."""
