"""Names that can be and cannot, and the references that stay."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from model.profile import MAX_REFERENCES, Profile, check_name
from model.voices import most_useful
from stream.errors import UsageError
from stream.text import safe_text
from tests.people import (
    BASE,
    refused,
    two_people,
    vectors,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_people(tmp_path / "profile")


GOOD = [
    "Ann",
    "Ann-Marie O'Neill jr.",
    "Zoë",
    "宇宙 大将軍",
    "מרים",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "प्रिया",
    "👩‍🚀",
    "7",
    "guest",
    "guest-x",
    "unknown person",
    "x" * 64,
]
BAD = [
    "",
    " \t\n",
    "\u3000",
    "a\x00b",
    "a\x1b[31m",
    "a\nb",
    "a\tb",
    "a\x9bb",
    "\u202eevil",
    "a\u2066b\u2069",
    "\u200fa",
    "\u200b",
    "\u200d",
    "\u3164",
    "\u2800",
    "\ufe0f",
    "a\u2028b",
    "\ufeffAnn",
    "\ud800",
    "Z" + "\u0300" * 20,
    "\u0301",
    "x" * 65,
    "unknown",
    "UNKNOWN",
    "un\u200dknown",
    "\uff55nknown",
    "guest-1",
    "Guest-27",
    "<NA>",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "a\uff0fb",
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_in_any_script_is_kept(name, tmp_path):
    assert check_name(f"  {unicodedata.normalize('NFD', name)} ") == unicodedata.normalize("NFC", name)
    assert safe_text(check_name(name)) == check_name(name)  # whatever is shown of it is the name
    Profile(tmp_path, BASE).add(name, vectors(1), [1, 1, 1])
    assert Profile(tmp_path, BASE).voices[0].name == check_name(name)


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_is_refused_in_one_line_and_nothing_is_lost(name, folder):
    profile = Profile(folder, BASE)
    before = (folder / "profile.json").read_bytes()
    for call in (lambda: profile.add(name, vectors(1), [1, 1, 1]), lambda: profile.rename("Ann", name)):
        with pytest.raises(UsageError) as error:
            call()
        refused(error)
    assert (folder / "profile.json").read_bytes() == before


@pytest.mark.parametrize(
    ("first", "second"),
    [("Ann", "ann"), ("Straße", "STRASSE"), ("Zoë", "Zoe\u0308"), ("Ann Lee", "Ann\u00a0 Lee"), ("\uff21nn", "ann")],
)
def test_names_that_look_alike_are_one_person(first, second, tmp_path):
    profile = Profile(tmp_path, BASE)
    profile.add(first, vectors(1), [1, 1, 1])
    profile.add(second, vectors(2), [1, 1, 1])
    assert [(voice.name, len(voice.vectors)) for voice in profile.voices] == [(first, 6)]


@pytest.mark.parametrize("n", [1, 9, 10, 11, 40])
def test_the_useful_references_are_those_of_the_slow_way(n):
    rng = np.random.default_rng(n)
    pool, speech_s = vectors(n, n=n, d=4), rng.choice([1, 2, 3], n).astype(np.float32)
    kept = list(range(n))
    while len(kept) > MAX_REFERENCES:
        pairs = [(float(pool[a] @ pool[b]), a, b) for a in kept for b in kept if a < b]
        _, a, b = max(pairs)
        kept.remove(a if speech_s[a] <= speech_s[b] else b)
    assert most_useful(pool, speech_s) == kept


def test_the_same_reference_again_replaces_itself_and_not_another():
    twice = np.concatenate([vectors(3, n=10), vectors(3, n=1)])
    assert most_useful(twice, np.ones(11, np.float32)) == list(range(1, 11))
