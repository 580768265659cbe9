"""What no build could end with is said by the first look, by its code: nothing is written, no row is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion import pipeline
from conversion.checkpoint import teach
from conversion.checkpoint.course import PLAN, Source, check_room, look_over
from conversion.checkpoint.inspect import inspect
from conversion.checkpoint.listen import listen_checkpoint
from conversion.checkpoint.teach import Method, tunable
from conversion.checkpoint.tokenizer import encode, longest
from conversion.data.workbench import Say, Workbench
from conversion.train import teacher
from conversion.train.teacher import model_folder
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import CiuicError
from tests.conversion import checkpoints

ROWS = [{"text": f"turn {what} lamp {n}", "intent": what} for what in ("on", "off") for n in range(20)]


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Begin a build of these rows with a checkpoint; no row may be drawn before it is refused."""

    def drawn(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(pipeline, "read", drawn)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")

    def run(folder: Path, method: Method = "auto", *, rows: Path = rows, say: Say = lambda _: None) -> None:
        build = tmp_path / "build"
        job = pipeline.Job(
            "mine", PLAN.settings, ("dyn8",), tmp_path, None, build, None, Source(folder, method), (rows,)
        )
        try:
            pipeline.take_course(job, Workbench(build, VirtualClock(), say, {}))
        finally:
            assert not build.exists()

    return run


def broken(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Nonsense"}}')


def cut_short(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:-1000])


def vocabulary_alone(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nlamp\n")


def without_frame(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    pieces = (folder / "vocab.txt").read_text("utf-8")
    (folder / "vocab.txt").write_text(pieces.replace("[CLS]\n", "[BEGIN]\n"), "utf-8")


def no_text(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\xfe\n")


def no_padding_to_count_from(folder: Path) -> None:
    checkpoints.change_config(folder, model_type="roberta")
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | {"pad_token_id": None}))


FAULTS: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "tokenizer of another format": ("qwen2", broken, "checkpoint_invalid", "tokenizer.json is no tokenizer"),
    "tokenizer cut short": ("qwen2", cut_short, "checkpoint_invalid", "tokenizer.json is no tokenizer"),
    "vocabulary alone": ("qwen2", vocabulary_alone, "checkpoint_unsupported", "needs its tokenizer.json"),
    "vocabulary without a frame": ("bert", without_frame, "checkpoint_invalid", "vocab.txt has no [CLS]"),
    "vocabulary of bytes": ("bert", no_text, "checkpoint_invalid", "not UTF-8"),
    "positions from nowhere": ("bert", no_padding_to_count_from, "checkpoint_invalid", "pad_token_id"),
}


def test_a_shard_that_is_missing(begin: Callable[..., None], tmp_path: Path) -> None:
    folder = checkpoints.deepseek_v3(tmp_path / "damaged")
    next(folder.glob("model-00002*")).unlink()
    with pytest.raises(CiuicError, match="shards are missing"):
        begin(folder)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_tokenizer_that_would_not_do(
    fault: str, begin: Callable[..., None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source, damage, code, words = FAULTS[fault]
    folder = checkpoints.copy(request.getfixturevalue(source), tmp_path / "damaged")
    damage(folder)
    with pytest.raises(CiuicError) as caught:
        begin(folder)
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"vocab_size": 20_000}, "checkpoint_invalid", "piece 30521, the checkpoint's table has 20000 rows"),
        ({"max_position_embeddings": 8}, "checkpoint_unsupported", "reads 8 tokens"),
    ],
)
def test_a_table_that_is_too_small(
    changes: dict[str, int], code: str, words: str, begin: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(CiuicError) as caught:
        begin(checkpoints.bert(tmp_path / "small", **changes))
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize("method", ["tune", "probe"])
def test_a_disk_that_is_too_small(
    method: Method, begin: Callable[..., None], bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(CiuicError, match="of disk") as caught:
        begin(bert, method)
    assert caught.value.code == "resources_short"


def test_memory_that_is_too_small(
    begin: Callable[..., None], qwen2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversion.checkpoint.inspect.free_memory_bytes", lambda: 1000)
    with pytest.raises(CiuicError, match="of memory"):
        begin(qwen2)


def test_a_row_that_is_none(begin: Callable[..., None], qwen2: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(CiuicError, match=r"bad.jsonl:1"):
        begin(qwen2, rows=tmp_path / "bad.jsonl")


def test_slots_that_will_be_lost_are_told_at_once(
    begin: Callable[..., None], qwen2: Path, tmp_path: Path
) -> None:
    rows = [{**row, "slots": [[0, 2, "verb"]]} for row in ROWS[:3]]
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said: list[str] = []
    with pytest.raises(AssertionError):  # nothing is wrong: rows are drawn
        begin(qwen2, rows=tmp_path / "some.jsonl", say=said.append)
    assert "3 of 3 slots" in said[0]


def test_what_is_kept_of_a_probe_is_about_what_was_reckoned(
    bert: Path, qwen2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger teacher reads one text for each: its need is that of the rows and one copy. What had begun is not judged."""
    texts = [str(row["text"]) for row in ROWS]
    needs: list[int] = []
    monkeypatch.setattr("conversion.checkpoint.course.check_disk", lambda _, need: needs.append(need))
    looked = look_over(Source(qwen2))
    check_room(looked, PLAN, texts, tmp_path)
    tokens = sum(map(len, encode(looked.checkpoint, texts)))
    depths = 3  # one for each layer
    assert needs == [7 * 4 * 32 * (2 * tokens + depths * len(texts))]
    monkeypatch.setattr("conversion.checkpoint.course.SMALL", 0)
    check_room(looked, PLAN, texts, tmp_path)
    assert needs[1] == needs[0] * 2 / 7
    tuned = look_over(Source(bert))
    check_room(tuned, PLAN, texts, tmp_path)
    assert needs[2] == len(PLAN.runs) * 4 * (tuned.checkpoint.parameters + 30522 * 32)
    (tmp_path / "checkpoint").mkdir()
    check_room(looked, PLAN, texts, tmp_path)
    assert len(needs) == 3


def broken_value(value: float, at: int) -> Callable[[Any], Any]:
    """What puts a value in a tensor's place `at`."""

    def change(tensor: Any) -> Any:
        tensor.view(-1)[at] = value
        return tensor

    return change


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "name", ["model.layers.2.mlp.down_proj.weight", "model.norm.weight", "model.embed_tokens.weight"]
)
def test_weights_that_are_no_numbers(
    name: str, value: float, begin: Callable[..., None], qwen2: Path, tmp_path: Path
) -> None:
    folder = checkpoints.copy(qwen2, tmp_path / "damaged")
    checkpoints.change_tensor(folder, name, broken_value(value, -1))
    with pytest.raises(CiuicError, match=name) as caught:
        begin(folder)
    assert caught.value.code == "checkpoint_invalid"


def test_a_weight_that_is_no_number_between_those_looked_at(
    begin: Callable[..., None], qwen2: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of a few is found when its layer is read; what is tuned is never read by layers, and is looked at whole."""
    folder, name = checkpoints.copy(qwen2, tmp_path / "probed"), "model.layers.1.mlp.down_proj.weight"
    checkpoints.change_tensor(folder, name, broken_value(float("nan"), 1025))
    monkeypatch.setattr("conversion.checkpoint.inspect.LOOKED_AT", 1)
    look_over(Source(folder))
    with pytest.raises(CiuicError, match=name) as caught:
        listen_checkpoint(inspect(folder), ["turn the lamp on"], tmp_path / "cache")
    assert caught.value.code == "checkpoint_invalid"
    folder, name = checkpoints.copy(bert, tmp_path / "tuned"), "embeddings.word_embeddings.weight"
    checkpoints.change_tensor(folder, name, broken_value(float("nan"), 4000))
    with pytest.raises(CiuicError, match=name):
        begin(folder)


def test_rows_that_grow_without_bound(qwen2: Path, tmp_path: Path) -> None:
    """Each weight is a number, what they make of a text is none."""
    folder = checkpoints.copy(qwen2, tmp_path / "huge")
    checkpoints.change_tensor(folder, "model.layers.1.mlp.down_proj.weight", lambda one: one * 1e30)
    checkpoints.change_tensor(folder, "model.layers.1.mlp.up_proj.weight", lambda one: one * 1e30)
    with pytest.raises(CiuicError, match="what layer 1 makes") as caught:
        listen_checkpoint(inspect(folder), ["turn the lamp on"], tmp_path / "cache")
    assert caught.value.code == "checkpoint_invalid"


def test_a_row_of_the_table_that_is_no_number(qwen2: Path, tmp_path: Path) -> None:
    folder, name = checkpoints.copy(qwen2, tmp_path / "table"), "model.embed_tokens.weight"
    (ids,) = encode(inspect(folder), ["lamp"])
    checkpoints.change_tensor(folder, name, broken_value(float("nan"), 32 * ids[-1]))
    with pytest.raises(CiuicError, match=name):
        listen_checkpoint(inspect(folder), ["lamp"], tmp_path / "cache")


def cased(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        raw = json.loads((folder / name).read_text("utf-8"))
        raw |= {"do_lower_case": False} if "config" in name else {}
        if "normalizer" in raw:
            raw["normalizer"]["lowercase"] = False
        (folder / name).write_text(json.dumps(raw), "utf-8")


def cased_by_its_settings(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')


def cased_by_its_pieces(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    pieces = (folder / "vocab.txt").read_text("utf-8")
    (folder / "vocab.txt").write_text(pieces.replace("\nkitchen\n", "\nKitchen\n"), "utf-8")


def accents_kept(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": false}')


def strange_vocabulary(folder: Path) -> None:
    pieces = (folder / "vocab.txt").read_text("utf-8")
    (folder / "vocab.txt").write_text(pieces.replace("[SEP]\n", "[END]\n"), "utf-8")


def longer_vocabulary(folder: Path) -> None:
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("onemore\n")


UNTUNABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "cased": (cased, "capital letters"),
    "cased by its settings": (cased_by_its_settings, "capital letters"),
    "cased by its pieces": (cased_by_its_pieces, "capital letters"),
    "with accents": (accents_kept, "accents"),
    "without a frame": (strange_vocabulary, "[CLS] and [SEP]"),
    "a longer vocab.txt": (longer_vocabulary, "more pieces"),
}


@pytest.mark.parametrize("kind", UNTUNABLE)
def test_what_tuning_would_read_wrongly_is_probed(
    kind: str, bert: Path, begin: Callable[..., None], tmp_path: Path
) -> None:
    """Tuning reads the student's own tokens: lower case, without accents, of `vocab.txt`."""
    damage, words = UNTUNABLE[kind]
    folder = checkpoints.copy(bert, tmp_path / "other")
    assert look_over(Source(folder)).way == "tuned"
    damage(folder)
    assert look_over(Source(folder)).way == "probed"
    assert words in (tunable(inspect(folder)) or "")
    with pytest.raises(CiuicError, match="cannot be tuned") as caught:
        begin(folder, "tune")
    assert caught.value.code == "checkpoint_unsupported"


def test_a_cased_checkpoint_keeps_its_capitals_when_it_is_probed(bert: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy(bert, tmp_path / "other")
    same = encode(inspect(folder), ["Kitchen", "kitchen"])
    assert same[0] == same[1]
    cased(folder)
    other = encode(inspect(folder), ["Kitchen", "kitchen"])
    assert other[0] != other[1] == same[1]


def test_fewer_positions_than_tuning_asks_for(tmp_path: Path) -> None:
    short = checkpoints.bert(tmp_path / "short", max_position_embeddings=64)
    assert longest(inspect(short)) == 64
    assert "64 tokens" in (tunable(inspect(short)) or "")
    assert look_over(Source(short)).way == "probed"
    enough = checkpoints.bert(tmp_path / "enough", max_position_embeddings=teacher.MAX_TOKENS)
    assert look_over(Source(enough)).way == "tuned"


def test_minilm_itself_is_tuned_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = look_over(Source(model_folder()))
    assert looked.way == "tuned"
    tuning_s = looked.usual_s(PLAN)
    assert tuning_s > look_over(Source(model_folder(), "probe")).usual_s(PLAN)
    monkeypatch.setattr(teach, "TUNABLE", 1_000_000)
    assert look_over(Source(model_folder())).way == "probed"
