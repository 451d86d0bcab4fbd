"""Households of dev speakers: on them the fusion of scores and a fine-tuned head is fitted.

A household is some speakers who were enrolled and a head trained on them; the others are strangers to it. Half of
the households are of one corpus, where everybody has one channel, as in a room.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, Fusion, fit_fusion
from model.encoder import HopSums, Pooling
from model.fine_tune import draw_windows, train_head
from model.head import Head
from model.scoring import SNorm
from model.weights import Weights

__all__ = ["Person", "fit_on_households", "no_fusion"]

HOUSEHOLDS = 24
OWNERS = 5  # of a household, at most: the others of its pool are its strangers
LEAST_POOL = 4
EPOCHS = 12  # as long as heads train that stop by themselves


@dataclass(frozen=True, eq=False, slots=True)
class Person:
    """A dev speaker, enrolled and heard again."""

    corpus: str
    references: list[list[HopSums]]  # what they were enrolled with
    centroid: NDArray[np.float32]  # (d,) unit length
    tests: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]  # by hops: embeddings (n, d), seconds (n,)


def fit_on_households(people: Sequence[Person], weights: Weights, *, seed: int = 0) -> Fusion | None:
    """The fusion, by length of the tested window; None where there are too few people.

    Args:
        people: dev speakers.
        weights: whose cohort and strangers to use.
        seed: of the households and of their heads.
    """
    pooling = Pooling(weights)
    strangers, _ = weights.strangers()
    scores: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    evidence: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    targets: dict[int, list[NDArray[np.bool_]]] = defaultdict(list)
    heard_s: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    for number, (owners, others) in enumerate(_drawn(people, np.random.default_rng(seed))):
        score = SNorm(np.stack([person.centroid for person in owners]), weights.cohort)
        head = _head(owners, strangers, pooling, seed + number)
        for i, person in enumerate([*owners, *others]):
            for n, (vectors, speech_s) in person.tests.items():
                if not len(vectors):
                    continue
                scores[n].append(score(vectors).ravel())
                evidence[n].append(head.evidence(vectors).ravel())
                targets[n].append(np.tile(np.arange(len(owners)) == i, len(vectors)))
                heard_s[n].append(speech_s)
    lengths = sorted(n for n in scores if np.concatenate(targets[n]).any())
    if not lengths:
        return None
    return fit_fusion(
        tuple(float(np.mean(np.concatenate(heard_s[n]))) for n in lengths),
        [np.concatenate(scores[n]) for n in lengths],
        [np.concatenate(evidence[n]) for n in lengths],
        [np.concatenate(targets[n]) for n in lengths],
    )


def no_fusion(calibration: Calibration) -> Fusion:
    """What stands for a fusion where none could be fitted: a head says nothing."""
    nothing = tuple(0.0 for _ in calibration.seconds)
    return Fusion(**asdict(calibration), evidence_slope=nothing)


def _drawn(people: Sequence[Person], rng: np.random.Generator) -> Iterator[tuple[list[Person], list[Person]]]:
    # Owners and strangers: of one corpus and of all, by turns.
    by_corpus: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        by_corpus[person.corpus].append(person)
    pools = [own for _, own in sorted(by_corpus.items()) if len(own) >= LEAST_POOL]
    if len(people) < LEAST_POOL:
        return
    for number in range(HOUSEHOLDS):
        pool = list(people) if number % 2 or not pools else pools[number // 2 % len(pools)]
        order = [pool[i] for i in rng.permutation(len(pool))]
        n = min(OWNERS, len(pool) // 2)
        yield order[:n], order[n : 3 * OWNERS]


def _head(owners: Sequence[Person], strangers: NDArray[np.float32], pooling: Pooling, seed: int) -> Head:
    heard = [[hops] for person in owners for hops in person.references]
    owner = np.repeat(np.arange(len(owners)), [len(person.references) for person in owners])
    every = np.arange(len(owner))
    vectors, labels = draw_windows(heard, owner, every, pooling, np.random.default_rng(seed))
    names = [str(i) for i in range(len(owners))]
    return train_head(vectors, labels, strangers, names, both=True, seed=seed, epochs=EPOCHS).head
