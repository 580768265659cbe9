"""Multiply-accumulates are those of the graphs that are exported and of the heads that run."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.check.compute import (
    Compute,
    HeadShape,
    Lengths,
    TrunkShape,
    compute,
    intent_macs,
    stage_macs,
    tag_macs,
)

TRUNK = TrunkShape(d=32, heads=4, latent=8, rope=4, ffn=64, layers=2)
HEAD = HeadShape(hidden=128, labels=10, tag_hidden=64, tags=7)
LATTICE = {8: (1, 2, 3, 4), 16: (1, 2, 3, 4), 64: (4,)}


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.usefixtures("torch_or_skip")
def test_a_stage_counts_what_torch_multiplies_in_its_exported_graph(width: int) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from conversion.export.stage_graph import StageGraph
    from conversion.nets.deepseek_lite import DeepSeekLite, Dims

    dims = Dims(vocabulary=50, d=32, heads=4, latent=8, rope=4, ffn=64, stages=3, layers=2)
    graph = StageGraph(DeepSeekLite(dims).eval(), 2, width)
    length = 16
    feeds = (
        torch.randn(length, 32),
        torch.zeros(length, length),
        torch.ones(length, 4),
        torch.zeros(length, 4),
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        graph(*feeds)
    assert counter.get_total_flops() == 2 * int(stage_macs(TRUNK, length, width))


@pytest.mark.usefixtures("torch_or_skip")
def test_heads_count_what_torch_multiplies_in_them() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from conversion.nets.heads import Head

    head, tokens = Head(32, 10, 6).eval(), 9
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head(torch.randn(1, tokens, 32), torch.ones(1, tokens))
    # torch multiplies zero rows at the edges of the tag window and beside the outer words, which are not counted.
    edges = (1 + 1 + 2 + 3) * 32 * 64 + (1 + 1) * 64 * 64
    assert counter.get_total_flops() / 2 == intent_macs(HEAD, 32) + int(tag_macs(HEAD, 32, tokens)) + edges


def test_the_tag_window_is_cut_at_the_edges_of_a_short_text() -> None:
    alone = 2 * 32 * 64 + 3 * 32 * 64 + 64 * 64 + 64 * 7  # itself, what is to come; no neighbour
    assert tag_macs(HEAD, 32, 1) == alone
    assert tag_macs(HEAD, 32, 2) == (2 + 2 + 2 * 1 + 3) * 32 * 64 + (2 + 2) * 64 * 64 + 2 * 64 * 7
    assert tag_macs(HeadShape(128, 10), 32, 9) == 0


def table() -> Compute:
    return compute(TRUNK, HEAD, Lengths.of([3, 8, 9, 99], tuple(LATTICE)), LATTICE, 3)


def test_a_text_runs_in_the_smallest_bucket_that_holds_it_and_a_long_one_is_cut() -> None:
    lengths = Lengths.of([3, 8, 9, 99], tuple(LATTICE))
    assert lengths.buckets.tolist() == [8, 8, 16, 64]
    assert lengths.tokens.tolist() == [3, 8, 9, 64]


def test_a_width_that_a_bucket_lacks_runs_as_the_next_wider() -> None:
    stages = table().stages
    assert stages[0, 0, 3] == stages[0, 3, 3] == stage_macs(TRUNK, 64, 4)
    assert stages[0, 0, 2] < stages[0, 3, 2]


def test_the_deepest_widest_run_is_ratio_one_and_a_zeroth_exit_costs_one_head_more() -> None:
    costs = table()
    plain, asked = costs.upto((4, 4, 4), zeroth=False), costs.upto((4, 4, 4), zeroth=True)
    assert (plain[-1] == costs.full()).all()
    assert (asked - plain == costs.intent).all()
    assert (asked[0] == costs.intent + costs.tags).all()
    assert (np.diff(plain, axis=0) > 0).all()


def test_a_static_student_has_one_head_whatever_its_depth() -> None:
    costs = table()
    assert (costs.static(2) - costs.static(1) == costs.stages[1, -1]).all()
    assert (costs.full() - costs.static(3) == 2 * costs.intent).all()
