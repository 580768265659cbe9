"""What a bundle says of where it comes from is what the build really read, was taught by and ran with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion import pipeline
from conversion.catalogue import MODELS
from conversion.checkpoint.course import PLAN, Source
from conversion.data.digests import file_sha256
from conversion.data.out_of_scope import load_foreign
from conversion.data.public import SETS
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.export import to_tflite
from conversion.pipeline import Job, where_from
from conversion.staged.command import where_from as staged_from
from conversion.train.course import Course
from conversion.train.distil import Settings
from conversion.train.general import HOME, corpus_texts
from conversion.train.plans import PLANS, Plan
from conversion.train.precision import THREADS
from conversion.train.sources import UNKNOWN, licence_of, minilm_uses
from conversion.train.teaching import Making

CUSTOM = {**PLANS, "custom": PLAN}
MINILM = "all-MiniLM-L6-v2"


def data_of(name: str) -> TaskData:
    rows = (Sentence("turn on", "on"), Sentence("turn off", "off"))
    notes = {"sources": [{"name": "rows", "licence": "CC0-1.0"}]}
    return TaskData(name, name, ("en",), ("off", "on"), (), rows, rows, rows, rows, rows, notes=notes)


def course_of(name: str, general: Path | None = None, log: dict[str, Any] | None = None) -> Course:
    """A course that was taken: only what the provenance looks at is real."""
    logs = ({"parameters": 7, **(log or {})},)
    making = Making() if name.startswith("home") else Making(near=1)
    return Course(data_of(name), (), None, Path(), 1, logs, general, making)  # type: ignore[arg-type]


def job_of(name: str, sets: Path | None, root: Path, teacher: Path | None = None) -> Job:
    source = None if teacher is None else Source(teacher)
    return Job(name, Settings(3), ("dyn8",), root, sets, root, None, teacher=source)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """All public sets, every text with the name of its set."""
    folder = tmp_path / "sets"
    for name in SETS:
        (folder / name).mkdir(parents=True)
        for share, count in (("train", 60), ("val", 4)):
            rows = [{"text": f"{name} {share} {n}", "intent": f"i{n % 2}"} for n in range(count)]
            (folder / name / f"{share}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "general.pt"
    path.write_bytes(b"weights")
    return path


def test_no_corpus_reads_what_a_home_model_is_calibrated_or_judged_on(tmp_path: Path) -> None:
    """Its out-of-scope rows are drawn from the public sets' training texts, anew for each seed."""
    rows = [
        {"text": f"row {number} of {intent}", "intent": f"intent {intent}"}
        for intent in range(10)
        for number in range(40)
    ]
    for name in SETS:
        (tmp_path / name).mkdir()
        for share in ("train", "val"):
            own = [row | {"text": f"{name} {share} {row['text']}"} for row in rows]
            text = "".join(json.dumps(row) + "\n" for row in own)
            (tmp_path / name / f"{share}.jsonl").write_text(text, "utf-8")
    read = {text.lower() for text in corpus_texts(tmp_path, HOME)}
    assert read
    for seed in MODELS["home-en"].seeds:
        foreign = load_foreign(tmp_path, seed)
        assert any("banking77" in row.text for row in foreign.evaluation)
        assert not read & {row.text for row in (*foreign.calibration, *foreign.evaluation)}


@pytest.mark.parametrize("name", CUSTOM)
def test_every_corpus_that_a_plan_reads_is_among_the_sources(
    name: str, sets: Path, weights: Path, tmp_path: Path
) -> None:
    """What the general stage reads is taken from its own texts, not from the list that the sources are made of."""
    plan = CUSTOM[name]
    read = {text.split()[0] for text in corpus_texts(sets, plan.general)}
    assert read
    said = where_from(job_of(name, sets, tmp_path), course_of(name, weights))
    found = {
        source["name"]: source
        for source in said["data"]["sources"]
        if source.get("use") == "general stage, no labels"
    }
    assert set(found) == {f"{one}/train" for one in read}
    for one in read:
        source = found[f"{one}/train"]
        assert source["sha256"] == file_sha256(sets / one / "train.jsonl")
        assert source["licence"] == SETS[one].licence
        assert source["source"].startswith("github.com/")
    assert set(said["general_stage"]["sets"]) == read
    assert said["general_stage"]["sha256"] == file_sha256(weights)
    assert (said["general_stage"]["augmented"], said["general_stage"]["covered"]) == (
        plan.general.augmented,
        plan.general.covered,
    )
    assert plan.general.covered > 0
    assert {"name": "rows", "licence": "CC0-1.0"} in said["data"]["sources"]


def test_without_a_general_stage_that_is_what_the_provenance_says(sets: Path, tmp_path: Path) -> None:
    said = where_from(job_of("hwu64", sets, tmp_path), course_of("hwu64"))
    assert said["general_stage"] is None
    assert all("general stage" not in str(source.get("use")) for source in said["data"]["sources"])


def test_threads_and_every_converter_s_version_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "tool_version", lambda _root: "1.2.3")
    said = where_from(job_of("hwu64", None, tmp_path), course_of("hwu64"))
    assert said["threads"] == THREADS
    assert said["versions"]["onnx2tf"] == "1.2.3"
    assert {"torch", "onnx-ir", "ai-edge-quantizer", "python"} <= set(said["versions"])
    assert said["settings"]["seed"] == 3
    assert said["texts_made"] == {"near": 1, "crossed": 0, "covered": 0}
    assert said["cpu"]["machine"]


def test_the_converter_s_version_is_what_its_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(to_tflite.ENVIRONMENT, raising=False)
    assert to_tflite.tool_version(tmp_path) == "2.6.9 (of the cache: no environment says its own)"
    root = Path(__file__).parents[2]
    if not (root / ".venvs" / "convert").is_dir():
        pytest.skip("needs .venvs/convert: `make setup-train`")
    assert to_tflite.tool_version(root) == to_tflite.VERSION


def teachers_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [source for source in said["data"]["sources"] if "teacher" in str(source.get("use")).split(", ")]


def test_minilm_is_the_teacher_where_it_taught(tmp_path: Path) -> None:
    (teacher,) = teachers_of(where_from(job_of("hwu64", None, tmp_path), course_of("hwu64")))
    assert teacher["name"].startswith(MINILM)
    assert teacher["licence"] == "Apache-2.0"


def test_home_multi_was_taught_by_a_model_of_its_own(tmp_path: Path) -> None:
    said = where_from(job_of("home-multi", None, tmp_path), course_of("home-multi"))
    own, minilm = said["data"]["sources"][:2]
    assert own["use"].startswith("teacher")
    assert own["parameters"] == 7
    assert minilm["name"].startswith(MINILM)
    assert minilm["use"] == "English words of the vocabulary, start of the word table"


def test_a_checkpoint_that_taught_is_named_and_minilm_only_for_what_it_was_used_for(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "config.json").write_text("{}", "utf-8")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}', "utf-8")
    log = {"method": "probed", "architecture": "qwen2", "sha256_of_headers_and_samples": "ab"}

    def taught() -> tuple[dict[str, Any], dict[str, Any]]:
        course = course_of("mine", log=log)
        said = where_from(job_of("mine", None, tmp_path, folder), course)
        (teacher,) = teachers_of(said)
        return teacher, said["data"]["sources"][1]

    teacher, minilm = taught()
    assert (teacher["name"], teacher["architecture"], teacher["licence"]) == ("deep", "qwen2", UNKNOWN)
    assert teacher["sha256_of"] == ["config.json", "model.safetensors.index.json"]
    assert teacher["sha256_of_headers_and_samples"] == "ab"
    assert minilm["use"] == "word pieces, start of the word table, near neighbours of training texts"
    (folder / "config.json").write_text('{"hidden_size": 8}', "utf-8")
    assert taught()[0]["sha256"] != teacher["sha256"]


@pytest.mark.parametrize(
    ("name", "checkpoint", "general", "uses"),
    [
        ("hwu64", False, True, {"teacher", "word pieces", "near neighbours of training texts", "words that stand in for others", "teacher of the general stage"}),
        ("hwu64", True, True, {"word pieces", "near neighbours of training texts", "words that stand in for others", "teacher of the general stage"}),
        ("home-en", False, False, {"teacher", "word pieces", "words of invented names"}),
        ("home-multi", False, True, {"English words of the vocabulary", "teacher of the general stage", "near neighbours of training texts", "words that stand in for others"}),
        ("home-multi", True, False, {"word pieces"}),
    ],
)  # fmt: skip
def test_uses_of_minilm(name: str, *, checkpoint: bool, general: bool, uses: set[str]) -> None:
    plan: Plan = PLANS[name]
    said = minilm_uses(plan, name, plan.making, checkpoint=checkpoint, general=general)
    assert set(said) == uses | {"start of the word table"}
    near, strange = "near neighbours of training texts", "words that stand in for others"
    for making, made in (
        (Making(near=1), {near}),
        (Making(covered=1), {strange}),
        (Making(crossed=1), set()),
    ):
        found = minilm_uses(plan, name, making, checkpoint=checkpoint, general=False)
        assert set(found) & {near, strange} == made
        found = minilm_uses(plan, name, making, checkpoint=checkpoint, general=True)
        assert {near, strange} <= set(found), "the general stage makes both"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, UNKNOWN),
        ({"README.md": "# A model\nlicense: mit\n"}, UNKNOWN),  # prose is no model card
        ({"README.md": "---\nlicense: apache-2.0\ntags: []\n---\n# A model\n"}, "apache-2.0 (its README says)"),
        ({"README.md": "---\nlicense: other\nlicense_name: deepseek\n---\n"}, "deepseek (its README says)"),
        ({"README.md": "---\nlicense: other\n---\n", "LICENSE": "\n  MIT License\n\nText"}, "MIT License (its LICENSE says)"),
        ({"README.md": "---\nlicense: other\n---\n"}, UNKNOWN),
        ({"LICENSE.md": "# Model licence 1.0\n"}, "Model licence 1.0 (its LICENSE.md says)"),
        ({"README.md": "---\nlicense:\n---\n"}, UNKNOWN),
        ({"LICENSE": ""}, UNKNOWN),
    ],
)  # fmt: skip
def test_a_licence_is_what_the_checkpoint_says_or_unknown(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert licence_of(tmp_path) == said


def test_a_staged_minilm_says_seed_cpu_versions_and_licence() -> None:
    said = staged_from(data_of("hwu64"), {"run": {"seed": 1}}, "2.6.9")
    assert said["settings"]["seed"] == 0
    assert said["teachers"] == [{"run": {"seed": 1}}]
    assert said["versions"]["onnx2tf"] == "2.6.9"
    assert set(said["cpu"]) == {"machine", "model", "flags"}
    encoder = said["data"]["sources"][0]
    assert encoder["name"].startswith(MINILM)
    assert encoder["licence"] == "Apache-2.0"
    assert {"name": "rows", "licence": "CC0-1.0"} in said["data"]["sources"]
    assert set(said["data"]["splits"]) == {"train", "selection", "temperature", "thresholds", "report"}
