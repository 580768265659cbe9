"""A trade-off as one HTML page that needs nothing else: fronts, exits as points, spread bars, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from conversion.study.chart import STYLE, Axis, Chart, Point, draw
from conversion.study.document import energy_text, table_cells

_ACCURACY = Axis("in-scope accuracy on the report split (%)", 100.0)
_SHOWN_RULES = ("thrifty", "balanced", "careful", "risk-1", "risk-2", "risk-1+z", "risk-2+z")

_PAGE_STYLE = """
body { font:15px/1.55 system-ui,sans-serif; color:var(--ink); background:var(--ground); margin:2rem auto;
  max-width:60rem; padding:0 1rem; }
h1 { font-size:1.5rem; margin-bottom:.2rem; } h2 { font-size:1.15rem; margin-top:2.2rem; }
table { border-collapse:collapse; font-size:13px; display:block; overflow-x:auto; }
th,td { padding:.3rem .6rem; text-align:left; border-bottom:1px solid var(--grid); white-space:nowrap; }
th { color:var(--soft); font-weight:600; } p.soft,li.soft { color:var(--soft); } p.warn { border-left:3px solid
  var(--exit); padding-left:.7rem; } code { font-size:.9em; word-break:break-all; }
.key span { display:inline-block; margin-right:1.2rem; } .key i { display:inline-block; width:.75em; height:.75em;
  margin-right:.35em; background:var(--c); } .key i.round { border-radius:50%; } .key i.turned { transform:rotate(45deg); }
"""


def to_html(document: Mapping[str, Any]) -> str:
    """The page."""
    bundle = document["bundle"]
    title = f"What {bundle['name']} ({bundle['recipe']}) gives for its compute"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{_PAGE_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_origin(document))}</p>',
        *[f'<p class="warn">{escape(line)}</p>' for line in warnings(document)],
        _KEY,
    ]
    for chart, text in charts(document):
        parts += [f"<h2>{escape(chart.title)}</h2>", draw(chart), f'<p class="soft">{escape(text)}</p>']
    parts += ["<h2>Ratios</h2>", _table(document, document["rows"])]
    parts += ["<h2>Within the compute of a static student</h2>", _table(document, document["equal_compute"])]
    parts += ["<h2>Exits and rules at full width</h2>", _table(document, document["points"])]
    if document["risks"]:
        parts += ["<h2>Risk rules</h2>", _risks(document["risks"])]
    parts += ["<h2>How it was found</h2>", _notes(document), "</body></html>"]
    return "\n".join(parts) + "\n"


_KEY = """<p class="key"><span><i class="round" style="--c:var(--front)"></i>best way within a ratio, joined</span>
<span><i style="--c:var(--exit)"></i>one exit answers everything</span>
<span><i class="turned" style="--c:var(--rule)"></i>exit rule at full width</span>
<span>bars: 95 % intervals</span></p>"""


def charts(document: Mapping[str, Any]) -> list[tuple[Chart, str]]:
    """Accuracy over compute, over latency of each runtime, over joules where there are any; with a caption each."""
    out = [
        (
            _chart(
                document, "Accuracy over compute", Axis("compute (% of full depth and width)", 100.0), _ratio
            ),
            "Multiply-accumulates of the matrix products, mean over the report split's in-scope rows, of full depth "
            "and width at the same length bucket. Exact for these rows, so it has no bar across.",
        )
    ]
    for runtime in document["timings"]:
        axis = Axis(f"mean latency in {runtime}, one thread (ms)", 1e3)
        out.append((
            _chart(document, f"Accuracy over latency in {runtime}", axis, lambda row, at=runtime: _latency(row, at)),
            f"Whole answers, tokenizer included, on {document['machine']['cpu'] or document['machine']['arch']}; all ways "
            "took turns on the same texts. Bars across are the 95 % interval of the mean.",
        ))  # fmt: skip
    known = [row for row in _reachable(document, "rows") if row["energy"]["energy_j"] is not None]
    if known:
        energy = known[0]["energy"]
        kind = ("simulated, " if energy["simulated"] else "") + energy["method"]
        axis = Axis(f"energy of one answer above idle ({kind}) (mJ)", 1e3)
        out.append((_chart(document, "Accuracy over energy", axis, _energy), f"Source: {energy['source']}."))
    return out


def warnings(document: Mapping[str, Any]) -> list[str]:
    """What a reader must know before reading any figure."""
    out = [
        f"Latency in {name} was taken on a busy machine (load {timing['load'][0]:g} before, {timing['load'][1]:g} "
        "after): read it, and joules that rest on it, as upper bounds, do not publish them."
        for name, timing in document["timings"].items()
        if not timing["quiet"]
    ]
    if not document["timings"]:
        out.append("Nothing was timed (--no-timing): there is no latency and no energy here.")
    elif all(row["energy"]["energy_j"] is None for row in _reachable(document, "rows")):
        out.append("No joules: no board was named with --board, or its profile has no figures to count with.")
    unreachable = [row["name"] for row in document["rows"] if not row["reachable"]]
    if unreachable:
        out.append(f"Nothing in this bundle is so cheap: {', '.join(unreachable)}.")
    broken = [one["configuration"] for one in document["risks"] if not one["holds"]]
    if broken:
        out.append(
            f"Too few rows to show the promise of {', '.join(broken)}; the rule then never exits early."
        )
    return out


def _reachable(document: Mapping[str, Any], group: str) -> list[Mapping[str, Any]]:
    return [row for row in document[group] if row["reachable"]]


def _ratio(row: Mapping[str, Any]) -> tuple[float, tuple[float, float] | None] | None:
    return row["report"]["ratio"], None


def _latency(row: Mapping[str, Any], runtime: str) -> tuple[float, tuple[float, float] | None] | None:
    found = row["latency_s"].get(runtime)
    return None if found is None else (found["mean"], (found["mean_low"], found["mean_high"]))


def _energy(row: Mapping[str, Any]) -> tuple[float, tuple[float, float] | None] | None:
    found = row["energy"]
    if found["energy_j"] is None:
        return None
    # An estimate's half-width is common to all ways (the board's watts): drawn, it would only hide them.
    spread = found["u95_j"] if found["method"] == "metered" else None
    bar = None if spread is None else (found["energy_j"] - spread, found["energy_j"] + spread)
    return found["energy_j"], bar


def _chart(document: Mapping[str, Any], title: str, axis: Axis, across: Any) -> Chart:
    front, seen = [], set()
    for row in _reachable(document, "rows"):
        if row["configuration"] in seen:
            continue
        seen.add(row["configuration"])
        front += _point(row, f"≤ {row['name']}", "front", across)
    points = []
    for row in _reachable(document, "points"):
        if row["name"].startswith("exit-"):
            points += _point(row, row["name"].replace("-", " "), "exit", across)
        elif row["name"] in _SHOWN_RULES:
            points += _point(row, row["name"], "rule", across)
    return Chart(title, axis, _ACCURACY, front, points)


def _point(row: Mapping[str, Any], label: str, kind: str, across: Any) -> list[Point]:
    found = across(row)
    if found is None:
        return []
    low, high = row["report"]["accuracy95"]
    return [Point(found[0], row["report"]["accuracy"], label, kind, (low, high), found[1])]


def _table(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "",
        "way",
        "compute",
        "accuracy",
        "95 % interval",
        "slot F1",
        "exits 0 … S",
        "size",
        "latency",
        "energy",
    ]
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in table_cells(document, row))}</tr>"
        for row in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def _risks(risks: Sequence[Mapping[str, Any]]) -> str:
    head = ["way", "harm allowed", "harmed", "95 % bound", "thresholds", "promise shown"]
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
    for one in risks:
        cells = [
            one["configuration"], f"{one['epsilon']:.0%}", f"{one['harmed']} of {one['rows']}", f"{one['upper']:.2%}",
            " ".join(f"{value:g}" for value in one["thresholds"]), "yes" if one["holds"] else "no",
        ]  # fmt: skip
        lines.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _origin(document: Mapping[str, Any]) -> str:
    bundle = document["bundle"]
    return (
        f"{bundle['file']}, version {bundle['version']}, {bundle['installed_bytes']:,} bytes installed "
        f"({bundle['unpacked_bytes']:,} unpacked), SHA-256 {bundle['sha256']}. Written by ciuic model tradeoff on "
        f"{document['date']}."
    )


def _notes(document: Mapping[str, Any]) -> str:
    rows = next((row["report"] for row in _reachable(document, "points")), None)
    energy = next((energy_text(row["energy"]) for row in _reachable(document, "rows")), "unknown")
    notes = [
        f"{document['considered']:,} configurations - widths of the stages and an exit rule - were compared by "
        f"{document['criterion']} on the model-selection split; for each ratio the best within it was taken, of equals "
        "the cheapest. The figures are of the report split, which nothing was chosen on; a chosen way may compute a "
        "little more or less there than its budget.",
        "An asterisk marks what the bundle itself has a rule for and a request can ask by name.",
        "Accuracies come from the quantised graphs run in "
        f"{document['accuracy_runtime']} with the device's tokenizer, heads and exit rule; a rejected in-scope row is wrong.",
        f"The report split has {rows['rows'] if rows else '?'} in-scope and {rows['foreign_rows'] if rows else '?'} "
        "out-of-scope rows. Intervals are bootstrap, rows of one template drawn together.",
        f"Joules of the first line: {energy}.",
    ]
    hashes = [f"{name} {digest}" for name, digest in document["splits"].items()]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}<li class='soft'>Splits (SHA-256): <code>{escape('; '.join(hashes))}</code></li></ul>"
