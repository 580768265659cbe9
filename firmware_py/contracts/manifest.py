"""What a bundle says of itself: `manifest.json`, checked field by field.

Unknown fields are ignored, missing ones refused: a newer minor writer stays readable.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from firmware_py.contracts.check import Fields
from firmware_py.contracts.configuration import RECIPES
from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.records import record
from firmware_py.contracts.run import FULL_WIDTH, GraphKey
from firmware_py.contracts.slot_sets import SlotSets, parse_slot_sets

FORMAT = 1
SCORES = ("label", "confidence")
EXIT_CONFIDENCES = ("label", "least_sure")
ATTENTION = ("causal", "bidirectional")
PUNCTUATION = ("tokens", "skipped")
MAX_STAGES = 16
MAX_TOKENS = 4096  # of a length bucket
MAX_MEMBER_BYTES = 256 * 2**20
SHA256 = "[0-9a-f]{64}"
MEMBER_NAME = "[a-z0-9][a-z0-9._-]{0,99}"
_SHA256, _MEMBER = re.compile(SHA256), re.compile(MEMBER_NAME)


@record(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@record(frozen=True, slots=True)
class Member:
    """One file of the archive: a flat name, its unpacked size and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@record(frozen=True, slots=True)
class Graph:
    """One TFLite file: `(h, bias, cos, sin) -> (h, state)` of a stage at a width and a length bucket."""

    key: GraphKey
    role: str
    past: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ops: Mapping[str, int]
    file: Member


@record(frozen=True, slots=True)
class Head:
    """The small arrays of one exit, as one `.npz` member, and the exit's temperature.

    Exit 0, the zeroth, judges the embedded rows before any stage; it is optional.
    """

    task: str
    exit: int
    temperature: float
    file: Member


@record(frozen=True, slots=True)
class Task:
    """What the bundle serves: `name` is asked for, `kind` picks the file in `tasks/`."""

    name: str
    kind: str
    languages: tuple[str, ...]

    def speaks(self, language: str) -> bool:
        """Whether a language tag (`en`, `en-GB`, `zh_Hans`) is of one of the languages; regions do not count."""
        wanted = _primary(language)
        return wanted in _NO_LANGUAGE or wanted in self.primaries()

    def primaries(self) -> tuple[str, ...]:
        """The languages without their regions: `de` for `de-CH`."""
        return tuple(dict.fromkeys(map(_primary, self.languages)))

    def language_of(self, language: str) -> str:
        """Which of `primaries` a text is in whose language tag is this one, or the only one there is; else empty."""
        known, wanted = self.primaries(), _primary(language)
        return wanted if wanted in known else known[0] if len(known) == 1 else ""


_SUBTAG_END = re.compile(r"[-_.@]")
# What says that no language is known (ISO 639-2; RFC 4647, 2.1; POSIX) and is therefore no reason to refuse.
_NO_LANGUAGE = frozenset({"", "und", "mul", "mis", "zxx", "*", "auto", "c", "posix"})


def _primary(language: str) -> str:
    """A tag's primary subtag (RFC 5646, 2.2.1), or that of a POSIX locale's name (`en_US.UTF-8`)."""
    return _SUBTAG_END.split(language.strip(), maxsplit=1)[0].lower()


@record(frozen=True, slots=True)
class Variant:
    """A calibrated combination of widths other than full: one width per stage.

    `temperatures` and the rows of `exit_rules` are of the exits 1 to the last, as the manifest's own are
    for full width. A rule with a row here asks exit 0 only if `zeroth_rules` has its threshold too: a
    guarantee holds for the thresholds that were found together. `accuracy` (of the last exit, on the report
    split) and `macs` (multiply-accumulates of the full depth) are null where unknown.
    """

    widths: tuple[int, ...]
    temperatures: tuple[float, ...]
    exit_rules: Mapping[str, tuple[float, ...]]
    accuracy: float | None = None
    macs: int | None = None
    zeroth_rules: Mapping[str, float] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Manifest:
    """A bundle's description.

    `exit_rules` maps a rule's name to one confidence threshold per exit; the last exit accepts
    always. `zeroth_rules` maps the rules that ask exit 0 to its threshold. `variants` are the
    combinations of widths that have temperatures and thresholds of their own; any other runs with those
    of full width. `out_of_scope_score` says what the threshold is held against: the probability of the
    label `oos`, or 1 minus that of the best label in scope. `runtimes` maps a runtime package to its minimum version. `labels` and `slots` are in
    the heads' output order. `dims` holds the trunk's sizes (d_model, heads, rope, state …).
    `accuracy_by_exit` is of the report split. `attention` says which rows a row sees: those up to itself, or
    all. `punctuation` says whether marks are tokens or are skipped. `frame` are the ids before and behind every text, or empty.
    `slot_sets` says which slots sentences of a label have together; None: each word's slot is decided alone.
    `exit_confidence` says what a rule's thresholds are held against: the label's probability, or the least of that
    and of each word's best tag's against the next one. `provenance` is free form: data, licences, seeds, versions,
    the report's figures.
    """

    name: str
    version: str
    recipe: str
    task: Task
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    stages: int
    buckets: tuple[int, ...]
    dims: Mapping[str, float]
    runtimes: Mapping[str, str]
    graphs: tuple[Graph, ...]
    heads: tuple[Head, ...]
    embedding: Member
    tokenizer: Member
    golden: Member
    exit_rules: Mapping[str, tuple[float, ...]]
    default_rule: str
    accuracy_by_exit: tuple[float, ...]
    out_of_scope_threshold: float
    provenance: Mapping[str, Any]
    zeroth_rules: Mapping[str, float] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    out_of_scope_score: str = "label"
    attention: str = "causal"
    frame: tuple[int, ...] = ()
    punctuation: str = "tokens"
    slot_sets: SlotSets | None = None
    exit_confidence: str = "label"

    @property
    def skips_punctuation(self) -> bool:
        """Whether marks between words are no tokens."""
        return self.punctuation == "skipped"

    @property
    def asks_slots(self) -> bool:
        """Whether an exit answers only when its words' tags are as sure as its label."""
        return self.exit_confidence == "least_sure"

    @property
    def full_widths(self) -> tuple[int, ...]:
        """The widest graphs in every stage: what runs unless narrower ones are asked for."""
        return (max(graph.key.width for graph in self.graphs if graph.past == 0),) * self.stages

    def members(self) -> tuple[Member, ...]:
        """Every file of the archive but the manifest, each once, by name."""
        files = [self.embedding, self.tokenizer, self.golden]
        files += [graph.file for graph in self.graphs] + [head.file for head in self.heads]
        return tuple({member.name: member for member in sorted(files, key=lambda m: m.name)}.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `parse_manifest` reads it back to an equal value."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "recipe": self.recipe,
            "task": {
                "name": self.task.name,
                "kind": self.task.kind,
                "languages": list(self.task.languages),
            },
            "labels": list(self.labels),
            "slots": list(self.slots),
            "stages": self.stages,
            "buckets": list(self.buckets),
            "dims": dict(self.dims),
            "runtimes": dict(self.runtimes),
            "graphs": [_graph_dict(graph) for graph in self.graphs],
            "heads": [
                {
                    "task": head.task,
                    "exit": head.exit,
                    "temperature": head.temperature,
                    **_member_dict(head.file),
                }
                for head in self.heads
            ],
            "embedding": _member_dict(self.embedding),
            "tokenizer": _member_dict(self.tokenizer),
            "golden": _member_dict(self.golden),
            "exit_rules": {name: list(row) for name, row in self.exit_rules.items()},
            "default_rule": self.default_rule,
            "accuracy_by_exit": list(self.accuracy_by_exit),
            "out_of_scope_threshold": self.out_of_scope_threshold,
            "provenance": dict(self.provenance),
            "zeroth_rules": dict(self.zeroth_rules),
            "variants": [_variant_dict(variant) for variant in self.variants],
            "out_of_scope_score": self.out_of_scope_score,
            "attention": self.attention,
            "punctuation": self.punctuation,
            "frame": list(self.frame),
            "slot_sets": None if self.slot_sets is None else self.slot_sets.to_dict(),
            "exit_confidence": self.exit_confidence,
        }


def _member_dict(member: Member) -> dict[str, Any]:
    return {"file": member.name, "bytes": member.size_bytes, "sha256": member.sha256}


def _variant_dict(variant: Variant) -> dict[str, Any]:
    return {
        "widths": list(variant.widths),
        "temperatures": list(variant.temperatures),
        "exit_rules": {name: list(row) for name, row in variant.exit_rules.items()},
        "accuracy": variant.accuracy,
        "macs": variant.macs,
        "zeroth_rules": dict(variant.zeroth_rules),
    }


def _graph_dict(graph: Graph) -> dict[str, Any]:
    def specs(tensors: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
        return [{"name": t.name, "dtype": t.dtype, "shape": list(t.shape)} for t in tensors]

    return {
        "role": graph.role,
        "stage": graph.key.stage,
        "width": graph.key.width,
        "length": graph.key.bucket,
        "past": graph.past,
        "inputs": specs(graph.inputs),
        "outputs": specs(graph.outputs),
        "ops": dict(graph.ops),
        **_member_dict(graph.file),
    }


def parse_manifest(data: Any) -> Manifest:
    """Check a decoded manifest.

    Raises:
        BundleFormatError: another format, a missing field, or a value of the wrong form.
    """
    top = Fields(data, "manifest", BundleFormatError)
    if top.integer("format") != FORMAT:
        top.fail(f"manifest.format is not {FORMAT}")
    task = Fields(top.object("task"), "manifest.task", BundleFormatError)
    stages = top.integer("stages", low=1, high=MAX_STAGES)
    rules = {str(name): _floats(top, row, stages) for name, row in top.object("exit_rules").items()}
    default_rule = top.text("default_rule")
    if default_rule not in rules:
        top.fail("manifest.default_rule names no exit rule")
    labels, slots = _strings(top, top.array("labels")), _strings(top, top.array("slots"))
    manifest = Manifest(
        name=top.text("name", limit=64),
        version=top.text("version", limit=64),
        recipe=top.choice("recipe", RECIPES),
        task=Task(
            task.text("name", limit=64), task.text("kind", limit=64), _strings(task, task.array("languages"))
        ),
        labels=labels,
        slots=slots,
        stages=stages,
        buckets=top.integers("buckets", high=MAX_TOKENS),
        dims={str(k): v for k, v in top.object("dims").items() if isinstance(v, int | float)},
        runtimes={str(k): str(v) for k, v in top.object("runtimes").items()},
        graphs=tuple(_parse_graph(item) for item in top.array("graphs")),
        heads=tuple(_parse_head(item) for item in top.array("heads")),
        embedding=_parse_member(Fields(top.object("embedding"), "manifest.embedding", BundleFormatError)),
        tokenizer=_parse_member(Fields(top.object("tokenizer"), "manifest.tokenizer", BundleFormatError)),
        golden=_parse_member(Fields(top.object("golden"), "manifest.golden", BundleFormatError)),
        exit_rules=rules,
        default_rule=default_rule,
        accuracy_by_exit=_floats(top, top.array("accuracy_by_exit"), stages),
        out_of_scope_threshold=top.number("out_of_scope_threshold"),
        provenance=dict(top.object("provenance")),
        zeroth_rules=_zeroth_rules(top),
        variants=tuple(_parse_variant(item, stages) for item in top.array("variants", (), limit=256)),
        out_of_scope_score=top.choice("out_of_scope_score", SCORES, "label"),
        attention=top.choice("attention", ATTENTION, "causal"),
        punctuation=top.choice("punctuation", PUNCTUATION, "tokens"),
        frame=top.integers("frame", (), limit=2),
        slot_sets=parse_slot_sets(top.object("slot_sets", None), len(labels), len(slots)),
        exit_confidence=top.choice("exit_confidence", EXIT_CONFIDENCES, "label"),
    )
    _check_lattice(top, manifest)
    _check_exits(top, manifest)
    return manifest


def _check_lattice(top: Fields, manifest: Manifest) -> None:
    """Every bucket has a full-width graph for every stage; each variant's widths have graphs somewhere.

    Of whole texts: a graph that needs a past cannot begin one.
    """
    keys = {graph.key for graph in manifest.graphs if graph.past == 0}
    full = max((key.width for key in keys), default=0)
    for bucket in manifest.buckets:
        for stage in range(1, manifest.stages + 1):
            if GraphKey(bucket, stage, full) not in keys:
                top.fail(f"manifest.graphs lacks stage {stage} of length {bucket}")
    there = {(key.stage, key.width) for key in keys}
    for variant in manifest.variants:
        if not there.issuperset(enumerate(variant.widths, start=1)):
            top.fail("manifest.variants names widths that no graph has")
    if len(manifest.frame) not in {0, 2}:
        top.fail("manifest.frame is not the id before and the id behind a text")
    if manifest.buckets and max(manifest.buckets) <= len(manifest.frame):
        top.fail("manifest.buckets leave no room for a text in its frame")
    if not manifest.labels or not manifest.buckets:
        top.fail("manifest has no labels or no length buckets")


def _check_exits(top: Fields, manifest: Manifest) -> None:
    """Each exit has one head; whoever has a rule of its own for an exit or a width has one that exists."""
    exits = [head.exit for head in manifest.heads]
    if sorted(set(exits) - {0}) != list(range(1, manifest.stages + 1)) or len(set(exits)) != len(exits):
        top.fail("manifest.heads lacks an exit or has it twice")
    early = [manifest.zeroth_rules, *(variant.zeroth_rules for variant in manifest.variants)]
    if any(early) and 0 not in exits:
        top.fail("manifest.zeroth_rules are of an exit 0 that manifest.heads lacks")
    named = [*early, *(variant.exit_rules for variant in manifest.variants)]
    if any(not rules.keys() <= manifest.exit_rules.keys() for rules in named):
        top.fail("manifest.zeroth_rules or .variants name a rule that manifest.exit_rules lacks")
    if manifest.asks_slots and not manifest.slots:
        top.fail("manifest.exit_confidence asks slots that manifest.slots lacks")
    widths = [variant.widths for variant in manifest.variants]
    if len(set(widths)) != len(widths):
        top.fail("manifest.variants have the same widths twice")


def _zeroth_rules(top: Fields) -> dict[str, float]:
    rules: Mapping[str, Any] = top.object("zeroth_rules", {})
    return {str(name): _floats(top, (value,), 1)[0] for name, value in rules.items()}


def _parse_variant(data: Any, stages: int) -> Variant:
    variant = Fields(data, "manifest.variant", BundleFormatError)
    widths = variant.integers("widths", high=FULL_WIDTH, limit=MAX_STAGES)
    temperatures = _floats(variant, variant.array("temperatures", limit=MAX_STAGES), stages)
    if len(widths) != stages or 0 in widths or not all(1e-3 <= value <= 1e3 for value in temperatures):
        variant.fail(f"manifest.variant has not {stages} widths, or a temperature is out of range")
    rules = {str(name): _floats(variant, row, stages) for name, row in variant.object("exit_rules").items()}
    accuracy = variant.number("accuracy", None, low=0.0, high=1.0)
    return Variant(
        widths, temperatures, rules, accuracy, variant.integer("macs", None), _zeroth_rules(variant)
    )


def _parse_graph(data: Any) -> Graph:
    graph = Fields(data, "manifest.graph", BundleFormatError)
    return Graph(
        key=GraphKey(
            graph.integer("length", low=1, high=MAX_TOKENS),
            graph.integer("stage", low=1, high=MAX_STAGES),
            graph.integer("width", low=1, high=FULL_WIDTH),
        ),
        role=graph.choice("role", ("stage",)),
        past=graph.integer("past"),
        inputs=_parse_specs(graph, "inputs"),
        outputs=_parse_specs(graph, "outputs"),
        ops=_counts(graph, graph.object("ops")),
        file=_parse_member(graph),
    )


def _parse_specs(graph: Fields, key: str) -> tuple[TensorSpec, ...]:
    out = []
    for item in graph.array(key, limit=64):
        spec = Fields(item, f"manifest.graph.{key}", BundleFormatError)
        shape = spec.integers("shape", limit=8)
        out.append(TensorSpec(spec.text("name"), spec.text("dtype", limit=16), shape))
    return tuple(out)


def _parse_head(data: Any) -> Head:
    head = Fields(data, "manifest.head", BundleFormatError)
    return Head(
        task=head.text("task", limit=64),
        exit=head.integer("exit", low=0, high=MAX_STAGES),
        temperature=head.number("temperature", low=1e-3, high=1e3),
        file=_parse_member(head),
    )


def _parse_member(fields: Fields) -> Member:
    name, sha256 = fields.text("file", limit=100), fields.text("sha256", limit=64)
    if not _MEMBER.fullmatch(name) or not _SHA256.fullmatch(sha256):
        fields.fail("a file name or sha256 in the manifest has a forbidden form")
    return Member(name, fields.integer("bytes", high=MAX_MEMBER_BYTES), sha256)


def _strings(fields: Fields, items: Any) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        fields.fail("an array of strings holds something else")
    return tuple(items)


def _counts(fields: Fields, items: Mapping[str, Any]) -> dict[str, int]:
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in items.values()):
        fields.fail("a table of counts holds something else")
    return {str(name): n for name, n in items.items()}


def _floats(fields: Fields, items: Any, length: int) -> tuple[float, ...]:
    if not isinstance(items, list | tuple) or len(items) != length:
        fields.fail(f"an array per exit has not {length} entries")
    numbers = (isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    if not all(numbers) or not all(abs(item) <= sys.float_info.max for item in items):
        fields.fail("an array of numbers holds something else")
    return tuple(float(item) for item in items)
