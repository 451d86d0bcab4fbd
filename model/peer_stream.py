"""What the peer's way makes of a conversation: Resemblyzer over 1.6 s of sound, every half second.

It is given more than it would have live. Where somebody speaks it is told by the reference. A window's name goes to the
half second in its middle, though it is told at its end. And the cosine below which a voice is unknown is the one that
is best for it on the very conversations that it is measured on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.evaluate import ask_peer
from model.stream_eval import Heard, identification_error
from stream.clock import SAMPLE_RATE
from stream.records import UNKNOWN, Turn

__all__ = ["PeerTalk", "best_threshold", "compare", "told"]

Floats = NDArray[np.float32]

WINDOW, STEP = 8 * SAMPLE_RATE // 5, SAMPLE_RATE // 2
THRESHOLDS = 25  # that are tried


@dataclass(frozen=True, eq=False, slots=True)
class PeerTalk:
    """A conversation as the peer hears it."""

    group: str
    reference: list[Turn]
    names: tuple[str, ...]  # of the enrolled
    length: int  # samples, at 16 kHz
    cosines: NDArray[np.float64]  # (windows, names)


def compare(
    group: str,
    people: Mapping[str, Sequence[Floats]],
    talks: Sequence[tuple[Floats, list[Turn]]],
    python: Path,
) -> list[PeerTalk]:
    """Ask the peer about a household.

    Args:
        group: what its conversations have in common with others.
        people: by name, the recordings at 16 kHz that each is enrolled from: as the mean of their embeddings.
        talks: sound at 16 kHz and who speaks in it. What is shorter than a window is passed over.
        python: of an environment that has Resemblyzer.

    Raises:
        UsageError: it cannot be asked.
    """
    talks = [(samples, reference) for samples, reference in talks if len(samples) >= WINDOW]
    clips = [clip for person in people.values() for clip in person]
    windows = [[samples[at : at + WINDOW] for at in range(0, len(samples) - WINDOW + 1, STEP)] for samples, _ in talks]
    vectors = np.array(ask_peer([*clips, *(window for some in windows for window in some)], python), np.float64)
    owner = np.repeat(np.arange(len(people)), [len(person) for person in people.values()])
    means = np.stack([vectors[: len(clips)][owner == i].mean(axis=0) for i in range(len(people))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cuts = np.cumsum([len(clips), *map(len, windows)])
    return [
        PeerTalk(group, reference, tuple(people), len(samples), vectors[a:b] @ means.T)
        for (samples, reference), (a, b) in zip(talks, pairwise(cuts), strict=True)
    ]


def best_threshold(talks: Sequence[PeerTalk]) -> float:
    """The cosine below which a voice is best called unknown: the identification error of all is least."""
    spoken = [talk for talk in talks if talk.reference]
    if not spoken:
        return 1.0
    nearest = np.concatenate([talk.cosines.max(axis=1) for talk in spoken])

    def wrong(threshold: float) -> float:
        parts = [identification_error(t.reference, told(t, threshold).turns, t.names, t.length) for t in spoken]
        return sum(sum(one[1:]) for one in parts)

    return min((float(q) for q in np.quantile(nearest, np.linspace(0, 1, THRESHOLDS))), key=wrong)


def told(talk: PeerTalk, threshold: float) -> Heard:
    """Names where the reference has speech; nothing that was told is taken back."""
    names = np.array([*talk.names, UNKNOWN])
    given = names[np.where(talk.cosines.max(axis=1) >= threshold, talk.cosines.argmax(axis=1), len(talk.names))]
    ends = WINDOW + STEP * np.arange(len(given))
    borders = [0, *(ends[1:] - (WINDOW + STEP) // 2), talk.length]  # between the middles of two windows
    turns: list[Turn] = []
    shown: list[tuple[int, Turn | None]] = []
    for name, end, (left, right) in zip(given.tolist(), ends.tolist(), pairwise(borders), strict=True):
        newest = Turn(end - STEP, end, name, 1.0, final=True)
        shown.append((end, newest if any(t.start < end and t.end > end - STEP for t in talk.reference) else None))
        for span in talk.reference:
            start, stop = max(int(left), span.start), min(int(right), span.end)
            if start < stop:
                turns.append(Turn(start, stop, name, 1.0, final=True, named_at=end, final_at=end))
    return Heard(_joined(turns), shown)


def _joined(turns: list[Turn]) -> list[Turn]:
    # One after the other: where two speak at once, the reference has the time twice, and a name is given once.
    joined: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: (turn.start, turn.end)):
        last = joined[-1] if joined else None
        if last and turn.start <= last.end and turn.name == last.name:
            joined[-1] = Turn(last.start, max(last.end, turn.end), last.name, 1.0, True, last.named_at, last.final_at)
        elif not last or turn.end > last.end:
            start = max(turn.start, last.end) if last else turn.start
            joined.append(Turn(start, turn.end, turn.name, 1.0, True, turn.named_at, turn.final_at))
    return joined
