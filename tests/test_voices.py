"""Names that can be and cannot, and the references that stay."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from model.coach import Progress
from model.profile import MAX_REFERENCES, Profile, check_name
from model.voices import MIXED_COSINE, Voice, coherence, most_useful, quality
from stream.errors import UsageError
from stream.text import safe_text
from tests.people import (
    BASE,
    refused,
    two_people,
    vectors,
)
from tests.talk import voices


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


def around(axis: int, n: int, cosine: float) -> np.ndarray:
    """(n, 32) unit vectors whose cosine to each other is `cosine`."""
    rows = np.zeros((n, 32), np.float32)
    rows[:, axis] = np.sqrt(cosine)
    rows[np.arange(n), axis + 1 + np.arange(n)] = np.sqrt(1 - cosine)
    return rows


def voice_of(rows: np.ndarray, speech_s: float = 3.0) -> Voice:
    return Voice("Ann", rows, np.full(len(rows), speech_s, np.float32), "2025-11-23T09:30:00+00:00", has_audio=False)


def test_quality_is_said_in_a_word() -> None:
    own, other = around(0, 6, 0.7), around(16, 2, 0.7)
    assert quality(voice_of(own)) == "good"
    assert quality(voice_of(own, speech_s=1.6)) == "short"
    assert quality(voice_of(own[:1], speech_s=30)) == "good"  # one long recording has nothing to be unlike
    for strangers in (1, 2):
        for rows in (np.concatenate([own, other[:strangers]]), np.concatenate([other[:strangers], own])):
            assert quality(voice_of(rows)) == "mixed"
    assert quality(voice_of(np.concatenate([own[:1], -own[:1], own[:1]]), speech_s=4)) == "mixed"


def test_a_voice_is_mixed_below_the_threshold_and_not_above() -> None:
    # Two alike references are on one axis; the cosine of a third one to their mean is the threshold, or nearly.
    for step, word in ((-0.01, "mixed"), (0.01, "good")):
        cosine = MIXED_COSINE + step
        rows = np.zeros((3, 8), np.float32)
        rows[:2, 0] = 1
        rows[2, :2] = cosine, np.sqrt(1 - cosine**2)
        voice = voice_of(rows, speech_s=4)
        assert quality(voice) == word
        # While somebody is being enrolled the same is said as afterwards.
        assert Progress(12.0, 12.0, -20.0, 0.0, coherence=coherence(rows, voice.speech_s)).verdict == word


def test_coherence_is_the_cosine_of_the_two_parts_that_differ_most() -> None:
    own, other = around(0, 5, 0.7), around(8, 3, 0.7)
    rows = np.concatenate([own, other])
    seconds = np.linspace(1.5, 4, 8).astype(np.float32)
    parts = seconds[:5] @ own, seconds[5:] @ other
    expected = parts[0] @ parts[1] / np.linalg.norm(parts[0]) / np.linalg.norm(parts[1])
    for order in (np.arange(8), np.arange(8)[::-1], np.random.default_rng(1).permutation(8)):
        assert coherence(rows[order], seconds[order]) == pytest.approx(expected, abs=1e-6)
    assert coherence(rows[:2], seconds[:2]) == pytest.approx(0.7, abs=1e-6)
    assert coherence(rows[[0, 0, 0]], seconds[:3]) == pytest.approx(1.0)
    assert np.isnan(coherence(rows[:1], seconds[:1]))


def test_a_part_of_a_real_voice_that_is_another_is_found() -> None:
    people = voices()
    for one in people:
        assert quality(one) == "good"
        for other in people:
            for n in (1, 3):
                rows = np.concatenate([one.vectors[:3], other.vectors[-n:]])
                assert (quality(voice_of(rows)) == "mixed") == (one is not other), (one.name, other.name, n)
