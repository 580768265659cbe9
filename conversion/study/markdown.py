"""The joined document as the page `docs/measurements/<name>.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conversion.study.pairs import WITHIN


def to_markdown(document: Mapping[str, Any]) -> str:
    """The page."""
    name, seeds = document["name"], ", ".join(map(str, document["seeds"]))
    lines = [
        f"# {name}: what was measured",
        "",
        f"Written by `ciuic model report {name}`. Accuracy is of the report split's in-scope rows (a rejected one is",
        f"wrong), mean ± standard deviation over seeds {seeds} where there are several. Rows of `{document['recipe']}` are the",
        "quantised graphs run in their runtime with the device's tokenizer, heads and exit rule; *static* students have one",
        "exit and are float32 torch. Compute: multiply-accumulates of the matrix products of one answer. *not run* names the",
        "command that makes the row. Every difference is a paired bootstrap over the same rows, 10,000 samples, 95 %.",
        "",
        *([_promise(document["promise"]), ""] if document["promise"] else []),
        *_systems(document["rows"]),
    ]
    if document["comparisons"]:
        lines += ["", "## What is better than what", "", *_comparisons(document)]
        lines += _narrower(document["comparisons"])
    if document["ablation"]:
        lines += ["", "## Ablation", "", *_ablation(document["ablation"])]
    if document.get("recipes"):  # older documents have none
        lines += ["", "## Other recipes", "", *_recipes(document)]
    lines += ["", "## Bounds", "", *_checks(document["checks"])]
    if document["splits"]:
        hashes = ", ".join(f"{split} `{digest[:12]}`" for split, digest in document["splits"].items())
        lines += ["", f"Splits (SHA-256, first 12 digits): {hashes}."]
    return "\n".join([*lines, ""])


def _promise(promise: Mapping[str, Any]) -> str:
    size, latency = _change(promise["size"]), _latency(promise)
    loss = "not measured" if promise["accuracy_loss"] is None else f"{promise['accuracy_loss']:+.1%}"
    verdict = "kept" if promise["kept"] else "**not shown yet**" if _open(promise) else "**not kept**"
    return (
        f"**The promise** - size −85 %, latency −60 %, accuracy loss ≤ 5 % against the uncompressed teacher: installed size "
        f"{size}, mean latency {latency}, accuracy loss {loss}: {verdict}."
    )


def _latency(promise: Mapping[str, Any]) -> str:
    if promise["latency"] is not None:
        return _change(promise["latency"])
    before = promise.get("latency_earlier")
    shown = "" if before is None else f"; {_change(before['value'])} {_earlier(before)}"
    return f"{_not_measured(promise.get('latency_command'))}{shown}"


def _open(promise: Mapping[str, Any]) -> bool:
    return any(promise[key] is None for key in ("size", "latency", "accuracy_loss"))


def _systems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    out = ["| system | runs | accuracy | slot F1 | MACs |", "|---|---|---|---|---|"]
    for row in rows:
        cells = [
            row["system"],
            str(row["runs"]),
            _spread(row.get("accuracy")),
            _spread(row.get("slot_f1")),
            _macs(row),
        ]
        if not row["runs"]:
            cells[2] = _missing(row)
        elif row.get("not_run"):
            cells[1] += f" ({_missing(row)})"
        out.append(f"| {' | '.join(cells)} |")
    return out


def _comparisons(document: Mapping[str, Any]) -> list[str]:
    out = [
        "*seeds*: whose students. Where there are several, each row counts with its mean over them; the interval is over rows",
        "drawn anew, not over seeds: another training may differ by more.",
        "",
        "| first | second | seeds | accuracy, points | p | slot F1, points | compute | in accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["comparisons"]:
        second = row["second"] + (" (the best static)" if row.get("best_static") else "")
        if "accuracy" not in row:
            out.append(f"| {row['first']} | {second} | | {_missing(row)} | | | | |")
            continue
        found, slots = row["accuracy"], row.get("slot_f1")
        worse = found["high"] < 0
        verdict = "better" if found["better"] else "**worse**" if worse else "no difference shown"
        compute = "" if "compute" not in row else f"{row['compute'][0]:,} / {row['compute'][1]:,}"
        verdict += _overspent(row)
        cells = [row["first"], second, _seeds(row, document["seeds"]), _points(found), f"{found['p']:.4f}",
                 "" if slots is None else _points(slots), compute, verdict]  # fmt: skip
        out.append(f"| {' | '.join(cells)} |")
    return out


def _overspent(row: Mapping[str, Any]) -> str:
    """What a cascade that was to stay within a student's compute took beyond it on these rows: such a pair is not fair."""
    if not row["first"].startswith(WITHIN) or "compute" not in row:
        return ""
    ours, theirs = row["compute"]
    return f"; **not within: {ours / theirs - 1:.0%} more compute**" if ours > theirs else ""


def _seeds(row: Mapping[str, Any], all_seeds: Sequence[int]) -> str:
    """Of both sides, once where they are the same; documents that do not say took the first seed alone."""
    sides = row.get("seeds", [all_seeds[:1]])
    said = [", ".join(map(str, side)) for side in sides]
    return " / ".join(dict.fromkeys(said))


def _narrower(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pairs at the narrower widths, where there are any; a document of before they were paired has none."""
    pairs = [row for row in rows if row.get("widths")]
    if not pairs:
        return []
    widths = list(pairs[0]["widths"])
    heads = [f"width {width} of 4, points" for width in widths]
    out = ["", f"| first | second | {' | '.join(heads)} |", "|---|---|" + "---|" * len(widths)]
    for row in pairs:
        cells = [_narrow(row["widths"][width]) for width in widths]
        cells = cells[:1] + [""] * len(cells[1:]) if len(set(cells)) == 1 else cells  # one command makes all
        out.append(f"| {row['first']} | {row['second']} | {' | '.join(cells)} |")
    return out


def _narrow(pair: Mapping[str, Any]) -> str:
    if "accuracy" not in pair:
        return _missing(pair)
    return f"{_points(pair['accuracy'])}, p {pair['accuracy']['p']:.4f}"


def _ablation(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    out = ["| student | last exit | exits 0 … S | widths 4 3 2 1 |", "|---|---|---|---|"]
    for row in rows:
        cells = [row["system"], _spread(row.get("accuracy")) if row["runs"] else _missing(row)]
        cells += [
            " / ".join(f"{value:.1%}" for value in row.get(key, {}).values())
            for key in ("by_exit", "by_width")
        ]
        out.append(f"| {' | '.join(cells)} |")
    return out


def _recipes(document: Mapping[str, Any]) -> list[str]:
    """Each ran in its CPU runtime; on an accelerator none did."""
    ours = document["recipe"]
    out = [
        f"Seed {document['seeds'][0]}, `balanced`. The graphs ran on the CPU; what an accelerator takes is its compiler's word.",
        "",
        f"| recipe | trunk | accuracy | against {ours}, points | bundle | operators on the accelerator |",
        "|---|---|---|---|---|---|",
    ]
    for row in document["recipes"]:
        found = row["against"].get("accuracy")
        cells = [row["recipe"], row["norm"], f"{row['accuracy']:.2%}", _missing(row["against"]) if found is None else _points(found),
                 f"{row['bundle_bytes']:,} bytes", _mapped(row["accelerator"])]  # fmt: skip
        out.append(f"| {' | '.join(cells)} |")
    return out


def _mapped(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return "–"
    if not said["compiled"]:
        return str(said["why"])
    time = f", {1e3 * said['estimated_s']:.1f} ms estimated" if "estimated_s" in said else ""
    return f"{said['share']:.1%} by {said['compiler']}{time}"


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    out = ["| bound | value | | limit | |", "|---|---|---|---|---|"]
    for one in checks:
        if one["value"] is None:
            before = one.get("earlier")
            verdict = _not_measured(one.get("command"))
            value = "–" if before is None else f"{_value(before['value'], one['unit'])} {_earlier(before)}"
        else:
            verdict, value = ("met" if one["ok"] else "**not met**"), _value(one["value"], one["unit"])
            value += f" (`{one['file']}`)" if one.get("file") else ""
        out.append(
            f"| {one['name']} | {value} | {one['relation']} | {_value(one['bound'], one['unit'])} | {verdict} |"
        )
    return out


def _value(value: float, unit: str) -> str:
    if unit.startswith("share"):
        return f"{value:.2%}"
    if unit == "bytes":
        return f"{value:,.0f} bytes"
    if unit == "s":
        return f"{value:,.0f} s"
    return f"{value:.3g} {unit}".strip()


def _spread(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "–"
    spread = "" if entry["sd"] is None else f" ± {entry['sd']:.2%}"
    return f"{entry['mean']:.2%}{spread}"


def _macs(row: Mapping[str, Any]) -> str:
    entry = row.get("macs")
    return "–" if entry is None else f"{entry['mean']:,.0f}"


def _points(found: Mapping[str, Any]) -> str:
    return f"{100 * found['value']:+.2f} ({100 * found['low']:+.2f} … {100 * found['high']:+.2f})"


def _missing(row: Mapping[str, Any]) -> str:
    why = f"{row['why']}: " if "why" in row else ""
    return f"{why}not run: " + "; ".join(f"`{command}`" for command in dict.fromkeys(row["not_run"]))


def _change(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.1%}".replace("-", "−")


def _not_measured(command: str | None) -> str:
    return "not measured" if command is None else f"not measured: `{command}`"


def _earlier(before: Mapping[str, Any]) -> str:
    """Whose figure it is, in words that cannot be taken for this bundle's."""
    return f"of an earlier bundle ({str(before['bundle_sha256'])[:12]}…)"
