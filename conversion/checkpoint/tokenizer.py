"""A checkpoint's own tokenizer: opened, held against the embedding table, and what it makes of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversion.checkpoint.inspect import TOKENIZER_SETTINGS, VOCABULARY, Checkpoint
from conversion.checkpoint.shards import load_json
from firmware_py.contracts.errors import CheckpointInvalidError, CheckpointUnsupportedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 96  # of the teacher's own, longer than what the student's longest bucket holds
MIN_TOKENS = 16  # fewer positions than a plain sentence has pieces teach nothing
MAX_TOKENIZER_BYTES = 256 * 2**20
FRAME = ("[CLS]", "[SEP]")  # BERT's, around every text
UNKNOWN = "[UNK]"
_FOREIGN = "Tokenizer and weights are of two models: get both from one place."


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The checkpoint's own tokenizer, with the frame that its file describes.

    Raises:
        CheckpointInvalidError: the file is no tokenizer, or has pieces that the table has no rows for.
        CheckpointUnsupportedError: the vocabulary alone is not enough for this architecture.
    """
    from tokenizers import Tokenizer

    path = checkpoint.tokenizer
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        msg = f"{path.name} is larger than {MAX_TOKENIZER_BYTES} bytes"
        raise CheckpointInvalidError(msg)
    if path.name == VOCABULARY:
        made = _from_vocabulary(checkpoint)
    else:
        try:
            made = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            msg = f"{path.name} is no tokenizer: {' '.join(str(error).split())[:120]}"
            raise CheckpointInvalidError(msg) from error
    pieces = made.get_vocab(with_added_tokens=True)
    if not pieces:
        msg = f"{path.name} has no pieces"
        raise CheckpointInvalidError(msg)
    _check_piece(checkpoint, max(pieces.values()))
    made.no_padding()
    made.no_truncation()
    return made


def longest(checkpoint: Checkpoint) -> int:
    """Tokens that a text is cut to: `MAX_TOKENS`, or fewer where the checkpoint has fewer positions.

    Raises:
        CheckpointUnsupportedError: it has next to none.
    """
    positions = checkpoint.architecture.positions
    if positions < MIN_TOKENS:
        msg = f"the checkpoint reads {positions} tokens of a text, {MIN_TOKENS} are needed"
        raise CheckpointUnsupportedError(msg, hint="Take a checkpoint that reads whole sentences.")
    return min(MAX_TOKENS, positions)


def encode(checkpoint: Checkpoint, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """The checkpoint's own tokens of each text, cut to `longest`, its end mark kept.

    Raises:
        CheckpointInvalidError: what `load_tokenizer` finds, or the frame is of pieces that the table has no rows for.
        CheckpointUnsupportedError: what `load_tokenizer` and `longest` find.
    """
    tokenizer, most = load_tokenizer(checkpoint), longest(checkpoint)
    out: list[tuple[int, ...]] = []
    for coded in tokenizer.encode_batch(list(texts)):
        ids, special = coded.ids, coded.special_tokens_mask
        if len(ids) > most:
            ids = [*ids[: most - 1], ids[-1]] if special[-1] else ids[:most]
        out.append(tuple(ids) or (0,))  # a text of nothing still has a row
    _check_piece(checkpoint, max((max(ids) for ids in out), default=0))
    return out


def tells_capitals_apart(checkpoint: Checkpoint) -> bool:
    """Whether capital letters or accents are other letters to it than plain ones.

    Raises:
        CiuicError: what `load_tokenizer` finds.
    """
    normalise = load_tokenizer(checkpoint).normalizer
    return normalise is None or normalise.normalize_str("É") != "e"


def _from_vocabulary(checkpoint: Checkpoint) -> Tokenizer:
    """BERT's tokenizer of its `vocab.txt` alone, as `tokenizer_config.json` says where there is one."""
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    path = checkpoint.tokenizer
    if checkpoint.architecture.name != "bert":
        msg = f"a {path.name} alone is BERT's; this architecture needs its tokenizer.json"
        raise CheckpointUnsupportedError(msg)
    try:
        lines = path.read_text("utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not UTF-8"
        raise CheckpointInvalidError(msg) from error
    pieces = {piece: number for number, piece in enumerate(lines)}
    lost = [piece for piece in (*FRAME, UNKNOWN) if piece not in pieces]
    if lost:
        msg = f"{path.name} has no {' and no '.join(lost)}"
        raise CheckpointInvalidError(msg)
    settings = _settings(checkpoint.folder / TOKENIZER_SETTINGS)
    # A vocabulary with capital letters is of a cased model, also where nothing says so.
    cased = any(piece != piece.lower() for piece in lines if not piece.startswith("["))
    strip = settings.get("strip_accents")
    wrapped = BertWordPieceTokenizer(
        pieces,
        lowercase=bool(settings.get("do_lower_case", not cased)),
        strip_accents=strip if isinstance(strip, bool) else None,
    )
    made: Tokenizer = Tokenizer.from_str(wrapped.to_str())
    return made


def _check_piece(checkpoint: Checkpoint, highest: int) -> None:
    size = int(checkpoint.architecture.raw["vocab_size"])
    if highest >= size:
        msg = f"the tokenizer says piece {highest}, the checkpoint's table has {size} rows"
        raise CheckpointInvalidError(msg, hint=_FOREIGN)


def _settings(path: Path) -> dict[str, Any]:
    """A small JSON object, or an empty one where there is no file."""
    return load_json(path.read_bytes()[:MAX_TOKENIZER_BYTES], path.name) if path.is_file() else {}
