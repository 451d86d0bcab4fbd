"""`livespeaker evaluate identify`: are people given their own names, and strangers none.

A household is people who were enrolled and strangers who were not. Everybody is heard in windows of a second or
more, and every window is judged alone, as the posterior judges it live: by the scores against the cohort, and again
by a head that was fine-tuned on the household. No window was enrolled from.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.calibration import posterior
from model.encoder import Encoder, Pooling
from model.fine_tune import fine_tune
from model.head import Head
from model.members import Home, windows_of
from model.metrics import cllr
from model.reliability import Bin, calibration_error, reliability
from model.scoring import UNKNOWN_PRIOR, Judge, mean_vector

__all__ = ["AFTER", "BEFORE", "Figures", "Judged", "confusion", "figures", "identify"]

Floats = NDArray[np.float32]

BEFORE, AFTER = "cohort", "fine-tuned"


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """Every window of one way of scoring, one condition and one length."""

    household: NDArray[np.int32]  # (n,)
    stranger: NDArray[np.bool_]  # (n,)
    best: NDArray[np.bool_]  # (n,) the right person has the highest score
    llr: NDArray[np.float64]  # (n,) of whoever has the highest score
    named: NDArray[np.bool_]  # (n,) a name is given, not "unknown"
    right: NDArray[np.bool_]  # (n,) the right name is given, or "unknown" to a stranger
    confidence: NDArray[np.float64]  # (n,) of what is given
    who: NDArray[np.str_]  # (n,) who spoke, "" for a stranger
    given: NDArray[np.str_]  # (n,) the name that is given, "" for none
    same: NDArray[np.float64]  # llr of every window and its own person
    other: NDArray[np.float64]  # llr of every window and every other person


@dataclass(frozen=True, slots=True)
class Figures:
    """What a way of scoring came to. Rates are in [0, 1], with 95 % intervals over households."""

    system: str
    condition: str
    seconds: float
    households: int
    windows: int  # of the enrolled
    strangers: int  # windows of strangers
    accuracy: tuple[float, float, float]  # of the enrolled, when nobody may be unknown
    dir_at_1: float  # the enrolled given their names at a threshold that 1 % of strangers pass
    wrong: float  # the enrolled given another's name
    rejected: tuple[float, float, float]  # the enrolled called unknown
    accepted: tuple[float, float, float]  # strangers given a name
    cllr: float  # in bits
    calibration_error: float  # expected, over ten bins of confidence
    reliability: tuple[Bin, ...]  # these bins
    confusion: tuple[tuple[str, str, int], ...]  # who spoke, the name that was given, windows; "" is nobody of them


def identify(
    homes: Sequence[Home],
    encoder: Encoder,
    *,
    lengths: Sequence[float] = (1.0, 2.0, 3.0),
    tune: bool = True,
    seed: int = 0,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[tuple[str, str, float], Judged]:
    """Judge every window of everybody.

    Args:
        homes: the enrolled and the strangers of every household.
        encoder: the network.
        lengths: of the windows, in seconds.
        tune: also by a fine-tuned head.
        seed: of the fine-tuning.
        on_done: called with the number of households that are done.

    Returns:
        By way of scoring, condition and length.
    """
    pooling = Pooling(encoder.weights)
    found: dict[tuple[str, str, float], list[Judged]] = defaultdict(list)
    for number, (owners, strangers) in enumerate(homes):
        enrolled = [owner.enrolled for owner in owners if owner.enrolled]
        centroids = np.stack([mean_vector(one.vectors, one.speech_s) for one in enrolled])
        systems: dict[str, Head | None] = {BEFORE: None}
        if tune and len(owners) > 1:
            speech = {owner.name: one.audio for owner, one in zip(owners, enrolled, strict=True)}
            systems[AFTER] = fine_tune(speech, encoder, seed=seed).head
        for system, head in systems.items():
            judge = Judge(centroids, encoder.weights, head)
            for condition in owners[0].tests:
                for length in lengths:
                    heard = [windows_of(m.tests[condition], round(length * 10), pooling) for m in [*owners, *strangers]]
                    names = [owner.name for owner in owners]
                    found[system, condition, length].append(_judged(judge, heard, names, number))
        on_done(number + 1)
    return {key: _joined(some) for key, some in found.items()}


def _judged(judge: Judge, heard: Sequence[tuple[Floats, Floats]], names: Sequence[str], household: int) -> Judged:
    owners, everybody = len(names), np.array([*names, ""])
    vectors, seconds = (np.concatenate(part) for part in zip(*heard, strict=True))
    who = np.repeat(np.arange(len(heard)), [len(rows) for rows, _ in heard])
    llr = judge.llr(vectors, seconds)
    chances = np.array([posterior(row, UNKNOWN_PRIOR) for row in llr]).reshape(len(llr), owners + 1)
    given, best = chances.argmax(axis=1), llr.argmax(axis=1)
    own = who[:, None] == np.arange(owners)[None, :]
    return Judged(
        household=np.full(len(who), household, np.int32),
        stranger=who >= owners,
        best=best == who,
        llr=llr.max(axis=1),
        named=given < owners,
        right=given == np.minimum(who, owners),
        confidence=chances.max(axis=1),
        who=everybody[np.minimum(who, owners)],
        given=everybody[given],
        same=llr[own],
        other=llr[~own],
    )


def _joined(some: Sequence[Judged]) -> Judged:
    fields = Judged.__dataclass_fields__
    return Judged(**{name: np.concatenate([getattr(one, name) for one in some]) for name in fields})


def figures(judged: Mapping[tuple[str, str, float], Judged], *, seed: int = 0) -> list[Figures]:
    """The rates, with their intervals."""
    return [_figures(*key, one, np.random.default_rng(seed)) for key, one in judged.items()]


def _figures(system: str, condition: str, seconds: float, one: Judged, rng: np.random.Generator) -> Figures:
    own, strangers = ~one.stranger, one.stranger
    threshold = np.quantile(one.llr[strangers], 0.99, method="higher") if strangers.any() else -np.inf

    def rate(what: NDArray[np.bool_], of: NDArray[np.bool_]) -> tuple[float, float, float]:
        numbers = np.unique(one.household)
        hits = np.array([np.count_nonzero(what & of & (one.household == n)) for n in numbers])
        counts = np.array([np.count_nonzero(of & (one.household == n)) for n in numbers])
        drawn = rng.integers(len(numbers), size=(1_000, len(numbers)))
        rates = hits[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
        low, high = np.percentile(rates, [2.5, 97.5])
        return float(hits.sum() / max(1, counts.sum())), float(low), float(high)

    bins = reliability(one.confidence, one.right)
    pairs = Counter(zip(one.who.tolist(), one.given.tolist(), strict=True))
    return Figures(
        system,
        condition,
        seconds,
        len(np.unique(one.household)),
        int(own.sum()),
        int(strangers.sum()),
        accuracy=rate(one.best, own),
        dir_at_1=rate(one.best & (one.llr > threshold), own)[0],
        wrong=rate(one.named & ~one.right, own)[0],
        rejected=rate(~one.named, own),
        accepted=rate(one.named, strangers),
        cllr=cllr(np.append(one.same, one.other), np.arange(len(one.same) + len(one.other)) < len(one.same)),
        calibration_error=calibration_error(bins),
        reliability=bins,
        confusion=tuple((who, given, n) for (who, given), n in sorted(pairs.items())),
    )


def confusion(found: Figures) -> tuple[list[str], NDArray[np.int64]]:
    """The enrolled people, sorted, and (n + 1, n + 1) windows of whom (rows) were given which name (columns).

    The last row is the strangers', the last column "unknown".
    """
    names = sorted({name for who, given, _ in found.confusion for name in (who, given)} - {""})
    at = {name: i for i, name in enumerate([*names, ""])}
    windows = np.zeros((len(at), len(at)), np.int64)
    for who, given, n in found.confusion:
        windows[at[who], at[given]] = n
    return names, windows
