"""The door to the stopwatch: a bundle timed in a runtime's own environment, and latency put together from parts."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check.cascade import Array, Configuration, Outcome, Prefix
from conversion.check.compute import Lengths
from conversion.check.runtime import python_of
from conversion.study.stopwatch import Way
from firmware_py.bundles.read import Unpacked
from firmware_py.children import tied
from firmware_py.contracts.errors import ConversionError
from firmware_py.testing.neighbours import Neighbours, is_quiet

ROUNDS = 200
TIMEOUT_S = 1800.0

Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds in one runtime: median of each part, every answer of each way; cores that others kept busy meanwhile."""

    runtime: str
    parts: Mapping[str, float]
    answers: Mapping[str, Array]
    others_cores: float | None

    @property
    def quiet(self) -> bool:
        """Whether the machine did nothing else; only such figures are worth publishing."""
        return is_quiet(self.others_cores)

    def summary(self, name: str) -> dict[str, float]:
        """Mean, p50, p10 and p90 seconds of a way, with a 95 % interval of the mean."""
        seconds = self.answers[name]
        half_s = 1.96 * float(seconds.std()) / max(1, len(seconds)) ** 0.5
        mean_s = float(seconds.mean())
        p10, p50, p90 = (float(value) for value in np.percentile(seconds, [10, 50, 90]))
        return {
            "mean": mean_s, "mean_low": mean_s - half_s, "mean_high": mean_s + half_s,
            "p10": p10, "p50": p50, "p90": p90, "n": len(seconds),
        }  # fmt: skip

    def composed(self, configuration: Configuration, outcome: Outcome, lengths: Lengths) -> Array:
        """Seconds of each row [N] from the parts: host, stages run, heads asked, words as often as asked, tags once."""
        out = np.zeros(len(outcome.exits))
        for bucket in np.unique(lengths.buckets):
            here = lengths.buckets == bucket
            spent = self._upto(configuration, int(bucket))[outcome.exits[here]]
            words_s, tags_s = (self.parts.get(f"{name} {bucket}", 0.0) for name in ("words", "tags"))
            out[here] = spent + self.parts[f"host {bucket}"] + words_s * (1 + outcome.in_vain[here]) + tags_s
        return out

    def _upto(self, configuration: Configuration, bucket: int) -> Array:
        """Seconds of stages and intent heads for a run that ends at exit 0 … S."""
        zeroth = configuration.rule.zeroth is not None
        spent = [self.parts[f"head 0/{bucket}"] if zeroth else 0.0]
        for stage, width in enumerate(configuration.widths, 1):
            graph = next(
                name for wide in range(width, 5) if (name := f"graph {bucket}/{stage}/{wide}") in self.parts
            )
            spent.append(spent[-1] + self.parts[graph] + self.parts[f"head {stage}/{bucket}"])
        return np.array(spent)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is timed: configurations by name, the temperature of every prefix that they use, the texts."""

    ways: Mapping[str, Configuration]
    temperatures: Mapping[Prefix, float]
    texts: Sequence[str]
    rounds: int = ROUNDS


def time_bundle(unpacked: Unpacked, runtime: str, asked: Asked, root: Path, tell: Tell) -> Timing:
    """Time a bundle in a child process of the runtime's environment.

    Raises:
        ToolMissingError: the environment is not there.
        ConversionError: the child died or hung; its last lines are in the message.
    """
    python = python_of(runtime, root)
    neighbours = Neighbours()
    with tempfile.TemporaryDirectory(prefix="ciuic-stopwatch-") as folder:
        place = Path(folder)
        manifest, ways = manifest_with(unpacked.manifest.to_dict(), asked)
        (place / "manifest.json").write_text(json.dumps(manifest), "utf-8")
        job = {
            "folder": str(unpacked.folder.resolve()),
            "sha256": unpacked.sha256,
            "manifest": str(place / "manifest.json"),
            "texts": list(asked.texts),
            "ways": [{"name": way.name, "widths": way.widths, "rule": way.rule} for way in ways],
            "rounds": asked.rounds,
            "answers": str(place / "answers.json"),
        }
        (place / "job.json").write_text(json.dumps(job), "utf-8")
        _run([str(python), "-m", "conversion.study.stopwatch", str(place / "job.json")], root, tell)
        found = json.loads((place / "answers.json").read_text("utf-8"))
    return Timing(
        runtime,
        found["parts"],
        {name: np.array(seconds) for name, seconds in found["answers"].items()},
        neighbours.cores(),
    )


def manifest_with(manifest: dict[str, Any], asked: Asked) -> tuple[dict[str, Any], list[Way]]:
    """The manifest with a rule for every way, calibrated as asked: as if the bundle had shipped them all."""
    stages = int(manifest["stages"])
    full = (max(int(graph["width"]) for graph in manifest["graphs"]),) * stages
    rules: dict[str, Any] = dict(manifest["exit_rules"])
    zeroth: dict[str, float] = dict(manifest.get("zeroth_rules", {}))
    variants: dict[Prefix, dict[str, Any]] = {}
    ways = []
    for number, (name, configuration) in enumerate(asked.ways.items()):
        rule = f"way-{number}"
        thresholds = [*configuration.rule.thresholds]
        rules[rule] = thresholds
        if configuration.rule.zeroth is not None:
            zeroth[rule] = configuration.rule.zeroth
        widths = configuration.widths
        if widths != full:
            temperatures = [asked.temperatures[widths[:depth]] for depth in range(1, stages + 1)]
            fresh = {
                "widths": list(widths),
                "temperatures": temperatures,
                "exit_rules": {},
                "zeroth_rules": {},
            }
            variant = variants.setdefault(widths, fresh)
            variant["exit_rules"][rule] = thresholds
            if rule in zeroth:
                variant["zeroth_rules"][rule] = zeroth[rule]
        ways.append(Way(name, widths, rule))
    heads = [
        {**head, "temperature": asked.temperatures.get(full[: int(head["exit"])], head["temperature"])}
        for head in manifest["heads"]
    ]
    changed = {
        "exit_rules": rules,
        "zeroth_rules": zeroth,
        "variants": list(variants.values()),
        "heads": heads,
    }
    return manifest | changed, ways


def _run(command: Sequence[str], root: Path, tell: Tell) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            tied(command), cwd=root, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        for line in child.stdout:
            tell(float(line))
        try:
            status = child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            msg = f"the stopwatch did not end within {TIMEOUT_S:.0f} s"
            raise ConversionError(msg) from error
        if status:
            errors.seek(0)
            last = " ".join(errors.read().strip().splitlines()[-3:])[-400:]
            msg = f"the stopwatch failed (exit status {status}): {last}"
            raise ConversionError(msg)
