"""How well embeddings tell voices apart: trials, equal error rate, calibration.

A trial compares two pieces of speech. Trials are made within one corpus (a channel), from different
sessions of a speaker where there are any, and every figure is one corpus's own.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip

__all__ = ["Piece", "Trials", "cut_pieces", "equal_error_rate", "make_trials"]

MIN_SPEECH_SHARE = 0.6  # of a piece: with less speech it says little about the voice


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """A stretch of speech of one length by one speaker."""

    corpus: str
    speaker: str
    sessions: frozenset[str]  # where it was cut from; two pieces that share one are not compared
    mfcc: NDArray[np.float32]  # (n, n_mfcc)
    speech: NDArray[np.float32]  # (n,)


@dataclass(frozen=True, eq=False, slots=True)
class Trials:
    """Scored comparisons of one corpus."""

    corpus: str
    speakers: int
    scores: NDArray[np.float64]  # (n,), higher for more alike
    target: NDArray[np.bool_]  # (n,), True where both pieces are one speaker's

    @property
    def eer(self) -> float:
        """Equal error rate, in [0, 1]."""
        return equal_error_rate(self.scores, self.target)


def equal_error_rate(scores: NDArray[np.floating], target: NDArray[np.bool_]) -> float:
    """Where misses are as frequent as false alarms, interpolated between the two thresholds beside it.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    0.0
    >>> equal_error_rate(np.array([0.9, 0.2, 0.8, 0.1]), np.array([True, True, False, False]))
    0.5
    """
    order = np.argsort(scores, kind="stable")
    hits = target[order]
    misses = np.concatenate([[0], np.cumsum(hits)]) / max(1, int(hits.sum()))
    alarms = 1 - np.concatenate([[0], np.cumsum(~hits)]) / max(1, int((~hits).sum()))
    after = int(np.argmax(misses >= alarms))
    if after == 0:
        return float(misses[0])
    before = after - 1
    gap_before, gap_after = alarms[before] - misses[before], misses[after] - alarms[after]
    share = gap_before / (gap_before + gap_after) if gap_before + gap_after else 0.0
    return float(misses[before] + share * (misses[after] - misses[before]))


def cut_pieces(
    frames: list[tuple[Clip, NDArray[np.float32], NDArray[np.float32]]],
    n_frames: int,
    *,
    per_speaker: int = 16,
    seed: int = 0,
) -> list[Piece]:
    """Pieces of `n_frames`, cut where there is speech.

    A clip that is long enough gives pieces of its own; shorter clips of a speaker are joined until they
    are long enough, so that one-second words can be compared at two seconds.

    Args:
        frames: (clip, MFCC rows, speech probabilities) of every clip.
        n_frames: length of a piece, in frames of 10 ms.
        per_speaker: at most so many pieces of one speaker, drawn at random.
        seed: of that draw.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[tuple[str, str], list[tuple[Clip, NDArray[np.float32], NDArray[np.float32]]]] = defaultdict(list)
    for clip, mfcc, speech in frames:
        by_speaker[clip.corpus, clip.speaker].append((clip, mfcc, speech))
    pieces: list[Piece] = []
    for (corpus, speaker), clips in sorted(by_speaker.items(), key=lambda item: item[0]):
        found: list[Piece] = []
        joined: list[tuple[Clip, NDArray[np.float32], NDArray[np.float32]]] = []
        for clip, mfcc, speech in clips:
            for at in range(0, len(mfcc) - n_frames + 1, n_frames):
                cut = slice(at, at + n_frames)
                found.append(Piece(corpus, speaker, frozenset([clip.session]), mfcc[cut], speech[cut]))
            if len(mfcc) >= n_frames:
                continue
            joined.append((clip, mfcc, speech))
            if sum(len(m) for _, m, _ in joined) >= n_frames:
                found.append(
                    Piece(
                        corpus,
                        speaker,
                        frozenset(c.session for c, _, _ in joined),
                        np.concatenate([m for _, m, _ in joined])[:n_frames],
                        np.concatenate([s for _, _, s in joined])[:n_frames],
                    )
                )
                joined = []
        found = [piece for piece in found if piece.speech.mean() >= MIN_SPEECH_SHARE]
        pieces += [found[i] for i in sorted(rng.permutation(len(found))[:per_speaker])]
    return pieces


def make_trials(pieces: list[Piece], embeddings: NDArray[np.floating]) -> list[Trials]:
    """Every pair of pieces within a corpus, scored by the cosine of their embeddings.

    Pairs of one speaker count only when they share no session. A corpus without such a pair is left out.

    Args:
        pieces: what was embedded.
        embeddings: (len(pieces), d), unit length.
    """
    result = []
    corpora = np.array([piece.corpus for piece in pieces])
    for corpus in sorted(set(corpora)):
        (members,) = np.nonzero(corpora == corpus)
        cosines = embeddings[members].astype(np.float64) @ embeddings[members].T.astype(np.float64)
        speakers = np.array([pieces[i].speaker for i in members])
        same = speakers[:, None] == speakers[None, :]
        apart = np.array([[not (pieces[i].sessions & pieces[j].sessions) for j in members] for i in members])
        pair = np.triu(np.ones_like(same), 1) & (~same | apart)
        if (pair & same).any() and (pair & ~same).any():
            result.append(Trials(str(corpus), len(set(speakers)), cosines[pair], same[pair]))
    return result
