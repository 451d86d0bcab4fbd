"""Made sounds: they are sounds, no two alike, the same for the same seed, and no voices."""

from pathlib import Path

import numpy as np
import pytest

from model.corpus import read_audio
from model.made_noise import KINDS, make_noise, write_noises
from model.silero import speech_of_rows
from stream.clock import SAMPLE_RATE
from stream.mfcc import MfccConfig


@pytest.mark.parametrize("kind", sorted(set(KINDS), key=lambda kind: kind.__name__))
def test_a_sound_is_loud_enough_and_its_own(kind):
    first, again, other = (make_noise(kind, seed=(seed,)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert len(first) == 5 * SAMPLE_RATE
    assert np.abs(first).max() == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first, other)[0, 1]) < 0.5


def test_hardly_any_of_it_is_taken_for_speech():
    config = MfccConfig()
    sounds = [make_noise(kind, seed=(i,)) for i in range(4) for kind in KINDS]
    assert np.mean([speech_of_rows(sound, config).mean() for sound in sounds]) < 0.15


def test_files_are_written_once(tmp_path: Path):
    files = write_noises(tmp_path / "noise", 3, seed=5)
    assert len({read_audio(file).tobytes() for file in files}) == 3
    before = [file.stat().st_mtime_ns for file in files]
    assert write_noises(tmp_path / "noise", 3, seed=5) == files
    assert [file.stat().st_mtime_ns for file in files] == before
