"""The encoder: streamed in any pieces it is the same, its windows are what they say, and it tells voices apart."""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import soxr

from model import Encoder
from model.encoder import WINDOW_HOPS, FrameLayers, HopSums, Pooling
from model.scoring import Scorer, centroid
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError, UsageError, WeightsError
from stream.records import UNKNOWN, Block, Embedding, Frames, Scores
from tests.parity import assert_streams_alike, run
from tests.talk import NAMES, conversation, encoder, reading, voices, weights

HOP_FRAMES = HOP_SAMPLES // 160


class Joined:
    """Stages, one behind the other, as one stage."""

    def __init__(self, *stages: Any) -> None:
        self._stages = stages

    def push(self, record: Any) -> list[Any]:
        return self._through([record], 0)

    def flush(self) -> list[Any]:
        return [out for at, stage in enumerate(self._stages) for out in self._through(stage.flush(), at + 1)]

    def _through(self, records: list[Any], at: int) -> list[Any]:
        for stage in self._stages[at:]:
            records = [out for record in records for out in stage.push(record)]
        return records


def whole_frames(samples: np.ndarray) -> Frames:
    [frames] = run(encoder().mfcc(), [Block(0, samples)])
    return frames


def cut_frames(frames: Frames) -> Callable[[Sequence[int]], list[Frames]]:
    def pieces(sizes: Sequence[int]) -> list[Frames]:
        edges = [0, *itertools.accumulate(sizes)]
        assert edges[-1] == len(frames.mfcc)
        return [Frames(160 * a, frames.mfcc[a:b].copy()) for a, b in itertools.pairwise(edges)]

    return pieces


def of_hops(hops: list[HopSums]) -> dict[str, np.ndarray]:
    return {
        "start": np.array([hop.start for hop in hops]),
        "sums": np.stack([hop.sums for hop in hops]),
        "speech": np.array([hop.speech for hop in hops]),
    }


def of_embeddings(embeddings: list[Embedding]) -> dict[str, np.ndarray]:
    return {
        "start": np.array([e.start for e in embeddings]),
        "vectors": np.stack([e.vectors for e in embeddings]),
        "speech_s": np.stack([e.speech_s for e in embeddings]),
        "speech": np.array([e.speech for e in embeddings]),
    }


def of_scores(scores: list[Scores]) -> dict[str, np.ndarray]:
    return {
        "start": np.array([s.start for s in scores]),
        "llr": np.stack([s.llr for s in scores]),
        "probabilities": np.stack([s.probabilities for s in scores]),
        "speech": np.array([s.speech for s in scores]),
    }


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Speech, a pause, and another voice; the last hop is not whole."""
    return whole_frames(conversation(3.5, 7.95))


# -- the parity law --------------------------------------------------------------------------------------------------


def test_frame_layers_stream_alike(frames: Frames) -> None:
    n = len(frames.mfcc)
    assert n % HOP_FRAMES
    whole = assert_streams_alike(
        lambda: FrameLayers(encoder().weights), cut_frames(frames), n, hop=HOP_FRAMES, gather=of_hops, atol=1e-5
    )
    np.testing.assert_array_equal(whole["start"], HOP_SAMPLES * np.arange(n // HOP_FRAMES + 1))


@pytest.mark.parametrize("joined", [False, True])
def test_pooling_and_the_streaming_encoder_stream_alike_and_are_one(frames: Frames, joined: bool) -> None:
    weights = encoder().weights

    def make() -> Any:
        return encoder().stream() if joined else Joined(FrameLayers(weights), Pooling(weights))

    whole = assert_streams_alike(
        make, cut_frames(frames), len(frames.mfcc), hop=HOP_FRAMES, gather=of_embeddings, atol=1e-5
    )
    assert whole["vectors"].shape[1:] == (len(WINDOW_HOPS), encoder().size)
    lengths = np.linalg.norm(whole["vectors"], axis=2)
    np.testing.assert_allclose(lengths, np.where(whole["speech_s"] < 0.1, 0, 1), atol=1e-5)
    assert (lengths > 0).mean() > 0.8


def test_scorer_streams_alike(frames: Frames) -> None:
    whole = assert_streams_alike(
        lambda: Joined(encoder().stream(), Scorer(voices(), weights())),
        cut_frames(frames),
        len(frames.mfcc),
        hop=HOP_FRAMES,
        gather=of_scores,
        atol=1e-4,
    )
    assert whole["probabilities"].shape[1] == len(NAMES) + 1
    np.testing.assert_allclose(whole["probabilities"].sum(axis=1), 1, atol=1e-5)
    assert np.all(whole["llr"][:, :, -1] == 0)  # UNKNOWN is what the others are compared with


def test_from_samples_to_embeddings_streams_alike() -> None:
    samples = conversation(3.5, 6.5)

    def pieces(sizes: Sequence[int]) -> list[Block]:
        edges = [0, *itertools.accumulate(sizes)]
        return [Block(a, samples[a:b]) for a, b in itertools.pairwise(edges)]

    assert_streams_alike(
        lambda: Joined(encoder().mfcc(), encoder().stream()),
        pieces,
        len(samples),
        hop=HOP_SAMPLES,
        gather=of_embeddings,
        atol=1e-4,
    )


def test_context_is_carried_from_hop_to_hop() -> None:
    # The same steps are pooled whichever frames share a hop: what a step sees does not end where its hop begins.
    frames = whole_frames(conversation(0.8, 5))
    totals = []
    for dropped in (0, 10, 30):
        hops = run(FrameLayers(encoder().weights), [Frames(0, frames.mfcc[dropped:])])
        settled = hops[20 - dropped // 10 : 40 - dropped // 10]
        totals.append(np.sum([hop.sums for hop in settled], axis=0))
    assert totals[0][0] > 10
    for other in totals[1:]:
        np.testing.assert_allclose(other, totals[0], rtol=1e-3, atol=1e-2)


def test_two_streams_do_not_disturb_each_other(frames: Frames) -> None:
    alone = of_embeddings(run(encoder().stream(), [frames]))
    one, two = encoder().stream(), encoder().stream()
    got = []
    for piece in cut_frames(frames)([HOP_FRAMES] * (len(frames.mfcc) // HOP_FRAMES) + [len(frames.mfcc) % HOP_FRAMES]):
        got += one.push(piece)
        two.push(Frames(piece.start, piece.mfcc[::-1].copy()))
    got += one.flush()
    for key, value in of_embeddings(got).items():
        np.testing.assert_array_equal(value, alone[key], err_msg=key)


# -- windows ---------------------------------------------------------------------------------------------------------


def test_threads_do_not_disturb_each_other() -> None:
    sounds = [reading(name) for name in NAMES] * 2
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda samples: encoder().hops(samples, sample_rate=SAMPLE_RATE), sounds))
    for samples, hops in zip(sounds, together, strict=True):
        alone = encoder().hops(samples, sample_rate=SAMPLE_RATE)
        np.testing.assert_array_equal([hop.sums for hop in hops], [hop.sums for hop in alone])


def test_a_window_is_the_pooling_of_its_hops_back_to_the_last_pause() -> None:
    hops = encoder().hops(conversation(0.5, 12), sample_rate=SAMPLE_RATE)
    pooling = Pooling(encoder().weights)
    got = [embedding for hop in hops for embedding in pooling.push(hop)]
    reference = Pooling(encoder().weights)
    begins = 0
    quiet = 0
    pauses = 0
    for at, (hop, embedding) in enumerate(zip(hops, got, strict=True)):
        quiet = quiet + 1 if hop.speech < 0.3 else 0
        if quiet >= 3:
            begins = at
            pauses += 1
        for row, length in enumerate(WINDOW_HOPS):
            window = hops[max(begins, at + 1 - length) : at + 1]
            vectors, seconds = reference.embed(np.sum([h.sums for h in window], axis=0)[None])
            np.testing.assert_allclose(embedding.vectors[row], vectors[0], atol=1e-5)
            np.testing.assert_allclose(embedding.speech_s[row], seconds[0], atol=1e-5)
    assert pauses > 3


def test_a_window_of_any_doubling_is_the_sum_of_its_hops() -> None:
    weights = encoder().weights
    draw = np.random.default_rng(0)
    # Silence from hop 200 to 204: a pause begins the windows anew.
    hops = [
        HopSums(i * HOP_SAMPLES, draw.random(Pooling(weights).n_sums), 0.0 if 200 <= i < 205 else 1.0)
        for i in range(400)
    ]
    windows = (5, 40, 160)
    pooling = Pooling(weights, windows)
    for i, hop in enumerate(hops):
        (embedding,) = pooling.push(hop)
        first = 204 if i >= 204 else i if i >= 202 else 0
        for row, length in enumerate(windows):
            window = hops[max(first, i + 1 - length) : i + 1]
            vectors, seconds = pooling.embed(np.sum([each.sums for each in window], axis=0)[None])
            np.testing.assert_allclose(embedding.vectors[row], vectors[0], atol=1e-5)
            np.testing.assert_allclose(embedding.speech_s[row], seconds[0], rtol=1e-5)
    with pytest.raises(ValueError, match="30 is not in"):
        Pooling(weights, (5, 30))


def test_seconds_of_speech_are_seconds() -> None:
    pooling = Pooling(encoder().weights)
    hops = encoder().hops(conversation(5.9, 9.9), sample_rate=SAMPLE_RATE)
    for hop in hops:
        (newest,) = pooling.push(hop)
        assert np.all(newest.speech_s <= np.array(WINDOW_HOPS) / 10 + 1e-3)
    assert newest.speech_s[-1] == pytest.approx(sum(hop.speech for hop in hops) / 10, abs=0.2)
    assert newest.speech_s[-1] > 3


# -- a whole recording -----------------------------------------------------------------------------------------------


def test_an_embedding_has_the_shape_type_and_length_that_are_promised() -> None:
    vector = Encoder.load().embed(reading("Rob"), sample_rate=16_000)
    assert vector.shape == (encoder().size,)
    assert 128 <= encoder().size <= 256
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(vector, encoder().embed(reading("Rob").astype(np.float64), sample_rate=16_000))


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_the_recording_hardly_matters(name: str) -> None:
    samples = reading(name)[: 8 * SAMPLE_RATE]
    at_16_khz = encoder().embed(samples, sample_rate=SAMPLE_RATE)
    for rate in (48_000, 44_100):
        other = encoder().embed(soxr.resample(samples, SAMPLE_RATE, rate), sample_rate=rate)
        assert at_16_khz @ other > 0.99


def test_the_level_of_the_recording_hardly_matters() -> None:
    samples = reading("Sally")[: 8 * SAMPLE_RATE]
    loud = encoder().embed(samples, sample_rate=SAMPLE_RATE)
    assert loud @ encoder().embed(samples / 4, sample_rate=SAMPLE_RATE) > 0.8


def test_a_voice_is_most_like_itself() -> None:
    half = 8 * SAMPLE_RATE
    early = np.stack([encoder().embed(reading(name)[:half], sample_rate=SAMPLE_RATE) for name in NAMES])
    late = np.stack([encoder().embed(reading(name)[half:], sample_rate=SAMPLE_RATE) for name in NAMES])
    alike = early @ late.T
    same, different = np.diag(alike), alike[~np.eye(len(NAMES), dtype=bool)]
    assert same.min() > different.max() + 0.1


@pytest.mark.parametrize("n", [0, 100, SAMPLE_RATE])
def test_silence_has_no_voice(n: int) -> None:
    with pytest.raises(EnrolmentError, match=r"expected speech, heard none in .* s; speak closer"):
        encoder().embed(np.zeros(n, np.float32), sample_rate=SAMPLE_RATE)


def test_a_rate_that_cannot_be_listened_to_is_refused() -> None:
    with pytest.raises(UsageError, match="4000"):
        encoder().embed(reading("Rob"), sample_rate=4_000)


def test_weights_that_are_not_there_are_refused(tmp_path: Any) -> None:
    with pytest.raises(WeightsError):
        Encoder.load(tmp_path)


# -- scores ----------------------------------------------------------------------------------------------------------


def test_more_speech_says_more() -> None:
    # A voice that is the person's speaks for them once it is heard at all; one that is at a right angle to it
    # speaks the more against them the longer it is heard.
    scorer = Scorer(voices(), weights())
    rob = NAMES.index("Rob")
    same = encoder().embed(reading("Rob"), sample_rate=SAMPLE_RATE)
    other = np.random.default_rng(5).standard_normal(len(same)).astype(np.float32)
    person = centroid(voices()[rob])
    other -= (other @ person) * person
    other /= np.linalg.norm(other)

    def evidence(vector: np.ndarray, seconds: float) -> float:
        speech_s = np.full(len(WINDOW_HOPS), seconds, np.float32)
        (scores,) = scorer.push(Embedding(0, np.tile(vector, (len(WINDOW_HOPS), 1)), speech_s, 1.0))
        assert scores.names == (*NAMES, UNKNOWN)
        return float(scores.llr[-1, rob])

    lengths = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
    assert evidence(same, 0.0) == evidence(other, 0.0) == 0  # nothing heard, nothing said
    for_rob = [evidence(same, seconds) for seconds in lengths]
    assert for_rob[:3] == sorted(for_rob[:3])
    assert min(for_rob[1:]) > 0
    against = [-evidence(other, seconds) for seconds in lengths]
    assert against == sorted(against)
    assert against[-1] > 5


def test_without_people_everything_is_unknown() -> None:
    vectors = np.zeros((len(WINDOW_HOPS), encoder().size), np.float32)
    (scores,) = Scorer([], weights()).push(Embedding(0, vectors, np.ones(len(WINDOW_HOPS), np.float32), 1.0))
    assert scores.names == (UNKNOWN,)
    np.testing.assert_array_equal(scores.probabilities, [1])


# -- voice activity --------------------------------------------------------------------------------------------------


def speech_of(samples: np.ndarray) -> np.ndarray:
    return np.array([hop.speech for hop in encoder().hops(samples, sample_rate=SAMPLE_RATE)])


@pytest.mark.parametrize("level_db", [-90, -60, -30])
@pytest.mark.parametrize("kind", ["white", "hum", "silence"])
def test_silence_hiss_and_hum_are_no_speech_at_any_level(kind: str, level_db: int) -> None:
    hiss, t = np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE), np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 12)) + 1e-3 * hiss
    sound = {"white": hiss, "hum": hum, "silence": 0 * hiss}[kind]
    speech = speech_of((10 ** (level_db / 20) * sound).astype(np.float32))
    assert speech.max() < 0.5
    assert speech[3:].max() < 0.1  # a hum that sets in may be anything


@pytest.mark.parametrize("gain_db", [-40, -20, 10])
def test_a_voice_is_speech_however_loud(gain_db: int) -> None:
    talk = conversation(0, 20)
    soft = np.clip(10 ** (gain_db / 20) * talk, -1, 1).astype(np.float32)
    assert ((speech_of(soft) > 0.5) == (speech_of(talk) > 0.5)).mean() > 0.95
