"""A trade-off as one HTML page that needs nothing else: fronts, exits as points, spread bars, the tables.

Made of the document alone, so that a page can be written again without measuring again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from conversion.check.risk import RULES
from conversion.study.axes import STYLE
from conversion.study.document import ANSWERS, energy_text, no_joules_because, table_cells
from conversion.study.fronts import computation, ways
from conversion.study.pictures import pictures
from firmware_py.testing.neighbours import told

_PAGE_STYLE = """
svg.chart { width:100%; height:auto; }
body { font:15px/1.55 system-ui,sans-serif; color:var(--ink); background:var(--ground); margin:2rem auto;
  max-width:66rem; padding:0 1rem; }
h1 { font-size:1.5rem; margin-bottom:.2rem; } h2 { font-size:1.15rem; margin-top:2.2rem; }
table { border-collapse:collapse; font-size:13px; display:block; overflow-x:auto; }
th,td { padding:.3rem .6rem; text-align:left; border-bottom:1px solid var(--grid); white-space:nowrap; }
th { color:var(--soft); font-weight:600; } p.soft,li.soft { color:var(--soft); } p.warn { border-left:3px solid
  var(--exit); padding-left:.7rem; } code { font-size:.9em; word-break:break-all; }
"""


def to_html(document: Mapping[str, Any], bundle_now: tuple[str, str] | None = None) -> str:
    """The page; `bundle_now` is file name and SHA-256 of the bundle of today, where that is known."""
    bundle = document["bundle"]
    title = f"What {bundle['name']} ({bundle['recipe']}) gives for its compute"
    shown = _shown(document)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{_PAGE_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(_origin(document))}</p>',
        *[f'<p class="warn">{escape(line)}</p>' for line in [*_age(bundle, bundle_now), *warnings(document)]],
    ]
    for picture in pictures(document):
        parts += [
            f"<h2>{escape(picture.title)}</h2>", picture.drawing, f'<p class="soft">{escape(picture.caption)}</p>',
        ]  # fmt: skip
    parts += ["<h2>Ratios</h2>", _table(document, shown["rows"])]
    parts += ["<h2>Within the compute of a static student</h2>", _table(document, shown["equal_compute"])]
    parts += ["<h2>Exits and rules at full width</h2>", _table(document, shown["points"])]
    if risks := risk_rows(document):
        parts += ["<h2>Risk rules</h2>", _risks(risks)]
    parts += ["<h2>How it was found</h2>", _notes(document), "</body></html>"]
    return "\n".join(parts) + "\n"


def _age(bundle: Mapping[str, Any], now: tuple[str, str] | None) -> list[str]:
    if now is None or now[1] == bundle["sha256"]:
        return []
    return [
        f"Of an earlier bundle ({bundle['sha256'][:12]}…): {now[0]} is {now[1][:12]}… today, and none of these figures is of it."
    ]


def _shown(document: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Every row with the figures of its computation: one that has several names was one thing, timed twice."""
    stands = {id(row): way.row for way in ways(document) for _, row in way.members}
    out: dict[str, list[Mapping[str, Any]]] = {}
    for group in ("rows", "equal_compute", "points"):
        out[group] = []
        for row in document[group]:
            first = stands.get(id(row), row)
            taken = ("latency_s", "energy") + (() if group == "points" else ("configuration", "shipped"))
            out[group].append({**row, **{key: first[key] for key in taken if key in first}})
    return out


def warnings(document: Mapping[str, Any]) -> list[str]:
    """What a reader must know before reading any figure."""
    out = [
        f"Latency in {name} was taken on a busy machine ({told(timing.get('others_cores'))}): read it, and joules that "
        "rest on it, as upper bounds, do not publish them."
        for name, timing in document["timings"].items()
        if not timing["quiet"]
    ]
    if not document["timings"]:
        out.append("Nothing was timed (--no-timing): there is no latency and no energy here.")
    elif all(row["energy"]["energy_j"] is None for row in _reachable(document, "rows")):
        why = no_joules_because(document) or ["no board was named with --board"]
        out.append(f"No joules: {'; '.join(why)}.")
    elif document.get("energy_from") != ANSWERS:
        out.append(
            "Joules of this file were counted from added-up parts, not from the answers that were timed: the cheaper a "
            "way, the more they overstate it."
        )
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


def risk_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each risk rule rests on, the bundle's own first: its record, and `realised`, its harm on the report split.

    A rule of the bundle whose record the document does not have has that of the same computation, else none.
    """
    rows = {
        row["configuration"]: row
        for group in ("points", "rows")
        for row in document[group]
        if row["reachable"]
    }
    records = {one["configuration"]: one for one in document["risks"]}
    same = {_computed(one): one for one in document["risks"]}
    for name, row in rows.items():
        if row["shipped"] and row["rule"] in RULES and name not in records:
            known = same.get(computation(row["widths"], row["thresholds"], row["zeroth"]), {})
            records[name] = {**known, "configuration": name, "epsilon": RULES[row["rule"]]}
    out = []
    for name, record in records.items():
        found = rows.get(name)
        realised = None if found is None else found["report"]["harm"]
        out.append({**record, "shipped": bool(found and found["shipped"]), "realised": realised})
    return sorted(out, key=lambda one: not one["shipped"])


def _computed(record: Mapping[str, Any]) -> Any:
    """A record's thresholds are of the exits before the last, the zeroth first where it takes part."""
    thresholds, widths = list(record["thresholds"]), record["widths"]
    zeroth = thresholds.pop(0) if len(thresholds) == len(widths) else None
    return computation(widths, [*thresholds, 0.0], zeroth)


def _risks(risks: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "way", "harm allowed", "harmed, thresholds split", "95 % bound", "thresholds", "promise shown", "harm, report split",
    ]  # fmt: skip
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
    for one in risks:
        cells = [one["configuration"] + (" *" if one["shipped"] else ""), f"{one['epsilon']:.0%}"]
        if "harmed" in one:
            thresholds = " ".join("never" if value > 1.0 else f"{value:g}" for value in one["thresholds"])
            cells += [f"{one['harmed']} of {one['rows']}", f"{one['upper']:.2%}", thresholds]
            cells.append("yes" if one["holds"] else "no")
        else:
            cells += ["not in this file", "-", "-", "-"]
        cells.append("-" if one["realised"] is None else f"{one['realised']:.2%}")
        lines.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    sources = dict.fromkeys(one["source"] for one in risks if "source" in one)
    said = f'<p class="soft">Some records are from {escape(", ".join(sources))}.</p>' if sources else ""
    return f"<table>{''.join(lines)}</table>{said}"


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
        "An asterisk marks what the bundle itself has a rule for and a request can ask by name. Ways that compute the same "
        "under several names have one latency and one energy: that of the exit or rule among them.",
        "Accuracies come from the quantised graphs run in "
        f"{document['accuracy_runtime']} with the device's tokenizer, heads and exit rule; a rejected in-scope row is wrong.",
        f"The report split has {rows['rows'] if rows else '?'} in-scope and {rows['foreign_rows'] if rows else '?'} "
        "out-of-scope rows. Intervals are bootstrap, rows of one template drawn together.",
        f"Joules of the first line: {energy}.",
    ]
    hashes = [f"{name} {digest}" for name, digest in document["splits"].items()]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}<li class='soft'>Splits (SHA-256): <code>{escape('; '.join(hashes))}</code></li></ul>"
