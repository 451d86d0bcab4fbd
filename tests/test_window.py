"""Window mode, live: what the base model hears, when, and what comes of it."""

from pathlib import Path

import numpy as np
import pytest

from model.encoder import Encoder
from model.scoring import Scorer
from model.voices import Voice
from model.window import WindowScorer, scorer_of
from model.window_head import HOP, MIN_ROWS, N_FFT, WINDOW_ROWS, Opinion, WindowHead, evidence, features, window_of
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import ProfileError
from stream.hop_sound import HopSound
from stream.mfcc import Mfcc
from stream.recognizer import Recognizer, Stages
from stream.records import Block, Embedding, Scores
from tests.bases import convolution, loaded, mel, over_mean, window_head
from tests.parity import assert_streams_alike, split_block
from tests.sound import one_line
from tests.talk import blocks, conversation, encoder, voices, weights


def people() -> list[Voice]:
    return [Voice(v.name, v.vectors, v.speech_s, v.added, v.has_audio, id=v.name.lower()) for v in voices()]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WindowHead]:
    """Of two of the three, in another order than theirs."""
    folder = tmp_path_factory.mktemp("bases")
    return {
        name: window_head(loaded(make(), folder), ("sally", "angus"))
        for name, make in (("mean", over_mean), ("rows", convolution))
    }


class Sound:
    """The stages from sound to scores, as the recognizer joins them."""

    def __init__(self, head: WindowHead) -> None:
        made: Encoder = encoder()
        self._mfcc, self._encoder, self._sound = made.mfcc(), made.stream(), HopSound()
        self._scorer = WindowScorer(people(), weights(), head)
        self.embeddings: list[Embedding] = []

    def push(self, block: Block) -> list[Scores]:
        self._sound.push(block)
        return [s for rows in self._mfcc.push(block) for e in self._encoder.push(rows) for s in self._score(e)]

    def flush(self) -> list[Scores]:
        return [scores for embedding in self._encoder.flush() for scores in self._score(embedding)]

    def _score(self, embedding: Embedding) -> list[Scores]:
        samples = self._sound.take(embedding.start)
        whole = Embedding(embedding.start, embedding.vectors, embedding.speech_s, embedding.speech, samples)
        self.embeddings.append(whole)
        return self._scorer.push(whole)


def gather(scores: list[Scores]) -> dict[str, np.ndarray]:
    return {
        "start": np.array([each.start for each in scores]),
        "llr": np.stack([each.llr for each in scores]),
        "probabilities": np.stack([each.probabilities for each in scores]),
    }


@pytest.mark.parametrize("kind", ["mean", "rows"])
def test_what_comes_out_does_not_depend_on_how_the_sound_was_cut(heads: dict[str, WindowHead], kind: str) -> None:
    block = Block(4_000, conversation(3.5, 7.6))  # a voice, a pause, another one
    assert_streams_alike(
        lambda: Sound(heads[kind]),
        lambda sizes: split_block(block, sizes),
        len(block.samples),
        hop=HOP_SAMPLES,
        gather=gather,
        atol=1e-3,
    )


@pytest.mark.parametrize("kind", ["mean", "rows"])
def test_a_hop_is_judged_by_the_last_two_seconds_since_the_last_pause(heads: dict[str, WindowHead], kind: str) -> None:
    # Slowly: all rows at once, and of these those that begin after the pause and end with the hop.
    head, samples, start = heads[kind], conversation(3.0, 9.0), 800
    chain = Sound(head)
    found = chain.push(Block(start, samples)) + chain.flush()
    ask, shape = head.open()
    (rows,) = Mfcc(features(shape[-1]), mel()).push(Block(start, samples))
    begins = rows.start + HOP * np.arange(len(rows.mfcc))
    cohort, quiet, since, asked = Scorer(people(), weights()), 0, start, []
    for scores, embedding in zip(found, chain.embeddings, strict=True):
        quiet = quiet + 1 if embedding.speech < 0.3 else 0
        if quiet >= 3:
            since = embedding.start
        inside = (begins >= since) & (begins + N_FFT <= embedding.start + HOP_SAMPLES)
        window = rows.mfcc[inside][-WINDOW_ROWS:]
        [expected] = cohort.push(embedding)
        llr = expected.llr.copy()
        asked.append(len(window))
        if len(window) >= MIN_ROWS:
            said = ask(window_of(window, shape))
            llr[:, [2, 0]] = head.opinion.join(llr[:, [2, 0]], said, embedding.speech_s[2])  # Sally, Angus
        np.testing.assert_allclose(scores.llr, llr, atol=1e-3)
        np.testing.assert_array_equal(scores.llr[:, 1], expected.llr[:, 1])  # Rob, whom it does not know
    assert max(asked) == WINDOW_ROWS
    assert 0 in asked[20:]  # after the pause it begins anew


def test_the_people_are_found_by_who_they_are(heads: dict[str, WindowHead]) -> None:
    heard = Embedding(
        0, np.tile(voices()[0].vectors[0], (4, 1)), np.full(4, 2.0, np.float32), 1.0, conversation(1, 1.1)
    )
    turned = people()[::-1]
    one, other = WindowScorer(people(), weights(), heads["mean"]), WindowScorer(turned, weights(), heads["mean"])
    for _ in range(10):
        [scores], [again] = one.push(heard), other.push(heard)
        by_name = dict(zip(again.names, again.llr[-1], strict=True))
        np.testing.assert_allclose([by_name[name] for name in scores.names], scores.llr[-1], atol=1e-5)


def test_rows_are_said_again_until_there_are_enough_and_the_newest_stay() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(window_of(rows, (2,)), [2, 3])
    np.testing.assert_array_equal(window_of(rows, (2, 2)), rows[1:])
    np.testing.assert_array_equal(window_of(rows, (7, 2)), rows[[0, 1, 2, 0, 1, 2, 0]])


def test_an_opinion_claims_no_more_than_it_was_fitted_on_and_less_of_little_speech() -> None:
    opinion = Opinion(slope=1.0, offset=-1.0, most=3.0)
    cohort, said = np.array([[1.0, -2.0]]), np.array([2.0, -100.0])
    np.testing.assert_allclose(opinion.join(cohort, said, np.float32(2.0)), [[1.5, -3.5]])
    np.testing.assert_allclose(opinion.join(cohort, said, np.float32(0.25)), [[1.25, -2.75]])
    np.testing.assert_allclose(opinion.join(cohort, said, np.float32(0.0)), cohort)
    np.testing.assert_allclose(
        evidence(np.array([[0.5, 0.0, 0.5]], np.float32)), [[0.0, np.log(1e-6 / 0.5)]], rtol=1e-5
    )


def test_what_is_kept_does_not_grow(heads: dict[str, WindowHead]) -> None:
    chain = Sound(heads["mean"])
    chain.push(Block(0, conversation(0, 30)))
    assert len(chain._scorer._rows) == WINDOW_ROWS
    assert len(chain._sound._samples) < 2 * HOP_SAMPLES
    assert chain._sound._samples.base is None or len(chain._sound._samples.base) <= 30 * SAMPLE_RATE


def test_the_recognizer_brings_the_sound(heads: dict[str, WindowHead]) -> None:
    made = Stages(encoder().mfcc, encoder().stream, lambda: scorer_of(people(), weights(), heads["rows"]))
    recognizer = Recognizer(made, "test", SAMPLE_RATE)
    for block in blocks(conversation(0, 3), 1_000):
        recognizer.push(block)
    for block in blocks(conversation(4, 6), 1_000, start=80_000):  # after a gap
        recognizer.push(block)
    recognizer.flush()
    assert recognizer.gaps == 1
    assert recognizer.snapshot.names[:3] == tuple(voice.name for voice in people())


class Told:
    """A scorer that notes what comes with every embedding."""

    def __init__(self, needs_sound: bool) -> None:
        self._scorer, self.names, self.latency_samples = Scorer(people(), weights()), ("",), 0
        self.needs_sound, self.sound = needs_sound, []

    def push(self, embedding: Embedding) -> list[Scores]:
        self.sound.append(embedding.samples)
        return self._scorer.push(embedding)

    def flush(self) -> list[Scores]:
        return []


@pytest.mark.parametrize("needs_sound", [True, False])
def test_the_sound_comes_only_to_who_asks_for_it(needs_sound: bool) -> None:
    scorer, samples = Told(needs_sound), conversation(0, 2.05)
    recognizer = Recognizer(Stages(encoder().mfcc, encoder().stream, lambda: scorer), "test", SAMPLE_RATE)
    for block in blocks(samples, 700):
        recognizer.push(block)
    recognizer.flush()
    assert len(scorer.sound) == 21
    if needs_sound:
        np.testing.assert_array_equal(np.concatenate(scorer.sound), samples)
    else:
        assert scorer.sound == [None] * 21


@pytest.mark.parametrize("spoil", [{"model": b"no model"}, {"people": ("a",)}, {"people": ("a", "b", "c")}])
def test_a_model_that_cannot_be_run_is_said_in_one_line(heads: dict[str, WindowHead], spoil: dict) -> None:
    one = heads["mean"]
    fields = {"people": one.people, "model": one.model, "mel": one.mel, "opinion": one.opinion} | spoil
    with pytest.raises(ProfileError, match="--rollback") as error:
        WindowHead(**fields).open()
    one_line(error)


@pytest.mark.parametrize(
    "spoil",
    [
        {"people": ()},
        {"model": b""},
        {"mel": np.zeros((64, 257), np.float32)},
        {"mel": np.full((128, 1025), np.nan, np.float32)},
    ],
)
def test_what_does_not_fit_together_is_no_head(heads: dict[str, WindowHead], spoil: dict) -> None:
    one = heads["mean"]
    fields = {"people": one.people, "model": one.model, "mel": one.mel, "opinion": one.opinion} | spoil
    with pytest.raises(ValueError, match="wanted"):
        WindowHead(**fields)


@pytest.mark.parametrize("numbers", [(np.nan, 0.0, 1.0), (-1.0, 0.0, 1.0), (1.0, np.inf, 1.0), (1.0, 0.0, 0.0)])
def test_an_opinion_is_of_numbers(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Opinion(*numbers)


def test_scorers_without_a_base_model_need_no_sound(tmp_path: Path) -> None:
    assert isinstance(scorer_of(people(), weights(), None), Scorer)
