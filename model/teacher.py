"""What other speaker encoders hear in the training clips.

The network is taught to predict it beside its own task (distillation; Hinton et al., 2015), which passes on
what they learned from many more voices. Half of a lesson is what they hear in the very stretch that the
network hears, so that there are as many lessons as stretches, and half what they think of the voice as a
whole, which does not depend on the words. Nobody need be named. `examples/ask_teacher.py` writes the file.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip, name_in
from stream.errors import FileError
from stream.text import one_line

__all__ = ["Lessons", "Stretch", "read_teacher", "unit"]

WINDOW_ROWS = 200  # that the teachers heard at once, in rows of 10 ms, as in examples/ask_teacher.py

Stretch = tuple[int, int, int]
"""An entry of the feature store, a row of it, and how many rows from there."""


class Lessons:
    """Teachers' embeddings of the windows of all entries of a feature store.

    Args:
        said: (w, d) of every window, unit length.
        start: (w,) its first row, counted from the beginning of its clip.
        windows: (entries, 2) which of them are an entry's: from, and up to.
        before: (entries,) rows of its clip before its first.
        voices: (v, d) what is thought of every voice, unit length, zeros where nothing.
    """

    def __init__(
        self,
        said: NDArray[np.float16],
        start: NDArray[np.float32],
        windows: NDArray[np.int64],
        before: NDArray[np.int64],
        voices: NDArray[np.float32],
    ) -> None:
        self._said, self._start, self._windows, self._before, self._voices = said, start, windows, before, voices

    @property
    def size(self) -> int:
        """Values of a lesson."""
        return int(self._voices.shape[1])

    def of(self, voice: int, heard: Sequence[Stretch]) -> NDArray[np.float32]:
        """(d,) what to predict where a voice is heard in these stretches: unit length, or zeros for nothing."""
        local = np.zeros(self.size, np.float32)
        for entry, first, n in heard:
            at, end = self._windows[entry].tolist()
            if at < end:
                start = self._start[at:end] - (self._before[entry] + first)
                shared = np.minimum(start + WINDOW_ROWS, n) - np.maximum(start, 0.0)
                # A stretch at the edge of a clip may lie beside all windows: the nearest knows it best.
                weight = np.maximum(shared, 0.0) if shared.max() > 0 else (shared == shared.max()) * np.float32(n)
                local += weight.astype(np.float32) @ self._said[at:end].astype(np.float32)
        return unit(unit(local) + self._voices[voice])


def read_teacher(
    file: Path, corpus: Path, clips: Sequence[Clip], entries: NDArray[np.int64], voices: Sequence[NDArray[np.int64]]
) -> Lessons:
    """The lessons of a feature store.

    The mean of each corpus is taken away from each teacher's embeddings: a teacher hears the channel too, and
    that is not to be learned. Then the teachers stand side by side, with the same weight.

    Args:
        file: an .npz of `clips` (m,), paths relative to the corpus, of `clip` (w,), `speed` (w,) in per cent and
            `start` (w,) in seconds of every window, and one array (w, d) for each teacher.
        corpus: the folder, or the manifest in it, that the paths are relative to.
        clips: the training clips.
        entries: of the feature store; see `FeatureStore`.
        voices: the entries of every voice.

    Raises:
        FileError: the file is none of that, or knows none of the clips.
    """
    again = "write it with examples/ask_teacher.py"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names, clip, speed, start = (arrays[name] for name in ("clips", "clip", "speed", "start"))
            teachers = [arrays[name] for name in arrays.files if arrays[name].ndim == 2]
        if not teachers or not len(clip) or any(len(column) != len(clip) for column in (speed, start, *teachers)):
            raise ValueError(f"{len(clip)} windows and {len(teachers)} teachers")
        order = np.lexsort([start, speed, clip])
        clip, speed, start = clip[order], speed[order], start[order]
        of = names[clip]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise FileError(f"expected teachers' embeddings in {file}, got: {one_line(error)}; {again}") from error
    # Windows stand by clip and speed now: where each begins, and the next.
    cuts = [0, *(np.flatnonzero((np.diff(clip) != 0) | (np.diff(speed) != 0)) + 1).tolist(), len(clip)]
    ranges = {(str(of[at]), int(speed[at])): (at, end) for at, end in pairwise(cuts)}
    folder = corpus if corpus.is_dir() else corpus.parent
    paths = [name_in(folder, clip.path) for clip in clips]
    windows = np.array([ranges.get((paths[entry[0]], int(entry[1])), (0, 0)) for entry in entries], np.int64)
    asked = [np.concatenate([np.arange(*pair) for pair in np.unique(windows[own], axis=0)]) for own in voices]
    if not any(map(len, asked)):
        raise FileError(f"expected {file} to know clips of {corpus}, it knows none; {again}")
    by_corpus: dict[str, list[int]] = defaultdict(list)
    for i, own in enumerate(voices):
        if len(asked[i]):
            by_corpus[clips[entries[own[0], 0]].corpus].append(i)
    said, thought = [], []
    for vectors in (teacher[order].astype(np.float32) for teacher in teachers):
        means = np.array([vectors[own].mean(axis=0) if len(own) else 0 * vectors[0] for own in asked])
        for members in by_corpus.values():
            channel = means[members].mean(axis=0)
            means[members] -= channel
            heard = np.unique(np.concatenate([asked[i] for i in members]))
            vectors[heard] -= channel
        said.append(unit(vectors).astype(np.float16))
        thought.append(unit(means))
    alike = np.float32(len(teachers) ** -0.5)
    return Lessons(
        np.hstack(said) * np.float16(alike),
        (start * 100).astype(np.float32),
        windows,
        entries[:, 5],
        np.hstack(thought) * alike,
    )


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) rows of unit length; all zeros stay so: a corpus of one voice says nothing."""
    scaled: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)
    return scaled
