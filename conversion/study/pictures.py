"""The pictures of a trade-off, from its document alone: accuracy over latency, joules and compute; calibration.

Every distinct computation that was measured is in each of them, and each has the front of its own axes: what is
best for its compute need not be for its seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conversion.study.axes import Axis, as_file
from conversion.study.chart import Chart, draw
from conversion.study.fronts import Point, Row, Way, front, ways
from conversion.study.reliability import draw_reliability
from firmware_py.contracts.errors import DataInvalidError

Bar = tuple[float, float] | None
Across = Callable[[Row], tuple[float, Bar] | None]  # what a row spends, with its spread; None: unknown

_ACCURACY = Axis("in-scope accuracy on the report split (%)", 100.0)
_MARKED = (
    "Bars up are 95 % intervals over the report split's rows: neighbours on the front need not differ, and which points "
    "are on it was read off these very rows."
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawing with what stands below it; `stem` names its file."""

    stem: str
    title: str
    drawing: str
    caption: str


def pictures(document: Mapping[str, Any]) -> list[Picture]:
    """Latency of each runtime, joules where there are any, compute, calibration where it was kept."""
    found = ways(document)
    out = [_latency_picture(document, found, runtime) for runtime in document["timings"]]
    if (energy := _energy_picture(found)) is not None:
        out.append(energy)
    axis = Axis("compute (% of full depth and width)", 100.0)
    chart = _chart("Accuracy over compute", axis, found, _ratio)
    out.append(
        _picture("compute", chart, "Compute is multiply-accumulates of the matrix products, mean over the report split's in-scope "
                 "rows, of full depth and width at the same length bucket. Exact for these rows, so it has no bar across."))  # fmt: skip
    if document.get("calibration"):
        out.append(_calibration_picture(document))
    return [picture for picture in out if picture.drawing]


def write_pictures(document: Mapping[str, Any], folder: Path, name: str) -> list[Path]:
    """Each picture as `NAME.<stem>.svg`.

    Raises:
        DataInvalidError: the document has nothing to draw.
    """
    found = pictures(document)
    if not found:
        msg = "there is nothing to draw"
        raise DataInvalidError(msg, hint="No way of this trade-off was reachable.")
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for picture in found:
        out.append(folder / f"{name}.{picture.stem}.svg")
        out[-1].write_text(as_file(picture.drawing), "utf-8")
    return out


def _latency_picture(document: Mapping[str, Any], found: list[Way], runtime: str) -> Picture:
    first = next(iter(document["timings"]))
    axis = Axis(f"mean latency in {runtime}, one thread (ms)", 1e3)
    chart = _chart(f"Accuracy over latency in {runtime}", axis, found, lambda row: _latency(row, runtime))
    machine = document["machine"]["cpu"] or document["machine"]["arch"]
    caption = (
        f"Whole answers, tokenizer included, on {machine}; all ways took turns on the same texts. Bars across are the 95 % "
        f"interval of the mean. {_MARKED}"
    )
    return _picture("latency" if runtime == first else f"latency-{runtime}", chart, caption)


def _energy_picture(found: list[Way]) -> Picture | None:
    known = [way.row["energy"] for way in found if way.row["energy"]["energy_j"] is not None]
    if not known:
        return None
    kind = ("simulated, " if known[0]["simulated"] else "") + known[0]["method"]
    axis = Axis(f"energy of one answer above idle ({kind}) (mJ)", 1e3)
    caption = f"Source: {known[0]['source']}. {_MARKED}"
    return _picture("energy", _chart("Accuracy over energy", axis, found, _energy), caption)


def _calibration_picture(document: Mapping[str, Any]) -> Picture:
    caption = (
        "Each mark is the rows of one confidence bin: how sure the exit was of them, how many it had right, with 95 % Wilson "
        "intervals; the larger, the more rows. On the dashed line confidence is what it says. Off: expected calibration "
        "error; chance alone puts perfect confidences up to the figure behind it in 95 of 100 draws."
    )
    title = "Calibration of the exits at full width"
    return Picture("calibration", title, draw_reliability(title, document["calibration"]), caption)


def _picture(stem: str, chart: Chart, caption: str) -> Picture:
    """With the front in words: who does not see the picture reads it."""
    unit = chart.x.title.rsplit("(", 1)[-1].rstrip(")").split(" of ")[0]
    best = "; ".join(
        f"{point.label} ({point.y * chart.y.scale:.1f} %, {point.x * chart.x.scale:.3g} {unit})"
        for point in front(chart.points)
    )
    words = f"On the front: {best}. {caption}"
    return Picture(stem, chart.title, draw(chart), words)


def _chart(title: str, axis: Axis, found: list[Way], across: Across) -> Chart:
    points = []
    for way in found:
        spent = across(way.row)
        if spent is None:
            continue
        accuracy, (low, high) = way.row["report"]["accuracy"], way.row["report"]["accuracy95"]
        names = ", ".join(dict.fromkeys(row["configuration"] for _, row in way.members))
        said = f"{way.label}: {accuracy:.2%} at {spent[0] * axis.scale:.4g} ({names})"
        points.append(Point(spent[0], accuracy, way.label, way.kind, (low, high), spent[1], said))
    return Chart(title, axis, _ACCURACY, points)


def _ratio(row: Row) -> tuple[float, Bar] | None:
    return row["report"]["ratio"], None


def _latency(row: Row, runtime: str) -> tuple[float, Bar] | None:
    found = row["latency_s"].get(runtime)
    return None if found is None else (found["mean"], (found["mean_low"], found["mean_high"]))


def _energy(row: Row) -> tuple[float, Bar] | None:
    found = row["energy"]
    if found["energy_j"] is None:
        return None
    # An estimate's half-width is common to all ways (the board's watts): drawn, it would only hide them.
    spread = found["u95_j"] if found["method"] == "metered" else None
    bar = None if spread is None else (found["energy_j"] - spread, found["energy_j"] + spread)
    return found["energy_j"], bar
