"""What stages cost, as a test says."""

from __future__ import annotations

from firmware_py.contracts.run import HOST, GraphKey


class Costs:
    """A cost model that knows these figures for every stage, and the joules of the host's work."""

    def __init__(
        self, run_s: float | None = None, energy_j: float | None = None, host_j: float = 0.0
    ) -> None:
        self.run_s, self.energy_j, self.host_j = run_s, energy_j, host_j

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:
        return self.run_s

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:
        return self.host_j if (graph, delegate) == HOST else self.energy_j
