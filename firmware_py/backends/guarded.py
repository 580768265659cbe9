"""Graphs of a delegate's library, whose every call is told to a witness: it may crash, or never come back."""

from __future__ import annotations

from typing import Protocol

from firmware_py.backends.loaded import LoadedGraph, Loader
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors

LOAD_S = 60.0  # an NPU's library compiles a graph when it is loaded
RUN_S = 10.0  # as `inference.golden.ROW_S`


class Witness(Protocol):
    """Who hears of every call into a delegate's library, from the thread that makes it."""

    def enter(self, most_s: float) -> None:
        """The call begins; it should be over in so many seconds."""

    def leave(self) -> None:
        """It came back."""


class GuardedGraph:
    """A LoadedGraph around a LoadedGraph."""

    __slots__ = ("_loaded", "_witness")

    def __init__(self, loaded: LoadedGraph, witness: Witness) -> None:
        self._loaded = loaded
        self._witness = witness

    @property
    def resident_bytes(self) -> int:
        """As of the graph behind it."""
        return self._loaded.resident_bytes

    def run(self, tensors: Tensors) -> Tensors:
        """Run the graph behind it.

        Raises:
            GraphError: as the graph behind it.
        """
        self._witness.enter(RUN_S)
        try:
            return self._loaded.run(tensors)
        finally:
            self._witness.leave()

    def close(self) -> None:
        """Close the graph behind it."""
        self._witness.enter(RUN_S)
        try:
            self._loaded.close()
        finally:
            self._witness.leave()


def guarded(loader: Loader, witness: Witness) -> Loader:
    """A loader whose library calls, and those of the graphs that it loads, are told to a witness."""

    def load(graph: Graph) -> LoadedGraph:
        witness.enter(LOAD_S)
        try:
            return GuardedGraph(loader(graph), witness)
        finally:
            witness.leave()

    return load
