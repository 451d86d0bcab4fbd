"""Scores against a cohort: what they are, and what leaves them alone."""

import numpy as np
import pytest

from model.scoring import SNorm


def rows(seed: int, n: int, d: int = 12) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def slowly(vectors: np.ndarray, people: np.ndarray, cohort: np.ndarray, nearest: int) -> np.ndarray:
    scores = np.empty((len(vectors), len(people)))
    for i, vector in enumerate(vectors):
        for j, person in enumerate(people):
            sides = []
            for side in (vector, person):
                alike = np.sort(cohort @ side)[-nearest:]
                sides.append((vector @ person - alike.mean()) / alike.std())
            scores[i, j] = np.mean(sides)
    return scores


@pytest.mark.parametrize("nearest", [5, 40, 1000])
def test_a_score_is_the_mean_of_both_sides_deviations_from_the_most_alike(nearest: int):
    vectors, people, cohort = rows(0, 7), rows(1, 3), rows(2, 40)
    expected = slowly(vectors, people, cohort, min(nearest, 40))
    np.testing.assert_allclose(SNorm(people, cohort, nearest)(vectors), expected, rtol=1e-3, atol=1e-4)


def test_who_else_is_scored_and_the_order_of_the_cohort_change_no_score():
    vectors, people, cohort = rows(3, 5), rows(4, 4), rows(5, 60)
    whole = SNorm(people, cohort, 20)(vectors)
    np.testing.assert_allclose(SNorm(people[:1], cohort[::-1], 20)(vectors[2:3])[0, 0], whole[2, 0], atol=1e-5)


@pytest.mark.parametrize("more", [0, 1, 3])
def test_whoever_joins_is_scored_as_if_there_from_the_beginning_and_changes_nobody(more: int):
    vectors, people, others, cohort = rows(3, 5), rows(4, 4), rows(7, more), rows(5, 60)
    score = SNorm(people, cohort, 20)
    joined = score.joined_by(others)
    np.testing.assert_allclose(joined(vectors), SNorm(np.concatenate([people, others]), cohort, 20)(vectors), atol=1e-5)
    np.testing.assert_allclose(joined(vectors)[:, :4], score(vectors), atol=1e-5)
    assert score(vectors).shape == (5, 4)  # the first is as it was


def test_a_voice_that_is_like_everybody_scores_less_than_its_cosine_says():
    cohort = rows(6, 50)
    many = cohort.mean(axis=0) / np.linalg.norm(cohort.mean(axis=0))
    one = rows(7, 1)[0]
    one -= (one @ many) * many
    one /= np.linalg.norm(one)

    def heard(person: np.ndarray) -> np.ndarray:  # at a cosine of 0.7 from the person
        aside = rows(8, 1)[0]
        aside -= (aside @ person) * person
        return (0.7 * person + np.sqrt(1 - 0.49) * aside / np.linalg.norm(aside)).astype(np.float32)

    like_many = SNorm(many[None], cohort, 50)(heard(many)[None]).item()
    like_few = SNorm(one[None], cohort, 50)(heard(one)[None]).item()
    assert like_few > like_many
