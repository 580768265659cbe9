"""The Home Assistant sentence templates and the split by template.

Two templates share a skeleton when their shortest reading - optionals left out, the first of each
alternative taken - has the same words and the same kinds of slots in the same order. They stay on
one side of the split, so that a held-out template is not a training template with another optional.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

HELD_OUT = 0.2  # of the templates of an intent
CALIBRATION = 0.08  # of the rest, for temperatures and thresholds
MIN_TEMPLATES = 5  # an intent with fewer trains only
MIN_FOR_CALIBRATION = 10


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its parsed expression and the domains that its `{name}` may be of."""

    number: int
    intent: str
    text: str
    expression: Any
    domains: tuple[str, ...]
    skeleton: str


@dataclass(frozen=True, slots=True)
class Split:
    """Template numbers per side, and the intents that are too small to be held out."""

    train: frozenset[int]
    calibration: frozenset[int]
    evaluation: frozenset[int]
    train_only: tuple[str, ...]


class Grammar:
    """A language's templates with their rules and lists, as `hassil` parses them."""

    def __init__(self, source: dict[str, Any]) -> None:
        from hassil.intents import Intents

        self.source = source
        self.parsed = Intents.from_dict(source)
        self.rules: dict[str, Any] = self.parsed.expansion_rules
        self.lists: dict[str, Any] = self.parsed.slot_lists
        self.skip_words: tuple[str, ...] = tuple(source.get("skip_words", ()))

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """All templates in the package's order."""
        out: list[Template] = []
        for intent, body in self.source["intents"].items():
            for block, parsed in zip(body["data"], self.parsed.intents[intent].data, strict=True):
                domains = _domains(block)
                for sentence in parsed.sentences:
                    skeleton = " ".join("".join(self._shortest(sentence.expression)).split())
                    text = str(sentence.text)
                    out.append(Template(len(out), intent, text, sentence.expression, domains, skeleton))
        return tuple(out)

    def only(self, numbers: Collection[int]) -> Grammar:
        """A grammar with some of the templates, the same rules and lists; templates are numbered anew."""
        intents: dict[str, Any] = {}
        at = 0
        for intent, body in self.source["intents"].items():
            blocks = []
            for block in body["data"]:
                texts = block["sentences"]
                kept = [text for place, text in enumerate(texts, at) if place in numbers]
                at += len(texts)
                if kept:
                    blocks.append({**block, "sentences": kept})
            if blocks:
                intents[intent] = {**body, "data": blocks}
        return Grammar({**self.source, "intents": intents})

    def _shortest(self, node: Any) -> list[str]:
        """The skeleton's words, depth first."""
        kind = type(node).__name__
        if kind == "TextChunk":
            return [str(node.original_text)]
        if kind == "ListReference":
            return ["{" + slot_kind(node.list_name, self.lists) + "}"]
        if kind == "RuleReference":
            return self._shortest(self.rules[node.rule_name].expression)
        if kind == "Alternative":
            return [] if node.is_optional else self._shortest(node.items[0])
        if kind == "Permutation":
            return [word for item in node.items for word in [*self._shortest(item), " "]]
        return [word for item in node.items for word in self._shortest(item)]


def slot_kind(list_name: str, lists: dict[str, Any]) -> str:
    """A list's kind: all number ranges are one, everything else is its own."""
    return "number" if type(lists.get(list_name)).__name__ == "RangeSlotList" else list_name


def load_grammar(language: str = "en") -> Grammar:
    """Read a language of the installed `home-assistant-intents` package (Apache-2.0)."""
    import home_assistant_intents

    folder = Path(home_assistant_intents.__file__).parent
    return Grammar(json.loads((folder / "data" / f"{language}.json").read_text("utf-8")))


def split_templates(templates: tuple[Template, ...], seed: int) -> Split:
    """Hold out a fifth of each intent's templates, whole skeletons at a time.

    Skeletons are taken in a seeded random order until a fifth is reached; one that would pass a
    third of the intent is left for training.
    """
    random = Random(f"split {seed}")  # noqa: S311 - reproducible draws, no secret
    by_intent: dict[str, list[Template]] = defaultdict(list)
    for template in templates:
        by_intent[template.intent].append(template)
    evaluation: set[int] = set()
    calibration: set[int] = set()
    train_only = tuple(sorted(name for name, rows in by_intent.items() if len(rows) < MIN_TEMPLATES))
    for intent, rows in by_intent.items():
        if intent in train_only:
            continue
        groups: dict[str, list[int]] = defaultdict(list)
        for template in rows:
            groups[template.skeleton].append(template.number)
        order = sorted(groups)
        random.shuffle(order)
        held = _take(order, groups, round(HELD_OUT * len(rows)), len(rows) / 3)
        evaluation |= held
        rest = [skeleton for skeleton in order if groups[skeleton][0] not in held]
        if len(rows) >= MIN_FOR_CALIBRATION:
            calibration |= _take(rest, groups, max(1, round(CALIBRATION * len(rows))), len(rows) / 6)
    train = {template.number for template in templates} - evaluation - calibration
    return Split(frozenset(train), frozenset(calibration), frozenset(evaluation), train_only)


def _take(order: list[str], groups: dict[str, list[int]], wanted: int, limit: float) -> set[int]:
    taken: set[int] = set()
    for skeleton in order:
        if len(taken) >= wanted:
            break
        if len(taken) + len(groups[skeleton]) <= limit:
            taken.update(groups[skeleton])
    return taken


def _domains(block: dict[str, Any]) -> tuple[str, ...]:
    """The domains a block's `{name}` may be of: its required context, else its own slot."""
    domain = block.get("requires_context", {}).get("domain") or block.get("slots", {}).get("domain") or []
    return (domain,) if isinstance(domain, str) else tuple(domain)
