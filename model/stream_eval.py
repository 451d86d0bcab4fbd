"""How well a conversation was followed: who, measured against a reference, and how soon.

The identification error rate is that of pyannote.metrics (Bredin, 2017): time with the wrong name, without a name, and
with a name where nobody speaks, over the time that people speak; where two speak at once, two names are wanted. All
strangers have one name, "unknown", in the reference as in the turns. What lies within 0.25 s of where somebody begins
or ends in the reference is not judged.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE, samples_to_seconds
from stream.records import UNKNOWN, Turn
from stream.rttm import rttm_name

__all__ = ["COLLAR_S", "Heard", "Measured", "StreamFigures", "identification_error", "measure", "summarise"]

COLLAR_S = 0.25
"""Seconds on either side of a boundary of the reference that are not judged, as NIST does."""

CAUGHT = SAMPLE_RATE  # samples within which a change of voice is to be noticed
OVERLAP = 3 * SAMPLE_RATE // 10  # samples that two people speak at once, below which nobody is expected to notice
FRAME = SAMPLE_RATE // 100  # samples: the grid that strangers' time is measured on

Shown = tuple[int, Turn | None]
"""How many samples had been heard, and who was then shown as speaking; final where the name is settled."""


@dataclass(frozen=True, eq=False, slots=True)
class Heard:
    """What came out of a conversation."""

    turns: list[Turn]  # final
    shown: list[Shown]  # what was on the screen, a hop after the other


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """What one conversation came to. Sums of seconds and counts, which add up over conversations."""

    seconds: float  # of sound
    total: float  # that people speak, judged
    confusion: float  # with another's name
    missed: float  # without a name
    false_alarm: float  # with a name while nobody speaks
    stranger: float  # that strangers alone speak, judged
    named: float  # of these, with the name of somebody who is enrolled
    turns: int  # told
    right_turns: int  # of these, with the name of whoever speaks for at least half of it
    said: int  # turns in the reference
    found: int  # of these, with their name for at least half of it
    names: int  # turns told as somebody who is enrolled
    guesses: int  # names of somebody enrolled that were shown anew, as guesses or settled
    changes: int  # of voice, in the reference
    caught: int  # of these, noticed within a second
    known: int  # turns of the enrolled in the reference
    overlaps: int  # of two people or more, in the reference, that last long enough
    overlaps_marked: int  # of these, within a turn that is marked
    marks: int  # turns told with a mark
    marks_right: int  # of these, with an overlap of any length in them
    second_names: int  # turns told with a mark and whose the second voice is
    second_names_right: int  # of these, with an overlap in them that this person has a part in
    first_s: NDArray[np.float64] = field(repr=False)  # from their starts until the right name was shown, if it was
    settled_s: NDArray[np.float64] = field(repr=False)  # the same until it was settled


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What a system came to on a group of conversations. Rates are in [0, 1]; None where nothing can be measured."""

    group: str
    system: str
    conversations: int
    hours: float  # of sound
    error_rate: float | None  # identification error rate
    error_low: float | None  # its 95 % interval over conversations
    error_high: float | None
    confusion: float | None  # the three parts of it
    missed: float | None
    false_alarm: float | None
    strangers_named: float | None  # share of strangers' time with the name of somebody enrolled
    precision: float | None  # of the turns that were told
    recall: float | None  # of the turns in the reference
    first_p50_s: float | None  # to the first right name, of the turns that got it; the same at 95 %
    first_p95_s: float | None
    settled_p50_s: float | None  # until the right name was settled
    settled_p95_s: float | None
    never: float | None  # share of the enrolled's turns that never got their name
    changes_caught: float | None
    overlaps: int  # times when two people speak at once, for 0.3 s or more
    overlaps_marked: float | None  # share of these
    marks: int  # turns that are marked so
    marks_right: float | None  # share of these
    second_names: int  # marked turns that say whose the second voice is
    second_names_right: float | None  # share of these
    false_names_per_hour: float | None  # final, where nobody speaks in the whole recording
    false_guesses_per_hour: float | None
    false_alarm_per_hour_s: float | None  # seconds with a name or as "unknown", of an hour where nobody speaks


def measure(reference: Sequence[Turn], heard: Heard, people: Collection[str], length: int) -> Measured:
    """Compare what came out of a conversation with its reference.

    Args:
        reference: who speaks; names as RTTM has them.
        heard: what came out.
        people: names of the enrolled; everybody else is a stranger.
        length: samples of the conversation, at 16 kHz.
    """
    known = {rttm_name(name) for name in people}
    said, told = _parts(reference, known), _parts(heard.turns, known)
    # A settled name can be told late, as a final turn: it counts from when it was told.
    moments = [(at, turn) for at, turn in heard.shown if turn is not None]
    moments += [(turn.final_at or length, turn) for turn in heard.turns]
    moments.sort(key=lambda moment: moment[0])
    first, settled = [], []
    for start, end, name in said:
        if name != UNKNOWN:
            soon = [
                (at - start, turn.final)
                for at, turn in moments
                if at > start and turn.start < end and turn.end > start and _label(turn, known) == name
            ]
            first += [samples for samples, _ in soon[:1]]
            settled += [samples for samples, final in soon if final][:1]
    changes = list(_changes(said))
    guesses = {(turn.start, turn.name) for _, turn in heard.shown if turn and _label(turn, known) != UNKNOWN}
    return Measured(
        samples_to_seconds(length),
        *identification_error(reference, heard.turns, people, length),
        *_strangers(said, told, length),
        len(told),
        sum(2 * _shared(turn, said) >= turn[1] - turn[0] for turn in told),
        len(said),
        sum(2 * _shared(turn, told) >= turn[1] - turn[0] for turn in said),
        sum(name != UNKNOWN for _, _, name in told),
        len(guesses),
        len(changes),
        sum(_noticed(change, heard.shown, known) for change in changes),
        sum(name != UNKNOWN for _, _, name in said),
        *_overlaps(said, heard.turns, length),
        np.array(first) / SAMPLE_RATE,
        np.array(settled) / SAMPLE_RATE,
    )


Part = tuple[int, int, str]  # first sample, one past the last, name


def _label(turn: Turn, known: Collection[str]) -> str:
    # A guest is a stranger, whatever their number.
    name = rttm_name(turn.name)
    return name if name in known else UNKNOWN


def _parts(turns: Iterable[Turn], known: Collection[str]) -> list[Part]:
    return [(turn.start, turn.end, _label(turn, known)) for turn in turns]


def identification_error(
    reference: Iterable[Turn], turns: Iterable[Turn], people: Collection[str], length: int
) -> tuple[float, float, float, float]:
    """Seconds: that people speak, with another's name, without a name, and with a name while nobody speaks.

    The arguments are those of `measure`.
    """
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.identification import IdentificationErrorRate

    def annotation(parts: Iterable[Part]) -> Annotation:
        made = Annotation()
        for i, (start, end, name) in enumerate(parts):
            made[Segment(samples_to_seconds(start), samples_to_seconds(end)), i] = name
        return made

    known = {rttm_name(name) for name in people}
    said, told = _parts(reference, known), _parts(turns, known)
    metric = IdentificationErrorRate(collar=2 * COLLAR_S)  # theirs is the width of both sides together
    whole = Timeline([Segment(0.0, samples_to_seconds(length))])
    found = metric.compute_components(annotation(said), annotation(told), uem=whole)
    return found["total"], found["confusion"], found["missed detection"], found["false alarm"]


def _strangers(said: Sequence[Part], told: Sequence[Part], length: int) -> tuple[float, float]:
    # Seconds that strangers alone speak, and of these with somebody's name.
    def where(parts: Iterable[Part], around: int = 0) -> NDArray[np.bool_]:
        mask = np.zeros(length // FRAME, bool)
        for start, end, _ in parts:
            mask[max(0, start - around) // FRAME : (end + around) // FRAME] = True
        return mask

    edges = where(((at, at, "") for start, end, _ in said for at in (start, end)), round(COLLAR_S * SAMPLE_RATE))
    alone = where(p for p in said if p[2] == UNKNOWN) & ~where(p for p in said if p[2] != UNKNOWN) & ~edges
    named = alone & where(p for p in told if p[2] != UNKNOWN)
    return alone.sum() * FRAME / SAMPLE_RATE, named.sum() * FRAME / SAMPLE_RATE


def _overlaps(said: Sequence[Part], turns: Sequence[Turn], length: int) -> tuple[int, int, int, int, int, int]:
    # Times when two speak at once, those in a marked turn; marked turns, those in which two speak at once; of these the
    # turns with a second name, those in which that person is one of the two.
    count = np.zeros(length // FRAME + 2, int)  # how many speak, with silence at both ends
    for start, end, _ in said:
        count[start // FRAME + 1 : min(end, length) // FRAME + 1] += 1
    edges = np.flatnonzero(np.diff(count >= 2)) * FRAME
    both = [(int(start), int(end), "") for start, end in zip(edges[::2], edges[1::2], strict=True)]
    marks = [(turn.start, turn.end, "") for turn in turns if turn.overlap]

    def meets(one: Part, other: Part) -> bool:
        return one[0] < other[1] and other[0] < one[1]

    long = [span for span in both if span[1] - span[0] >= OVERLAP]
    named = [(turn.start, turn.end, rttm_name(turn.second)) for turn in turns if turn.second is not None]
    right = [
        mark
        for mark in named
        if any(meets(span, mark) and meets(span, part) for span in both for part in said if part[2] == mark[2])
    ]
    return (
        len(long),
        sum(any(meets(span, mark) for mark in marks) for span in long),
        len(marks),
        sum(any(meets(span, mark) for span in both) for mark in marks),
        len(named),
        len(right),
    )


def _shared(part: Part, others: Iterable[Part]) -> int:
    # Samples that the others, of the same name, cover of a part.
    start, end, name = part
    covered = np.zeros((end - start) // FRAME, bool)
    for a, b, other in others:
        if other == name and b > start and a < end:
            covered[max(0, a - start) // FRAME : (b - start) // FRAME] = True
    return int(covered.sum()) * FRAME


def _changes(said: Sequence[Part]) -> Iterable[tuple[int, str, str]]:
    # When a new voice is alone, whose, and whose it was before; nobody can tell while two speak at once.
    for last, (start, end, name) in pairwise(said):
        at = max(start, last[1])
        if name != last[2] and at < end:
            yield at, name, last[2]


def _noticed(change: tuple[int, str, str], shown: Sequence[Shown], known: Collection[str]) -> bool:
    # Within a second the right name is shown for the new voice, or at least another than before, even if it is wrong.
    at, name, last = change
    before = {last} | {_label(turn, known) for moment, turn in shown if turn and at - CAUGHT < moment <= at}
    after = {_label(turn, known) for moment, turn in shown if turn and at < moment <= at + CAUGHT and turn.end > at}
    return name in after or bool(after - before)


def summarise(group: str, system: str, measured: Sequence[Measured], *, seed: int = 0) -> StreamFigures:
    """The figures of some conversations together.

    Args:
        group: what they have in common.
        system: who followed them.
        measured: what each came to, at least one.
        seed: of the bootstrap, which draws conversations (Efron, 1979).
    """

    def total(what: str, of: Sequence[Measured] = measured) -> float:
        return float(sum(getattr(one, what) for one in of))

    def rate(what: str, of: str) -> float | None:
        return total(what) / total(of) if total(of) else None

    spoken = [one for one in measured if one.said]
    quiet = [one for one in measured if not one.said]
    wrong = np.array([one.confusion + one.missed + one.false_alarm for one in spoken])
    right = np.array([one.total for one in spoken])
    drawn = np.random.default_rng(seed).integers(max(1, len(spoken)), size=(1_000, len(spoken)))
    draws = wrong[drawn].sum(axis=1) / np.maximum(right[drawn].sum(axis=1), 1e-9) if spoken else None
    low, high = (None, None) if draws is None else (float(q) for q in np.percentile(draws, [2.5, 97.5]))
    quiet_h = total("seconds", quiet) / 3600
    first, settled = (np.concatenate([getattr(one, what) for one in measured]) for what in ("first_s", "settled_s"))

    def per_hour(what: str) -> float | None:
        return total(what, quiet) / quiet_h if quiet_h else None

    def quantile(values: NDArray[np.float64], q: float) -> float | None:
        return float(np.quantile(values, q)) if len(values) else None

    return StreamFigures(
        group,
        system,
        len(measured),
        total("seconds") / 3600,
        error_rate=float(wrong.sum() / right.sum()) if right.sum() else None,
        error_low=low,
        error_high=high,
        confusion=rate("confusion", "total"),
        missed=rate("missed", "total"),
        false_alarm=total("false_alarm", spoken) / right.sum() if right.sum() else None,
        strangers_named=rate("named", "stranger"),
        precision=rate("right_turns", "turns") if spoken else None,
        recall=rate("found", "said"),
        first_p50_s=quantile(first, 0.5),
        first_p95_s=quantile(first, 0.95),
        settled_p50_s=quantile(settled, 0.5),
        settled_p95_s=quantile(settled, 0.95),
        never=1 - len(first) / total("known") if total("known") else None,
        changes_caught=rate("caught", "changes"),
        overlaps=int(total("overlaps")),
        overlaps_marked=rate("overlaps_marked", "overlaps"),
        marks=int(total("marks")),
        marks_right=rate("marks_right", "marks"),
        second_names=int(total("second_names")),
        second_names_right=rate("second_names_right", "second_names"),
        false_names_per_hour=per_hour("names"),
        false_guesses_per_hour=per_hour("guesses"),
        false_alarm_per_hour_s=per_hour("false_alarm"),
    )
