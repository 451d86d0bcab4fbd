"""Laws of text: nothing that harms a terminal is left in a name, and no name is harmed."""

import unicodedata

import pytest

from stream.records import UNKNOWN
from stream.text import format_probability, safe_text

EVIL = "eve\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.\u2066\u200b\r\n\t\x00\x7f\u2028\ud800"
NAMES = [
    "alice",
    "Zoë",
    "Zoe\u0308",
    "宇宙 大将軍",
    "מרים",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "👩‍🚀",
    UNKNOWN,
]


def harmful(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u200b"]


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_names_stay_as_they_are(name):
    assert safe_text(name) == name


def test_nothing_a_terminal_obeys_is_left_in_a_name():
    every = "".join(map(chr, range(0x110000)))
    assert harmful(safe_text(every)) == []
    assert safe_text(safe_text(EVIL)) == safe_text(EVIL)
    assert len(safe_text(EVIL)) == len(EVIL)  # one for one: what was taken away can be seen


def test_marks_neither_climb_nor_sit_on_what_stands_before():
    assert safe_text("a" + "\u0301" * 50) == "a" + "\u0301" * 4
    assert safe_text("\u0301a")[0] == "\u25cc"


def test_a_probability_keeps_its_width_and_never_claims_certainty():
    shown = [format_probability(p / 1000) for p in range(1001)] + [format_probability(float("nan"))]
    assert {len(text) for text in shown} == {5}
    assert not any("100" in text for text in shown)
