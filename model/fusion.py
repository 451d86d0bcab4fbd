"""Households of dev speakers: on them the fusion of scores and a fine-tuned head is fitted.

A household is some speakers who were enrolled and a head trained on them, as `model.fine_tune` trains one; the
others are strangers to it. Half of the households are of one corpus, where everybody has one channel, as in a room.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, Fusion, fit_fusion
from model.encoder import Encoder, HopSums, Pooling
from model.fine_tune import draw_windows, train_head
from model.head import Head
from model.hearing import listen
from model.members import Home, Member, windows_of
from model.scoring import SNorm, mean_vector

__all__ = ["fit_on_households", "no_fusion"]

HOUSEHOLDS = 24
OWNERS = 5  # of a household, at most: the others of its pool are its strangers
LEAST_POOL = 4
EPOCHS = 8  # as long as heads train that stop by themselves


def fit_on_households(
    people: Mapping[str, Sequence[Member]], encoder: Encoder, lengths: Sequence[int], *, seed: int = 0
) -> Fusion | None:
    """The fusion, by length of the tested window; None where there are too few people.

    Args:
        people: dev speakers, by corpus, all of them enrolled, and heard in the same conditions.
        encoder: the network, with its cohort and strangers.
        lengths: of the tested windows, in hops.
        seed: of the households and of their heads.
    """
    weights, pooling = encoder.weights, Pooling(encoder.weights)
    rng = np.random.default_rng(seed)
    everybody = [person for some in people.values() for person in some]
    heard = {p.name: listen(p.enrolled.audio, encoder, rng) for p in everybody if p.enrolled}
    tests = {
        person.name: {
            n: _joined([windows_of(recordings, n, pooling) for recordings in person.tests.values()]) for n in lengths
        }
        for person in everybody
    }
    strangers, _ = weights.strangers()
    scores: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    evidence: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    targets: dict[int, list[NDArray[np.bool_]]] = defaultdict(list)
    heard_s: dict[int, list[NDArray[np.floating]]] = defaultdict(list)
    for number, (owners, others) in enumerate(_drawn(people, rng)):
        enrolled = [person.enrolled for person in owners if person.enrolled]
        score = SNorm(np.stack([mean_vector(one.vectors, one.speech_s) for one in enrolled]), weights.cohort)
        head = _head([heard[person.name] for person in owners], strangers, pooling, seed + number)
        for i, person in enumerate([*owners, *others]):
            for n, (vectors, speech_s) in tests[person.name].items():
                if not len(vectors):
                    continue
                scores[n].append(score(vectors).ravel())
                evidence[n].append(head.evidence(vectors).ravel())
                targets[n].append(np.tile(np.arange(len(owners)) == i, len(vectors)))
                heard_s[n].append(speech_s)
    found = sorted(n for n in scores if np.concatenate(targets[n]).any())
    if not found:
        return None
    return fit_fusion(
        tuple(float(np.mean(np.concatenate(heard_s[n]))) for n in found),
        [np.concatenate(scores[n]) for n in found],
        [np.concatenate(evidence[n]) for n in found],
        [np.concatenate(targets[n]) for n in found],
    )


def no_fusion(calibration: Calibration) -> Fusion:
    """What stands for a fusion where none could be fitted: a head says nothing."""
    nothing = tuple(0.0 for _ in calibration.seconds)
    return Fusion(**asdict(calibration), evidence_slope=nothing)


def _joined(parts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> tuple[NDArray[np.float32], ...]:
    return tuple(np.concatenate(of_all) for of_all in zip(*parts, strict=True))


def _drawn(people: Mapping[str, Sequence[Member]], rng: np.random.Generator) -> Iterator[Home]:
    # Owners and strangers: of one corpus and of all, by turns.
    everybody = [person for some in people.values() for person in some]
    pools = [own for _, own in sorted(people.items()) if len(own) >= LEAST_POOL]
    if len(everybody) < LEAST_POOL:
        return
    for number in range(HOUSEHOLDS):
        pool = everybody if number % 2 or not pools else pools[number // 2 % len(pools)]
        order = [pool[i] for i in rng.permutation(len(pool))]
        n = min(OWNERS, len(pool) // 2)
        yield order[:n], order[n : 3 * OWNERS]


def _head(
    heard: Sequence[Sequence[Sequence[Sequence[HopSums]]]],
    strangers: NDArray[np.float32],
    pooling: Pooling,
    seed: int,
) -> Head:
    # Of the people's references, of their copies, the hops.
    references = [copies for person in heard for copies in person]
    owner = np.repeat(np.arange(len(heard)), [len(person) for person in heard])
    every = np.arange(len(owner))
    vectors, labels = draw_windows(references, owner, every, pooling, np.random.default_rng(seed))
    names = [str(i) for i in range(len(heard))]
    return train_head(vectors, labels, strangers, names, both=True, seed=seed, epochs=EPOCHS).head
