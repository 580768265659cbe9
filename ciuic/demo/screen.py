"""What the demo shows: one line an answer, then the summary. Values in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ciuic.demo.summary import Answered
    from firmware_py.contracts.measurement import Check
    from firmware_py.contracts.reply import Energy

HEADER = f"{'#':>4} {'text':38} {'intent':26} {'slots':30} {'exit':4} {'node':9} {'time':>8}  joules"


def si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix: `1.23 mJ`."""
    for factor, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "µ")):
        if abs(value) >= factor or prefix == "µ":
            return f"{value / factor:.3g} {prefix}{unit}"
    raise AssertionError


def joules(energy: Energy) -> str:
    """`1.23 mJ ± 0.31 mJ predicted`; unknown is said, never 0."""
    if energy.energy_j is None:
        return "unknown"
    spread = f" ± {si(energy.u95_j, 'J')}" if energy.u95_j is not None else ""
    return f"{si(energy.energy_j, 'J')}{spread} {energy.method}{', simulated' if energy.simulated else ''}"


def clip(text: str, width: int) -> str:
    """The text, cut to the width with a mark."""
    return text if len(text) <= width else text[: width - 1] + "…"


def answer_line(answer: Answered) -> str:
    """One row of the live table."""
    sentence, reply = answer.question.sentence, answer.reply
    number = answer.question.index + 1
    if reply is None:
        return f"{number:4} {clip(sentence.text, 38):38} NO ANSWER"
    result = reply.result or {}
    label = result.get("label") or (reply.error.code if reply.error else reply.status)
    slots = " ".join(f"{s['name']}={s['text']}" for s in result.get("slots", ()))
    mark = " " if answer.right else "✗"
    depth = f"{reply.route.exit}/{reply.route.exits}" if reply.route.exit else "-"
    protocol = "  (MQTT 3.1.1)" if answer.question.protocol == 4 else ""
    return (
        f"{number:4}{mark}{clip(sentence.text, 38):38} {clip(str(label), 26):26} {clip(slots, 30):30} {depth:4} "
        f"{clip(reply.route.node, 9):9} {answer.latency_s * 1e3:5.1f} ms  {joules(reply.energy)}{protocol}"
    )


def summary_lines(figures: dict[str, Any], verdicts: Iterable[Check]) -> list[str]:
    """The closing summary."""
    share = {k: f"{v:.0%}" for k, v in figures["exit_share"].items()}
    p50, p99 = figures["latency_s"]["p50"], figures["latency_s"]["p99"]
    lines = [
        "",
        f"answered     {figures['answered']} of {figures['asked']} (over MQTT 3.1.1: {figures['mqtt_3_1_1']}), "
        f"late {figures['late']}, repeats dropped {figures['repeats_dropped']}",
        f"accuracy     {_percent(figures['accuracy_template'])} on {figures['n_template']} held-out template sentences, "
        f"{_percent(figures['accuracy_hand'])} on {figures['n_hand']} written by hand; "
        f"{_percent(figures['out_of_scope_recall'])} of {figures['n_out_of_scope']} out-of-scope ones refused",
        f"exits        {'  '.join(f'exit {k}: {v}' for k, v in share.items())}",
        f"time         p50 {_ms(p50)}, p99 {_ms(p99)} at the asker, simulated boards",
    ]
    for name, node in figures["nodes"].items():
        energy = "unknown"
        if node["energy_j"] is not None:
            energy = f"{si(node['energy_j'], 'J')} ± {si(node['u95_j'] or 0.0, 'J')} an answer above idle"
        methods = ", ".join(f"{count} {method}" for method, count in sorted(node["methods"].items()))
        sources = " and ".join(name for name in sorted(node["sources"]) if name != "none") or "none"
        tag = ", simulated board" if node["simulated"] else ""
        lines.append(
            f"joules       {name}: {node['answers']} answers, {energy} ({methods}; source {sources}{tag})"
        )
    lines.append("")
    lines += [
        f"{'ok  ' if c.ok else 'MISS'} {c.name}: {_plain(c.value)} (bound {c.relation} {c.bound:g} {c.unit})"
        for c in verdicts
    ]
    return lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value * 1e3:.1f} ms"


def _plain(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}" if float(value).is_integer() else f"{value:.3f}"
