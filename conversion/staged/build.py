"""A tuned encoder to a signed bundle of one stage a layer.

    teacher -> heads -> a graph a layer and length (ONNX, TFLite, quantised) -> bundle
    -> run it as a board would: calibrate, gate against torch -> bundle again, signed

The first bundle has temperatures of 1 and is thrown away: it is there so that what calibrates and what is
gated goes through the device's own reader.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conversion.check import golden
from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.calibrate import DEFAULT, Strangeness, calibrated, preset_rules
from conversion.check.parity import Bounds, Parity, Rules, bounds_of, compare, faults
from conversion.check.refusal import Refusal, not_finite, refuse, uncalibrated
from conversion.check.rows import truth_of
from conversion.check.runtime import python_of
from conversion.data.task import TaskData, inside
from conversion.export.cache import float32_key
from conversion.export.lattice import BUCKETS, graph_name
from conversion.export.make import Piece, Place, make_files
from conversion.export.recipes import GATE_RUNTIME, RECIPES
from conversion.export.to_onnx import INPUTS
from conversion.nets.deepseek_lite import GROUPS
from conversion.staged.child import run_bundle
from conversion.staged.graph import LayerGraph
from conversion.staged.teacher import Staged, Tell, embedding_bytes, torch_says
from firmware_py.bundles.read import unpack
from firmware_py.bundles.sign import sign_file
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import member, write_bundle
from firmware_py.contracts.golden import GoldenRow, write_golden
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec
from firmware_py.contracts.run import GraphKey
from firmware_py.tasks.intent import IntentTask
from firmware_py.tasks.text import WordPiece

VERSION = "0.1.0"
ROPE = 2  # numbers of the position tables that stages are fed and this trunk does not read
SIDES = ("temperature", "report")
# Exits behind single layers that were never trained for them are unsure, so that rounding decides more often. On
# 232 sentences the tuned MiniLM's least sure of six agreed on 97.8 %, with a mean logit error of 0.04 (0.25 allowed).
EARLY = Bounds(agreement=0.96, exits=0.96)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the bundle goes, who signs it, where environments and cache are, which lengths and recipe.

    `about`: where encoder and heads come from, for provenance and report.
    """

    path: Path
    key: Path | None
    place: Place
    buckets: tuple[int, ...] = BUCKETS
    recipe: str = "dyn8"
    gate_rows: int = 40  # of each length
    about: Mapping[str, Any] = field(default_factory=dict)


def build_staged(
    staged: Staged, vocabulary: bytes, data: TaskData, target: Target, tell: Tell
) -> dict[str, Any]:
    """Write the signed bundle and return its report.

    Args:
        staged: encoder and heads.
        vocabulary: the member `vocab.txt`, the encoder's own.
        data: labels, and the rows that calibrate, gate and report.
        target: what to write.
        tell: hears the share done.

    Raises:
        ConversionError: the graphs are not what torch says; beside where the bundle would be lies a report of why.
        ToolMissingError: an environment that the build needs is not there.
    """
    files = make_graphs(staged, target, lambda share: tell(0.6 * share))
    members = {graph_name(key): path.read_bytes() for key, path in files.items()}
    members |= {f"head-{number}.npz": head.to_bytes() for number, head in enumerate(staged.heads, 1)}
    members |= {
        "embedding.npz": embedding_bytes(staged.teacher, max(target.buckets)),
        "vocab.txt": vocabulary,
    }
    tokenizer = WordPiece.from_bytes(vocabulary)
    pieces = vocabulary.decode("utf-8").split("\n")
    frame = pieces.index("[CLS]"), pieces.index("[SEP]")
    plain = _manifest(staged, data, target, members | {"golden.jsonl": b""}, frame)

    known = inside(data.train)
    probes = golden.choose(known, tokenizer, target.buckets, 0)
    own = len(probes)
    probes += golden.of_each_length(known, tokenizer, target.buckets, 0, target.gate_rows)
    sides = {name: data.split(name) for name in SIDES}
    texts = [*probes, *(row.text for rows in sides.values() for row in rows)]
    said = _run(plain, members, target, texts)
    tell(0.85)
    cuts = np.cumsum([len(probes), *(len(rows) for rows in sides.values())])
    heard = {
        name: said.part(slice(int(a), int(b))) for name, a, b in zip(sides, cuts, cuts[1:], strict=False)
    }

    probed = said.part(slice(0, len(probes)))
    full = (GROUPS,) * len(staged.heads)

    def gated(rules: Rules) -> Parity:
        torch_said = torch_says(staged, probes, max(target.buckets))
        return compare(target.recipe, GATE_RUNTIME[target.recipe], probed, torch_said, rules)

    why = not_finite({"the gate's sentences": probed, **heard})
    if why is not None:
        plain_rules = uncalibrated(len(full), data.scope_index)
        refuse([Refusal(gated(plain_rules), EARLY, (why,))], target.path, target.about)

    truth = {name: truth_of(rows, data.labels) for name, rows in sides.items()}
    found, scope = calibrated(
        heard["temperature"].logits, truth["temperature"], full, data.scope_index, Strangeness()
    )
    rules = preset_rules(len(full))
    ordered = tuple(found[full[:depth]] for depth in range(1, len(full) + 1))
    parity = gated(Rules(ordered, rules[DEFAULT], scope.threshold, scope.index, scope.by_label))
    refuse(staged_refusals(parity, full), target.path, target.about)
    tell(0.95)

    accuracy = tuple(
        _accuracy(heard["report"].logits[full[:depth]], truth["report"]) for depth in range(1, len(full) + 1)
    )
    members["golden.jsonl"] = _golden(plain, members, probes[:own], (probed, 2 * parity.max_logit_error))
    manifest = replace(
        _manifest(staged, data, target, members, frame),
        heads=tuple(replace(head, temperature=ordered[head.exit - 1]) for head in plain.heads),
        exit_rules=rules,
        accuracy_by_exit=accuracy,
        out_of_scope_threshold=scope.threshold,
        provenance=json.loads(json.dumps({**target.about, "parity": parity.to_dict()})),
    )
    sha256 = write_bundle(target.path, manifest, members)
    if target.key is not None:
        sign_file(target.path, target.key)
    tell(1.0)
    return {
        "bundle": target.path.name,
        "sha256": sha256,
        "bytes": target.path.stat().st_size,
        "stages": manifest.stages,
        "parity": parity.to_dict(),
        "temperatures": ordered,
        "accuracy_by_exit": accuracy,
    }


def make_graphs(staged: Staged, target: Target, tell: Tell) -> Mapping[GraphKey, Path]:
    """The recipe's file of every layer at every length."""
    width = staged.teacher.classify.in_features
    pieces = []
    for stage, layer in enumerate(staged.layers, 1):
        module = LayerGraph(layer).eval()
        for bucket in target.buckets:
            example = (
                torch.zeros(bucket, width),
                torch.zeros(bucket, bucket),
                torch.ones(bucket, ROPE),
                torch.zeros(bucket, ROPE),
            )
            key = GraphKey(bucket, stage, GROUPS)
            pieces.append(Piece(key, float32_key(module, bucket), module, example, (RECIPES[target.recipe],)))
    return make_files(pieces, target.place, tell)[target.recipe]


def _manifest(
    staged: Staged, data: TaskData, target: Target, files: Mapping[str, bytes], frame: tuple[int, int]
) -> Manifest:
    """Describe the files; temperatures of 1, thresholds that let the last exit answer."""
    config = staged.teacher.bert.config
    stages, width = len(staged.heads), int(config.hidden_size)
    keys = [GraphKey(bucket, stage, GROUPS) for bucket in target.buckets for stage in range(1, stages + 1)]
    heads = [
        Head(data.task, number, 1.0, member(f"head-{number}.npz", files[f"head-{number}.npz"]))
        for number in range(1, stages + 1)
    ]
    sizes = {"d_model": width, "heads": config.num_attention_heads, "ffn": config.intermediate_size}
    return Manifest(
        name=target.path.name.removesuffix(".bundle"),
        version=VERSION,
        recipe=target.recipe,
        task=Task(data.task, "intent", data.languages),
        labels=data.labels,
        slots=(),
        stages=stages,
        buckets=tuple(sorted(target.buckets)),
        dims={name: float(size) for name, size in sizes.items()}
        | {"layers": 1.0, "rope": float(ROPE), "state": 2.0 * width},
        runtimes=dict(RECIPES[target.recipe].runtimes),
        graphs=tuple(_graph(key, width, files[graph_name(key)]) for key in sorted(keys)),
        heads=tuple(heads),
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("vocab.txt", files["vocab.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={DEFAULT: (1.0,) * (stages - 1) + (0.0,)},
        default_rule=DEFAULT,
        accuracy_by_exit=(0.0,) * stages,
        out_of_scope_threshold=1.0,
        provenance={},
        attention="bidirectional",
        frame=frame,
    )


def _graph(key: GraphKey, width: int, data: bytes) -> Graph:
    length = key.bucket
    shapes = {"h": (length, width), "bias": (length, length), "cos": (length, ROPE), "sin": (length, ROPE)}
    outputs = (
        TensorSpec("h_out", "float32", (length, width)),
        TensorSpec("state", "float32", (length, 2 * width)),
    )
    inputs = tuple(TensorSpec(name, "float32", shapes[name]) for name in INPUTS)
    return Graph(key, "stage", 0, inputs, outputs, {}, member(graph_name(key), data))


def _run(
    manifest: Manifest, members: Mapping[str, bytes], target: Target, texts: list[str]
) -> LatticeAnswers:
    """Write, unpack and run the uncalibrated bundle."""
    with tempfile.TemporaryDirectory(prefix="ciuic-staged-") as folder:
        path = Path(folder) / "plain.bundle"
        write_bundle(path, manifest, {**members, "golden.jsonl": b""})
        unpacked = unpack(path, Trust(None, allow_unsigned=True), Path(folder) / "store")
        python = python_of(GATE_RUNTIME[target.recipe], target.place.root)
        return run_bundle(unpacked, texts, python, target.place.root)


def _golden(
    manifest: Manifest, members: Mapping[str, bytes], texts: list[str], said: tuple[LatticeAnswers, float]
) -> bytes:
    """The member `golden.jsonl`; `said`: the answers and the tolerance."""
    answers, tolerance = said
    task = IntentTask(manifest, members["vocab.txt"])
    full: Prefix = manifest.full_widths
    logits = answers.along(full).logits
    atol = round(max(golden.MIN_TOLERANCE, tolerance), 3)
    rows = []
    for number, text in enumerate(texts):
        said_rows = tuple(tuple(float(value) for value in one) for one in logits[number])
        rows.append(GoldenRow(text, task.encode({"text": text}).ids, said_rows, atol))
    return write_golden(rows)


def staged_refusals(parity: Parity, last: Prefix) -> list[Refusal]:
    """Let a staged bundle pass or refuse it: the last exit by the recipe's own bound, those before it by `EARLY`."""
    found = faults(parity, EARLY)
    agreement, least = parity.by_prefix[last][0], bounds_of(parity.recipe).agreement
    if not agreement >= least:
        found.append(f"the last exit agrees with torch on {agreement:.3f}, at least {least} needed")
    return [Refusal(parity, EARLY, tuple(found))] if found else []


def _accuracy(logits: Any, truth: Any) -> float:
    """Share of in-scope rows whose best label is theirs."""
    keep = truth.inside
    return round(float((logits[keep].argmax(-1) == truth.target[keep]).mean()), 5) if keep.any() else 0.0
