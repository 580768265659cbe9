"""What is answered from the cache, and what is not kept there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from firmware_py.backends.scripted import pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.results import ResultCache
from firmware_py.contracts.errors import DelegateError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.reply import Energy
from firmware_py.contracts.run import GraphKey, RunRecord
from firmware_py.contracts.seams import Tensors
from firmware_py.inference.engine import NoCosts
from tests.firmware_py.agent.rig import Inbox, Make, ask, code, failing


def test_the_same_text_is_answered_from_the_cache(make: Make) -> None:
    runs: list[str] = []
    charged: list[RunRecord] = []

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        runs.append(str(graph.key))
        return pass_through(graph, tensors)

    def price(record: RunRecord) -> Energy:
        charged.append(record)
        return Energy(0.002 * len(record.stages), 0.001, method="estimated")

    node = make(
        script,
        results=ResultCache(10, 10**6),
        charge=price,
        price=price,
    )
    first, inbox = node.answer(ask(number=1)), Inbox()
    node.submit(ask(number=2), inbox)
    hit = inbox.wait(1)[0]
    assert (first.route.cache, hit.route.cache, hit.id) == ("miss", "hit", "2")
    assert hit.result == first.result
    assert len(runs) == 1
    # The joules are of the look-up alone: no stage ran, only the host.
    assert [len(record.stages) for record in charged] == [1, 0]
    assert 0.0 <= charged[1].run_s <= charged[0].run_s
    assert hit.energy == Energy(energy_j=0.0, u95_j=0.001, method="estimated")
    assert node.answer(ask("Turn on the light", number=3)).route.cache == "miss"


def test_an_answer_cut_short_is_not_cached(make: Make) -> None:
    """A hot board's early exit must not outlive the heat."""
    node = make(
        results=ResultCache(10, 10**6), limits=lambda a, stages: Limits(a.due_s, a.rule, max_stages=1)
    )
    for _ in range(2):
        assert node.answer(ask("on")).route.cache == "miss"


def test_a_hit_does_not_tell_of_the_outage_that_it_was_made_in(make: Make) -> None:
    """The delegate may be back long before the entry is gone."""
    node = make(results=ResultCache(10, 10**6), better=failing(DelegateError("gone")))
    first, second = node.answer(ask("on")).route, node.answer(ask("on")).route
    assert (first.cache, first.delegate, first.fallback is None) == ("miss", "scripted", False)
    assert (second.cache, second.delegate, second.fallback) == ("hit", "scripted", None)


def test_what_narrower_graphs_said_is_not_cached(make: Make, tiny: Unpacked) -> None:
    graphs = tiny.manifest.graphs
    narrow = tuple(replace(g, key=GraphKey(g.key.bucket, g.key.stage, 2)) for g in graphs)

    def only_narrow(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        if graph.key.width != 2:
            raise RuntimeError
        return pass_through(graph, tensors)

    node = make(
        only_narrow, results=ResultCache(10, 10**6), manifest=replace(tiny.manifest, graphs=graphs + narrow)
    )
    for _ in range(2):
        route = node.answer(ask("on")).route
        assert (route.cache, set(route.widths)) == ("miss", {2})


SPOKEN = ("en", "en-GB", "EN_us", "en_US.UTF-8", "", " ", "und", "*", "auto", "C")
UNSPOKEN = ("de", "pt-BR", "zh-Hans-CN")


@pytest.mark.parametrize(
    ("lang", "found"), [(tag, None) for tag in SPOKEN] + [(tag, "unknown_language") for tag in UNSPOKEN]
)
def test_a_text_of_another_language_is_refused(make: Make, lang: str, found: str | None) -> None:
    node = make(results=ResultCache(10, 10**6))
    node.answer(ask())
    request = ask()
    reply = node.answer(replace(request, input={**request.input, "lang": lang}))
    assert code(reply) == found
    assert found is None or (reply.error is not None and "It speaks: en." in str(reply.error.hint))


class _OneJoule(NoCosts):
    """Every stage costs a joule."""

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:
        return 1.0


def test_one_asker_s_budget_is_not_another_s(make: Make) -> None:
    node = make(results=ResultCache(10, 10**6), costs=_OneJoule())
    first, second = node.answer(ask(energy_j=1e-12)).route, node.answer(ask()).route
    assert (first.cache, first.over_budget) == ("miss", True)
    assert (second.cache, second.over_budget) == ("hit", False)
