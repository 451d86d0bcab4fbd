"""Trials: which pieces of speech are compared, and how the network fares on them while it is trained.

A trial compares two pieces of speech. Trials are made within one corpus (a channel), from different
sessions of a speaker where there are any, and every figure is one corpus's own.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip, read_audio
from model.feature_store import clip_rows, mel_filter_bank
from model.metrics import equal_error_rate
from stream.errors import FileError
from stream.mfcc import MfccConfig

__all__ = ["Piece", "Spoken", "Trials", "cosine", "cut_pieces", "cut_stretches", "dev_frames", "make_trials"]

ClipFrames = tuple[Clip, NDArray[np.float32], NDArray[np.float32]]

MIN_SPEECH_SHARE = 0.6  # of a piece: with less speech it says little about the voice


@dataclass(frozen=True, eq=False, slots=True)
class Spoken:
    """Something said by one speaker."""

    corpus: str
    speaker: str
    sessions: frozenset[str]  # where it was cut from; two pieces that share one are not compared


@dataclass(frozen=True, eq=False, slots=True)
class Piece(Spoken):
    """A stretch of speech of one length, as features."""

    mfcc: NDArray[np.float32]  # (n, n_mfcc)
    speech: NDArray[np.float32]  # (n,)


@dataclass(frozen=True, eq=False, slots=True)
class Trials:
    """Scored comparisons of one corpus."""

    corpus: str
    speakers: int
    scores: NDArray[np.float64]  # (n,), higher for more alike
    target: NDArray[np.bool_]  # (n,), True where both pieces are one speaker's
    pair: NDArray[np.int32]  # (n, 2), the numbers of the two speakers, in [0, speakers)

    @property
    def eer(self) -> float:
        """Equal error rate, in [0, 1]."""
        return equal_error_rate(self.scores, self.target)

    def figures(self) -> dict[str, float]:
        """The equal error rate, and of how much: for the card of the weights."""
        eer, targets = round(self.eer, 4), int(self.target.sum())
        return {"eer": eer, "speakers": self.speakers, "trials": len(self.scores), "targets": targets}


def dev_frames(
    clips: list[Clip], mfcc: MfccConfig, cache: Path, on_done: Callable[[int], None], on_skip: Callable[[str], None]
) -> list[ClipFrames]:
    """(clip, MFCC rows (n, n_mfcc), speech probabilities (n,)) of every clip that can be read, through a cache.

    Args:
        clips: speakers that are not trained on.
        mfcc: the feature settings.
        cache: an .npz file, made when it is not there and made anew when it is of other clips or settings.
        on_done: called with the number of clips that are done.
        on_skip: called with a line about every clip that cannot be read.
    """
    made_from = json.dumps([str(mfcc), *(str(clip.path) for clip in clips)])
    frames = _read_cache(cache, clips, made_from)
    if frames is None:
        bank = mel_filter_bank(mfcc)
        frames = []
        for i, clip in enumerate(clips):
            on_done(i)
            try:
                samples = read_audio(clip.path)
            except FileError as error:
                on_skip(str(error))
                continue
            if len(samples) >= mfcc.n_fft:
                frames.append((clip, *clip_rows(samples, mfcc, bank)))
        _write_cache(cache, clips, made_from, frames)
    on_done(len(clips))
    return frames


def _read_cache(cache: Path, clips: list[Clip], made_from: str) -> list[ClipFrames] | None:
    try:
        with np.load(cache, allow_pickle=False) as kept:
            if str(kept["made_from"]) != made_from:
                return None
            cuts = np.cumsum(kept["lengths"])[:-1]
            mfcc, speech = np.split(kept["mfcc"], cuts), np.split(kept["speech"], cuts)
            return [(clips[i], m, s) for i, m, s in zip(kept["clips"], mfcc, speech, strict=True)]
    except (OSError, ValueError, KeyError, BadZipFile):
        return None  # it is only a cache


def _write_cache(cache: Path, clips: list[Clip], made_from: str, frames: list[ClipFrames]) -> None:
    if not frames:
        return
    number = {clip: i for i, clip in enumerate(clips)}
    partial = cache.with_name("new-" + cache.name)
    np.savez(
        partial,
        made_from=made_from,
        clips=[number[clip] for clip, _, _ in frames],
        lengths=[len(rows) for _, rows, _ in frames],
        mfcc=np.concatenate([rows for _, rows, _ in frames]),
        speech=np.concatenate([speech for _, _, speech in frames]),
    )
    partial.replace(cache)


def cut_stretches(
    heard: Sequence[tuple[int, NDArray[np.floating]]], n: int, *, unit: int = 1
) -> Iterator[list[tuple[int, slice]]]:
    """Where there is speech of one length in the clips of a speaker.

    A clip that is long enough gives stretches of its own, side by side; shorter ones are joined, without their
    silent ends, until they are long enough, so that one-second words can be compared at two seconds.

    Args:
        heard: the length of every clip, and its speech probabilities, one for every `unit` of length.
        n: the length that is wanted.
        unit: see `heard`.

    Yields:
        The clips, by number, that a stretch is joined from, and what is taken of each.
    """
    joined: list[tuple[int, slice]] = []
    missing = n
    for clip, (length, speech) in enumerate(heard):
        if length >= n:
            for at in range(0, length - n + 1, n):
                if speech[at // unit : (at + n) // unit].mean() >= MIN_SPEECH_SHARE:
                    yield [(clip, slice(at, at + n))]
            continue
        (loud,) = np.nonzero(speech > 0.5)
        if len(loud):
            first = int(loud[0]) * unit
            taken = min(missing, (int(loud[-1]) + 1) * unit - first)
            joined.append((clip, slice(first, first + taken)))
            missing -= taken
        if not missing:
            yield joined
            joined, missing = [], n


def cut_pieces(
    frames: list[ClipFrames],
    n_frames: int,
    *,
    per_speaker: int = 16,
    seed: int = 0,
) -> list[Piece]:
    """Pieces of `n_frames`, as `cut_stretches` finds them.

    Args:
        frames: (clip, MFCC rows, speech probabilities) of every clip.
        n_frames: length of a piece, in frames of 10 ms.
        per_speaker: at most so many pieces of one speaker, drawn at random.
        seed: of that draw.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[tuple[str, str], list[ClipFrames]] = defaultdict(list)
    for clip, mfcc, speech in frames:
        by_speaker[clip.corpus, clip.speaker].append((clip, mfcc, speech))
    pieces: list[Piece] = []
    for (corpus, speaker), clips in sorted(by_speaker.items(), key=lambda item: item[0]):
        found = list(cut_stretches([(len(speech), speech) for _, _, speech in clips], n_frames))
        for i in sorted(rng.permutation(len(found))[:per_speaker]):
            sessions = frozenset(clips[clip][0].session for clip, _ in found[i])
            mfcc = np.concatenate([clips[clip][1][cut] for clip, cut in found[i]])
            speech = np.concatenate([clips[clip][2][cut] for clip, cut in found[i]])
            pieces.append(Piece(corpus, speaker, sessions, mfcc, speech))
    return pieces


def cosine(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, n) the cosines of (n, d) vectors of unit length."""
    wide = vectors.astype(np.float64)
    return wide @ wide.T


def make_trials(
    pieces: Sequence[Spoken],
    embeddings: NDArray[np.floating],
    score: Callable[[NDArray[np.floating]], NDArray[np.floating]] = cosine,
) -> list[Trials]:
    """Every pair of pieces within a corpus, scored.

    Pairs of one speaker count only when they share no session. A corpus without such a pair is left out.

    Args:
        pieces: what was embedded.
        embeddings: (len(pieces), d), unit length.
        score: (n, d) to (n, n), how alike each is to each.
    """
    result = []
    corpora = np.array([piece.corpus for piece in pieces])
    for corpus in sorted(set(corpora)):
        members = np.flatnonzero(corpora == corpus).tolist()
        scores = np.asarray(score(embeddings[members]), np.float64)
        names, number = np.unique([pieces[i].speaker for i in members], return_inverse=True)
        same = number[:, None] == number[None, :]
        apart = np.array([[not (pieces[i].sessions & pieces[j].sessions) for j in members] for i in members])
        pair = np.triu(np.ones_like(same), 1) & (~same | apart)
        if (pair & same).any() and (pair & ~same).any():
            speakers = np.stack(np.broadcast_arrays(number[:, None], number[None, :]), axis=-1).astype(np.int32)
            result.append(Trials(str(corpus), len(names), scores[pair], same[pair], speakers[pair]))
    return result
