"""The fine-tuned last layers: what they say, and that they come back as they were written."""

import numpy as np
import pytest

from model.calibration import Fusion, fit_fusion
from model.head import Head
from model.scoring import Judge, Scorer, centroid
from model.voices import Voice
from stream.records import Embedding
from tests.talk import voices, weights


def head(people: tuple[str, ...] = ("a", "b"), d: int = 6, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    n = len(people)
    arrays = rng.standard_normal((d, d)), rng.standard_normal((d, n + 1)), rng.standard_normal(n + 1)
    return Head(people, *(array.astype(np.float32) for array in arrays))


def test_evidence_is_the_softmax_of_a_person_over_that_of_nobody():
    one = head()
    vectors = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
    for vector, evidence in zip(vectors, one.evidence(vectors), strict=True):
        turned = vector @ one.turn
        logits = turned / np.linalg.norm(turned) @ one.kernel + one.bias
        chance = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(evidence, np.log(chance[:2] / chance[2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "spoil",
    [
        {"people": ()},
        {"people": ("a",)},
        {"turn": np.eye(5, dtype=np.float32)},
        {"bias": np.array([0, np.nan, 0], np.float32)},
        {"threshold": np.nan},
        {"kernel": np.zeros((6, 2), np.float32)},
    ],
)
def test_layers_that_do_not_fit_together_are_no_head(spoil: dict[str, object]):
    one = head()
    layers = {"people": one.people, "turn": one.turn, "kernel": one.kernel, "bias": one.bias} | spoil
    with pytest.raises(ValueError, match="wanted"):
        Head(**layers)


def test_a_fusion_knows_the_seconds_between_those_it_was_fitted_on():
    fusion = Fusion((1.0, 4.0), (1.0, 3.0), (2.0, 0.0), (-1.0, 1.0))
    score, evidence = np.full((4, 1), 2.0), np.full((4, 1), 0.5)
    llr = fusion.llr(score, evidence, np.array([0.5, 1.0, 2.0, 4.0]))
    # Half as much speech as the least that was fitted on: trusted by half. 2 s are half-way, by their logarithm.
    np.testing.assert_allclose(llr[:, 0], [1.0, 2.0, 2 * 2 + 0.5 * 1.0 + 0, 7.0])


def test_a_fusion_weighs_what_tells_and_leaves_out_what_misleads():
    rng = np.random.default_rng(0)
    target = np.arange(4_000) % 2 == 0
    telling = 2 * target + rng.standard_normal(4_000)
    misleading = -0.5 * target + rng.standard_normal(4_000)
    fusion = fit_fusion((1.0, 2.0), [telling, misleading], [misleading, telling], [target, target])
    assert fusion.evidence_slope[0] == fusion.slope[1] == 0
    assert fusion.slope[0] == pytest.approx(2.0, abs=0.2)  # of two normal distributions 2 apart: d' / variance
    assert fusion.evidence_slope[1] == pytest.approx(2.0, abs=0.2)


def test_only_those_whom_a_head_knows_are_judged_by_it():
    people = np.stack([centroid(voice) for voice in voices()])
    d = people.shape[1]
    layers = np.eye(d, dtype=np.float32), np.zeros((d, 2), np.float32), np.array([5.0, 0.0], np.float32)
    one = Head(("second",), *layers)  # believes in one person whatever it hears
    vectors, seconds = people, np.full(len(people), 2.0, np.float32)
    without = Judge(people, weights()).llr(vectors, seconds)
    with_it = Judge(people, weights(), one, [-1, 0, -1]).llr(vectors, seconds)
    np.testing.assert_array_equal(with_it[:, [0, 2]], without[:, [0, 2]])
    assert not np.allclose(with_it[:, 1], without[:, 1])


def test_a_head_finds_its_people_by_who_they_are_and_not_by_their_order():
    known = [Voice(v.name, v.vectors, v.speech_s, v.added, v.has_audio, id=v.name[::-1]) for v in voices()]
    d = known[0].vectors.shape[1]
    kernel = np.hstack([10 * np.stack([centroid(voice) for voice in known]).T, np.zeros((d, 1))]).astype(np.float32)
    one = Head(tuple(v.id for v in known), np.eye(d, dtype=np.float32), kernel, np.array([0, 0, 0, 4], np.float32))
    heard = Embedding(0, known[1].vectors[:1].repeat(4, axis=0), np.full(4, 2.0, np.float32), 1.0)
    [scores] = Scorer(known, weights(), one).push(heard)
    [turned] = Scorer(known[::-1], weights(), one).push(heard)
    by_name = dict(zip(turned.names, turned.llr[-1], strict=True))
    np.testing.assert_allclose([by_name[name] for name in scores.names], scores.llr[-1], atol=1e-5)
