"""Pictures: a front in the chart's own axes, steps that say what can be had for so much, labels that can be read."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from conversion.study.axes import Axis, as_file, ticks
from conversion.study.chart import Chart, draw
from conversion.study.fronts import Point, front
from conversion.study.reliability import draw_reliability, wilson

X, Y = Axis("x (ms)", 1e3), Axis("y (%)", 100.0)
FOUND = [Point(x, 0.9 + 0.05 * x, f"ratio {x:.1f}", "found", (0.89, 0.97)) for x in np.linspace(0.1, 1, 10)]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[tuple[str, str]]:
    """Class and words of every text."""
    return [(one.get("class", ""), one.text or "") for one in parsed(svg).iter("text")]


def test_the_front_is_what_nothing_cheaper_or_equal_beats() -> None:
    points = [Point(x, y, f"{x} {y}", "found") for x, y in ((1, 5), (2, 4), (2, 7), (3, 7), (4, 8), (0.5, 1))]
    assert [(one.x, one.y) for one in front(points)] == [(0.5, 1), (1, 5), (2, 7), (4, 8)]
    twice = [Point(1, 5, "a", "rule"), Point(1, 5, "b", "found")]
    assert [one.label for one in front(twice)] == ["a"]
    assert front(list[Point]()) == []


@pytest.mark.parametrize("seed", range(5))
def test_of_random_points_the_front_is_exactly_the_non_dominated(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = [Point(x, y, "", "found") for x, y in random.integers(0, 8, (30, 2)) / 8]
    kept = front(points)
    for one in points:
        beaten = any(o.x <= one.x and o.y >= one.y and (o.x, o.y) != (one.x, one.y) for o in points)
        assert beaten != any((o.x, o.y) == (one.x, one.y) for o in kept)


def test_the_line_goes_in_steps_through_the_front_and_on_to_the_edge() -> None:
    points = [Point(1, 0.5, "a", "exit"), Point(2, 0.4, "beaten", "found"), Point(4, 0.9, "b", "rule")]
    svg = parsed(draw(Chart("t", Axis("x"), Axis("y"), points)))
    line = next(one for one in svg.iter("polyline") if one.get("class") == "line")
    corners = [tuple(map(float, pair.split(","))) for pair in str(line.get("points")).split()]
    assert len(corners) == 6  # up to a, along, up to b, along to the edge
    for (x, y), (to_x, to_y) in pairwise(corners):
        assert x == to_x or y == to_y  # steps, no slope: between two ways there is no third
        assert to_x >= x
        assert to_y <= y  # pixels grow downwards
    marks = {one.get("class"): one for one in svg.iter() if "mark" in one.get("class", "")}
    assert {"mark exit", "mark rule", "mark found beaten"} <= set(marks)


def test_the_beaten_are_faint_and_the_front_is_labelled_first() -> None:
    points = [*FOUND[:3], Point(0.9, 0.5, "far behind", "rule")]
    said = {words: kind for kind, words in texts(draw(Chart("t", X, Y, points)))}
    assert said["far behind"] == "rule beaten"
    for one in points[:3]:
        assert said[one.label] == "found best"


def test_an_exit_far_below_stands_on_the_edge_with_its_figure_and_squeezes_nobody() -> None:
    points = [*FOUND, Point(0.05, 0.52, "exit 0", "exit", (0.5, 0.54))]
    said = texts(draw(Chart("t", X, Y, points)))
    assert ("exit best", "exit 0 (52.0) ↓") in said
    numbers = [float(words) for kind, words in said if kind == "soft" and words.replace(".", "").isdigit()]
    assert 52.0 not in numbers
    assert min(number for number in numbers if number > 1) >= 80


def test_bars_are_drawn_in_both_directions_and_only_where_known() -> None:
    points = [Point(1, 0.5, "a", "rule", (0.4, 0.6), (0.9, 1.1)), Point(2, 0.7, "b", "found")]
    bars = [one for one in parsed(draw(Chart("t", Axis("x"), Axis("y"), points))).iter("line") if "bar" in one.get("class", "")]  # fmt: skip
    assert len(bars) == 6  # two, each with its two ends


def test_a_chart_is_one_svg_with_all_marks_and_no_label_over_another() -> None:
    random = np.random.default_rng(0)
    points = [*FOUND]
    points += [
        Point(x, 0.5 + x / 4, f"exit {n}", "exit", x95=(0.2, 0.6))
        for n, x in enumerate(random.uniform(0.3, 0.5, 4))
    ]
    points += [Point(0.5, 0.93, name, "rule") for name in ("thrifty", "balanced", "careful")]
    svg = parsed(draw(Chart("A <chart>", X, Y, points)))
    marks = [one for one in svg.iter() if one.find("title") is not None and one.tag != "svg"]
    assert sorted(one.tag for one in marks) == ["circle"] * 10 + ["path"] * 3 + ["rect"] * 4
    labels = [
        (float(one.get("x", 0)), float(one.get("y", 0)), one.text or "")
        for one in svg.iter("text")
        if {"best", "beaten"} & set(one.get("class", "").split())
    ]
    assert len(labels) > 5
    for number, (x, y, words) in enumerate(labels):
        for other_x, other_y, other in labels[number + 1 :]:
            apart = abs(y - other_y) >= 13 or x + 6 * len(words) <= other_x or other_x + 6 * len(other) <= x
            assert apart, (words, other)


def test_nothing_measured_is_no_picture() -> None:
    assert draw(Chart("t", X, Y, [])) == ""


def test_a_file_brings_its_style_and_names_one_namespace_only() -> None:
    file = as_file(draw(Chart("t", X, Y, FOUND)))
    root = parsed(file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert file.count("http") == 1
    assert "--ground" in (root.find("{http://www.w3.org/2000/svg}style").text or "")  # type: ignore[union-attr]
    assert (root.get("width"), root.get("height")) == ("880", "520")


def test_ticks_are_round_and_hold_everything() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 97)[-1] >= 97
    assert ticks(0.9312, 0.9467)[0] <= 0.9312
    assert len(ticks(0.0, 0.00123)) < 10
    assert len(set(ticks(100.0, 100.0))) > 1
    assert len(set(ticks(0.0, 0.0))) > 1


def test_a_reliability_diagram_has_a_panel_an_exit_and_a_mark_a_bin() -> None:
    bins = [{"rows": 3, "confidence": 0.3, "right": 0.0}, {"rows": 80, "confidence": 0.95, "right": 0.9}]
    exits = [{"exit": n, "error": 0.031, "perfect_p95": 0.02, "rows": 83, "bins": bins} for n in range(3)]
    svg = parsed(draw_reliability("t", exits))
    assert len([one for one in svg.iter("line") if one.get("class") == "ideal"]) == 3
    marks = [one for one in svg.iter("circle") if "mark" in one.get("class", "")]
    assert len(marks) == 6
    assert [one.get("class") for one in marks[:2]] == [
        "mark found beaten",
        "mark found",
    ]  # three rows say little
    assert "exit 2: 3.1% off (chance: to 2.0%)" in [one.text for one in svg.iter("text")]


def test_the_interval_of_a_share_stays_a_share() -> None:
    assert 0.0 <= wilson(0.0, 3)[0] < 1e-9
    assert 1.0 - 1e-9 < wilson(1.0, 3)[1] <= 1.0
    assert wilson(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-3)
