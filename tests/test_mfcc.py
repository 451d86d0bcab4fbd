"""MFCC: equal to librosa's, and the same however the sound is cut. And who of them is speech, for training."""

import functools
import itertools

import librosa
import numpy as np
import pytest

from model.corpus import read_audio
from model.feature_store import clip_rows, mel_filter_bank
from stream.demonstration import CONVERSATION
from stream.errors import UsageError
from stream.mfcc import Mfcc, MfccConfig
from stream.records import Block
from tests.parity import assert_streams_alike, run, split_block

CONFIG = MfccConfig()


@pytest.fixture(scope="module")
def filter_bank() -> np.ndarray:
    return librosa.filters.mel(
        sr=16_000, n_fft=CONFIG.n_fft, n_mels=CONFIG.n_mels, fmin=CONFIG.fmin_hz, fmax=CONFIG.fmax_hz
    )


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A buzz that changes its pitch and falls silent for a while, in soft noise: 1.3 s and a bit."""
    rng = np.random.default_rng(7)
    t = np.arange(20_817) / 16_000
    buzz = sum(np.sin(2 * np.pi * k * 120 * (1 + 0.2 * t) * t) / k for k in range(1, 20))
    buzz[9_000:12_000] = 0
    return (0.1 * buzz + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def _rows(records: list) -> dict[str, np.ndarray]:
    for before, after in itertools.pairwise(records):
        assert after.start == before.start + 160 * len(before.mfcc)
    return {"start": np.array([records[0].start]), "mfcc": np.concatenate([r.mfcc for r in records])}


def test_mfcc_is_librosas_and_does_not_depend_on_the_cut(filter_bank, sound):
    whole = assert_streams_alike(
        lambda: Mfcc(CONFIG, filter_bank),
        functools.partial(split_block, Block(480, sound)),
        len(sound),
        hop=160,
        gather=_rows,
        atol=1e-5,
    )
    mel = librosa.feature.melspectrogram(
        y=sound.astype(np.float64),
        sr=16_000,
        n_fft=CONFIG.n_fft,
        win_length=CONFIG.win_length,
        hop_length=CONFIG.hop_length,
        n_mels=CONFIG.n_mels,
        fmin=CONFIG.fmin_hz,
        fmax=CONFIG.fmax_hz,
        center=False,
    )
    reference = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=CONFIG.n_mfcc).T
    np.testing.assert_allclose(whole["mfcc"], reference, atol=1e-4)
    assert whole["start"] == 480


def test_digital_silence_is_finite(filter_bank):
    (rows,) = run(Mfcc(CONFIG, filter_bank), [Block(0, np.zeros(4_000, np.float32))])
    np.testing.assert_allclose(rows.mfcc[:, 0], -100 * np.sqrt(CONFIG.n_mels), rtol=1e-6)
    np.testing.assert_allclose(rows.mfcc[:, 1:], 0, atol=1e-4)


def test_a_row_waits_no_longer_than_the_latency_says(filter_bank, sound):
    stage, given = Mfcc(CONFIG, filter_bank), 0
    for at, sample in enumerate(sound[:4_000]):
        given += sum(len(f.mfcc) for f in stage.push(Block(at, np.array([sample]))))
        assert given >= max(0, (at + 1 - stage.latency_samples) // 160)


def test_every_row_is_told_whether_it_is_speech():
    samples = read_audio(CONVERSATION)[: 8 * 16_000]
    bank = mel_filter_bank(CONFIG)
    rows, speech = clip_rows(samples, CONFIG, bank)
    assert len(rows) == len(speech) == 1 + (len(samples) - CONFIG.n_fft) // CONFIG.hop_length
    loud = rows[:, 0] > np.percentile(rows[:, 0], 60)
    assert speech[loud].mean() > 0.8
    assert speech[rows[:, 0] < np.percentile(rows[:, 0], 10)].mean() < 0.3
    # A chunk of 32 ms has three rows or four.
    changes = np.flatnonzero(np.diff(speech))
    assert set(np.diff(changes)) <= {3, 4, 6, 7, 10}


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="n_mfcc <= n_mels"):
        MfccConfig(n_mfcc=80)
    with pytest.raises(UsageError, match="expected a filter bank of shape"):
        Mfcc(CONFIG, np.zeros((3, 4)))
