"""A command that is negated is none, in eight languages; questions, reminders and names with such words are untouched."""

from __future__ import annotations

import pytest

from firmware_py.tasks.small_words import small_words

LANGUAGES = ("en", "de", "fr", "es", "nl", "it", "pl", "zh")
ALL = small_words(frozenset(LANGUAGES))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "do not turn off the heating"),
        ("en", "don't turn on the lamp"),
        ("en", "Please don’t open the garage"),
        ("en", "never open the garage door"),
        ("en", "hey, do not turn on the fan"),
        ("de", "mach das Licht nicht an"),
        ("de", "bitte nicht die Heizung ausschalten"),
        ("de", "nie das Tor öffnen"),
        ("fr", "n'allume pas la lampe"),
        ("fr", "ne ferme jamais la porte"),
        ("fr", "s'il te plaît, ne pas éteindre"),
        ("es", "no apagues la luz"),
        ("es", "por favor no me apagues la luz"),
        ("es", "nunca abras la puerta"),
        ("nl", "doe het licht niet aan"),
        ("it", "non accendere la luce"),
        ("pl", "nie włączaj światła"),
        ("pl", "proszę nie otwieraj drzwi"),
        ("zh", "不要开灯"),
        ("zh", "请别开灯"),
        ("zh", "请不要打开窗帘"),
    ],
)
def test_a_negated_command(language: str, text: str) -> None:
    assert small_words(frozenset([language])).negate(text)
    assert ALL.negate(text)


@pytest.mark.parametrize(
    "text",
    [
        "is the front door not locked",
        "which doors are not closed",
        "don't forget to turn off the lamp",
        "do not disturb on",
        "never mind",
        "don't",
        "no, turn it off",
        "no more lights in the kitchen",
        "i don't want any light on here",  # a way to say "off"
        "turn on lamp no 5",
        "set a timer for not too long",
        "broadcast do not open the door",
        "ist die Tür nicht abgeschlossen",
        "vergiss nicht das Licht auszumachen",
        "est-ce que la porte n'est pas fermée",
        "n'oublie pas d'éteindre la lumière",
        "no, apaga la luz",
        "no hagas caso",
        "is de deur niet op slot",
        "no ustaw jasność na maksa",  # a Polish "well"
        "odtwórz chłopaki nie płaczą",  # a film
        "要不要开灯",
        "别墅的灯开一下吗",
        "",
    ],
)
def test_what_only_has_such_a_word(text: str) -> None:
    assert not ALL.negate(text)


def test_a_language_has_its_own_words_only() -> None:
    assert not small_words(frozenset(["en"])).negate("mach das Licht nicht an")
    assert not small_words(frozenset(["xx"])).negate("do not")
