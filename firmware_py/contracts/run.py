"""What happened in one run: the record that energy is charged from and costs are learned from."""

from __future__ import annotations

from typing import NamedTuple

from firmware_py.contracts.records import record


class GraphKey(NamedTuple):
    """Names one graph of a bundle: length bucket, stage (from 1), width groups (1 to 4).

    A tuple, because tables of graphs are asked several times a request: its hash is C's.
    """

    bucket: int
    stage: int
    width: int

    def __str__(self) -> str:
        return f"{self.bucket}/s{self.stage}w{self.width}"


FULL_WIDTH = 4  # width groups of a whole stage; narrower graphs run the first ones

# A graph names itself within its bundle only; a board's costs go by bundle (SHA-256), graph, and who runs it.
CostKey = tuple[str, GraphKey, str]
HOST = (GraphKey(0, 0, 0), "host")  # all work of an answer outside of its stages
# Of no bundle: its seconds are the bundle's, but its code draws the same watts for all.
HOST_KEY: CostKey = ("", *HOST)


@record(frozen=True, slots=True)
class StageRun:
    """One graph that ran: monotonic start, seconds, and who ran it."""

    graph: GraphKey
    delegate: str
    start_s: float
    run_s: float


@record(frozen=True, slots=True)
class RunRecord:
    """One answer's work on this node.

    `exit`: stages run before the answer, 0 = none (embedded words only). `start_s` and `end_s` are monotonic
    and enclose tokenizing, stages and heads. `fallback`: what kept the run from going as planned: the rung that
    failed last, else the limit that ended it (deadline, joules, board). `simulated` marks stage times stretched by
    a simulated board.
    """

    bundle_sha256: str
    configuration: str
    stages: tuple[StageRun, ...]
    exit: int
    start_s: float
    end_s: float
    tokens: int
    truncated_tokens: int = 0
    fallback: str | None = None
    simulated: bool = False

    @property
    def run_s(self) -> float:
        """Seconds from start to end."""
        return self.end_s - self.start_s
