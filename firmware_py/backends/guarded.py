"""Graphs of a delegate's library, whose every call is told to a witness: it may crash, or never come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from firmware_py.backends.loaded import LoadedGraph, Loader
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors

LOAD_S = 60.0  # an NPU's library compiles a graph when it is loaded
RUN_S = 10.0  # of one graph

P = ParamSpec("P")
T = TypeVar("T")


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
        return _told(self._witness, RUN_S, self._loaded.run, tensors)

    def close(self) -> None:
        """Close the graph behind it."""
        _told(self._witness, RUN_S, self._loaded.close)


def guarded(loader: Loader, witness: Witness) -> Loader:
    """A loader whose library calls, and those of the graphs that it loads, are told to a witness."""

    def load(graph: Graph) -> LoadedGraph:
        return GuardedGraph(_told(witness, LOAD_S, loader, graph), witness)

    return load


def _told(witness: Witness, most_s: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A call into the library, which should be over in so many seconds."""
    witness.enter(most_s)
    try:
        return call(*args, **kwargs)
    finally:
        witness.leave()
