"""A record is what a frozen dataclass is, but for the guard that only the type checker keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from firmware_py.contracts.records import record


@record(frozen=True, slots=True)
class _Said:
    word: str
    number: int = 0
    secret: str = field(default="s", repr=False)
    where: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class _Model:
    word: str
    number: int = 0
    secret: str = field(default="s", repr=False)
    where: list[int] = field(default_factory=list, compare=False)


@record(frozen=True, slots=True)
class _Single:
    word: str


@record(frozen=True, slots=True)
class _Nothing:
    pass


def test_equality_and_hash_are_of_what_is_compared() -> None:
    one, same = _Said("a", 1, where=[1]), _Said("a", 1, where=[2])
    assert one == same
    assert hash(one) == hash(same)
    assert one != _Said("a", 2)
    assert one != _Said("a", 1, "other")
    assert len({_Single("a"), _Single("a"), _Single("b"), _Nothing(), _Nothing()}) == 3


def test_one_of_another_class_is_another() -> None:
    said: object = _Said("a")
    assert said != _Model("a")
    assert said != "a"


def test_its_form_leaves_out_what_is_not_to_be_shown() -> None:
    assert repr(_Said("a", 1, "hush")) == repr(_Model("a", 1, "hush")).replace("_Model", "_Said")
    assert repr(_Nothing()) == "_Nothing()"


def test_it_is_a_dataclass_with_slots() -> None:
    said = _Said("a", where=[1])
    assert asdict(said) == {"word": "a", "number": 0, "secret": "s", "where": [1]}
    assert replace(said, number=3) == _Said("a", 3)
    assert not hasattr(said, "__dict__")
