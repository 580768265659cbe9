"""What the demo shows: one line an answer, then the summary. Values in, text out."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from firmware_py.contracts.written import spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ciuic.demo.summary import Answered
    from firmware_py.contracts.measurement import Check
    from firmware_py.contracts.reply import Energy

WIDE = 160  # where there is no terminal
_SLOTS_FROM = 100  # narrower: no column of slots
_SHORT = {"predicted": "pred.", "estimated": "est.", "measured": "meas."}


def header(width: int = WIDE) -> str:
    """The head of the live table."""
    return _row("   #", " ", ("text", "intent", "slots"), ("exit", "node", "    time", "joules ± U95"), width)


def _row(
    number: str, mark: str, words: tuple[str, str, str], figures: tuple[str, str, str, str], width: int
) -> str:
    """One line: what is fixed keeps its width, text, intent and slots share the rest."""
    exit_, node, time, joule = figures
    end = f"{exit_:4} {clip(node, 7):7} {time:>8}  {joule}"
    left = width - 5 - len("exit node___ 1234.5 ms  1.23 ± 0.12 mJ pred. sim") - 2
    if width >= WIDE:
        texts = (38, 26, 30)
    elif width >= _SLOTS_FROM:
        texts = (left * 2 // 5, left * 7 // 20, left // 4 - 1)
    else:
        texts = (max(8, left // 2), max(8, left - left // 2), 0)
    cells = " ".join(f"{clip(word, most):{most}}" for word, most in zip(words, texts, strict=True) if most)
    return f"{number:>4}{mark}{cells} {end}"


def fold(line: str, width: int) -> str:
    """A line of the summary, folded under its text."""
    return textwrap.fill(line, max(40, width), subsequent_indent=" " * 13) if line else line


def joules(energy: Energy, width: int = WIDE) -> str:
    """`1.23 ± 0.31 mJ predicted, simulated`, shorter in a narrow table; unknown is said, never 0."""
    if energy.energy_j is None:
        return "unknown"
    figure = spread(energy.energy_j, energy.u95_j, "J")
    if width < WIDE:
        return f"{figure:14} {_SHORT.get(energy.method, energy.method)}{' sim' if energy.simulated else ''}"
    return f"{figure} {energy.method}{', simulated' if energy.simulated else ''}"


def clip(text: str, width: int) -> str:
    """The text, cut to the width with a mark."""
    return text if len(text) <= width else text[: width - 1] + "…"


def answer_line(answer: Answered, width: int = WIDE) -> str:
    """One row of the live table; a narrow one does not say which answers came over MQTT 3.1.1."""
    sentence, reply = answer.question.sentence, answer.reply
    number = answer.question.index + 1
    if reply is None:
        return f"{number:4} {clip(sentence.text, 38):38} NO ANSWER"
    result = reply.result or {}
    label = result.get("label") or (reply.error.code if reply.error else reply.status)
    slots = " ".join(f"{s['name']}={s['text']}" for s in result.get("slots", ()))
    mark = " " if answer.right else "✗"
    depth = f"{reply.route.exit}/{reply.route.exits}" if reply.route.exit is not None else "-"
    protocol = "  (MQTT 3.1.1)" if answer.question.protocol == 4 and width >= WIDE else ""
    figures = (
        depth,
        reply.route.node,
        f"{answer.latency_s * 1e3:.1f} ms",
        joules(reply.energy, width) + protocol,
    )
    return _row(str(number), mark, (sentence.text, str(label), slots), figures, width)


def summary_lines(figures: dict[str, Any], verdicts: Iterable[Check]) -> list[str]:
    """The closing summary."""
    share = {k: f"{v:.1%}" for k, v in figures["exit_share"].items()}
    p50, p99 = figures["latency_s"]["p50"], figures["latency_s"]["p99"]
    killed = figures["killed"]
    lines = [
        "",
        f"answered     {figures['answered']} of {figures['asked']} (over MQTT 3.1.1: {figures['mqtt_3_1_1']}), "
        f"late {figures['late']}, refused {figures['refused']}, failed {figures['failed']}, "
        f"repeats dropped {figures['repeats_dropped']}",
        f"accuracy     {_percent(figures['accuracy_template'])} on {figures['n_template']} held-out template sentences, "
        f"{_percent(figures['accuracy_hand'])} on {figures['n_hand']} written by hand; "
        f"{_percent(figures['out_of_scope_recall'])} of {figures['n_out_of_scope']} out-of-scope ones turned away",
        f"exits        {'  '.join(f'exit {k}: {v}' for k, v in share.items())}",
        f"time         p50 {_ms(p50)}, p99 {_ms(p99)} at the asker, simulated boards",
    ]
    if killed is not None:
        others = ", ".join(f"{node} {count}" for node, count in killed["answered_after"].items()) or "nobody"
        lines.append(
            f"killed       {killed['node']} by {killed['signal']} at request {killed['at_request']}; "
            f"the {killed['asked_after']} asked after it were answered by: {others}"
        )
    for name, node in figures["nodes"].items():
        energy = "unknown"
        if node["energy_j"] is not None:
            energy = f"{spread(node['energy_j'], node['u95_j'], 'J')} an answer above idle"
        whence = [_whence(method, counts) for method, counts in sorted(node["sources_by_method"].items())]
        if node["simulated"]:
            whence.append("simulated board")
        lines.append(f"joules       {name}: {node['answers']} answers, {energy} ({'; '.join(whence)})")
    lines.append("")
    lines += [
        f"{'ok  ' if c.ok else 'MISS'} {c.name}: {_plain(c.value)} (bound {c.relation} {c.bound:g} {c.unit})"
        for c in verdicts
    ]
    return lines


def _whence(method: str, counts: dict[str, int]) -> str:
    """How many answers' joules are of a method, and which sensors stand behind these and no others."""
    sensors = " and ".join(name for name in sorted(counts) if name != "none")
    if method == "none":
        return f"{sum(counts.values())} unknown"
    return f"{sum(counts.values())} {method} {f'from {sensors}' if sensors else 'without a sensor'}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value * 1e3:.1f} ms"


def _plain(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}" if float(value).is_integer() else f"{value:.3f}"
