"""What a process of its own has heard is what is heard here, to the bit; where it cannot, that is said."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.encoder import Encoder
from model.hearing import COPIES, Heard, listen, overhear
from tests.talk import NAMES, encoder, kept_speech, weights

SEED = 7


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [kept_speech()[name][0] for name in NAMES[:2]]


def numbers(heard: Heard) -> list[tuple[int, float, bytes]]:
    return [(hop.start, hop.speech, hop.sums.tobytes()) for copies in heard for hops in copies for hop in hops]


def test_another_process_hears_the_same_to_the_bit_and_leaves_the_same_generator(recordings: list[np.ndarray]) -> None:
    told: list[tuple[int, int]] = []
    with overhear(recordings, encoder(), SEED, lambda *done: told.append(done)) as answer:
        found = answer()
    assert found is not None
    heard, after = found
    rng = np.random.default_rng(SEED)
    here = listen(recordings, encoder(), rng)
    assert [len(copies) for copies in heard] == [COPIES] * len(recordings)
    assert numbers(heard) == numbers(here)
    assert all(hop.sums.dtype == np.float64 for copies in heard for hops in copies for hop in hops)
    assert after.random() == rng.random()
    assert told == [(1, 2), (2, 2)]


def test_a_process_that_fails_or_cannot_be_started_is_no_answer(
    recordings: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Encoder(replace(weights(), folder=tmp_path))  # there are no weights for it to load
    with overhear(recordings, elsewhere, SEED, lambda *_: None) as answer:
        assert answer() is None
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no Python"))
    with overhear(recordings, encoder(), SEED, lambda *_: None) as answer:
        assert answer() is None


def test_who_gives_up_waits_for_nothing(recordings: list[np.ndarray]) -> None:
    with pytest.raises(KeyboardInterrupt), overhear(recordings * 40, encoder(), SEED, lambda *_: None) as answer:
        raise KeyboardInterrupt
    assert answer() is None  # it was killed before it had heard an hour of speech
