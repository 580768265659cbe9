"""The two seams: what may be here or on another node stands behind one of these protocols.

`firmware_py` takes them as arguments; `mqtt_bridge` implements both over the wire. Arrays are
numpy's, typed loosely because the contracts are standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Request
from firmware_py.contracts.run import GraphKey

Tensors = Mapping[str, Any]


class Answerer(Protocol):
    """Answers requests: a node, a peer, the cluster, the fake."""

    def answer(self, request: Request) -> Reply:
        """Answer one request by its deadline; a fault becomes a reply with an error, not an exception."""


class Runner(Protocol):
    """Runs graphs of one bundle: LiteRT here, a stage on another node, the fake."""

    @property
    def delegate(self) -> str:
        """Who does the work, as the reply's route names it (`xnnpack`, `edgetpu`, `peer:<node>`)."""

    def run(self, graph: GraphKey, tensors: Tensors, deadline_s: float) -> Tensors:
        """Run one graph within `deadline_s` seconds from now.

        Inputs and outputs are named as the manifest names them. Outputs stay valid until the next
        call for the same graph; who keeps them longer copies.

        Raises:
            GraphError: the graph is unknown, or its interpreter failed or died.
            DelegateError: the delegate is out.
        """

    def close(self) -> None:
        """Release interpreters; a second call does nothing."""
