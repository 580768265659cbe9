"""Elastic memory: the graphs of one bundle behind the Runner seam, loaded on demand, under a byte budget."""

from __future__ import annotations

from collections.abc import Iterable

from firmware_py.backends.loaded import LoadedGraph, Loader
from firmware_py.caches.lru import Lru
from firmware_py.contracts.errors import GraphError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.seams import Tensors

DEFAULT_BUDGET_BYTES = 48 * 2**20


def _close(graph: LoadedGraph) -> None:
    graph.close()


class ModelCache:
    """A Runner over loaded graphs; one thread at a time (its slot's)."""

    __slots__ = ("_closed", "_graphs", "_loaded", "_loader", "delegate")

    def __init__(
        self,
        graphs: Iterable[Graph],
        loader: Loader,
        delegate: str,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
    ) -> None:
        # A graph that needs a past has the key of its whole-text form, which is the one that is run.
        self._graphs = {graph.key: graph for graph in graphs if graph.past == 0}
        self._loader = loader
        self.delegate = delegate
        self._loaded: Lru[GraphKey, LoadedGraph] = Lru(4096, budget_bytes, _close, keep_newest=True)
        self._closed = False

    @property
    def resident_bytes(self) -> int:
        """About how much memory the loaded graphs hold."""
        return self._loaded.held_bytes

    def run(self, graph: GraphKey, tensors: Tensors, deadline_s: float) -> Tensors:  # noqa: ARG002 - an invoke here cannot be cut short
        """Run one graph, loading it first when it is not in memory.

        Raises:
            GraphError: unknown graph, closed, or the interpreter failed; a failed graph is let go.
            DelegateError: the delegate refused the graph.
        """
        loaded = self._loaded.get(graph) or self._load(graph)
        try:
            return loaded.run(tensors)
        except GraphError:
            self._loaded.drop(graph)
            raise

    def load(self, graphs: Iterable[GraphKey]) -> None:
        """Load ahead, so that the first request does not wait for it.

        Raises:
            GraphError: as `run`.
            DelegateError: as `run`.
        """
        for graph in graphs:
            if self._loaded.get(graph) is None:
                self._load(graph)

    def close(self) -> None:
        """Release every interpreter; a second call does nothing."""
        self._closed = True
        self._loaded.clear()

    def _load(self, key: GraphKey) -> LoadedGraph:
        graph = self._graphs.get(key)
        if graph is None or self._closed:
            msg = f"graph {key} is not in this bundle" if graph is None else "the runner is closed"
            raise GraphError(msg)
        loaded = self._loader(graph)
        self._loaded.put(key, loaded, loaded.resident_bytes)
        return loaded
