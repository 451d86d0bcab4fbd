"""What other speaker encoders think of the training voices.

The network is taught to predict it beside its own task (distillation; Hinton et al., 2015), which passes on
what they learned from many more voices. A voice is a speaker at one speed, or one clip at one speed where
nobody says who speaks: what is asked needs no names. `examples/ask_teacher.py` writes the file.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip
from stream.errors import FileError
from stream.text import one_line

__all__ = ["Voice", "read_teacher"]

Voice = tuple[Clip, int]
"""One of a voice's clips, and its speed in per cent."""


def read_teacher(file: Path, corpus: Path, voices: Sequence[Voice]) -> NDArray[np.float32]:
    """What to predict for every voice: (len(voices), d), unit length, zeros where the teachers say nothing.

    The mean of each corpus is taken away from each teacher's embeddings: a teacher hears the channel too, and
    that is not to be learned. Then the teachers stand side by side, with the same weight.

    Args:
        file: an .npz of `voice` (n,), the speaker's name or the clip's path relative to the corpus, `speed` (n,)
            in per cent, and one array (n, d) for each teacher.
        corpus: the folder, or the manifest in it, that the paths are relative to.
        voices: the training voices.

    Raises:
        FileError: the file is none of that, or knows none of the voices.
    """
    again = "write it with examples/ask_teacher.py"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            keys = zip(arrays["voice"].tolist(), arrays["speed"].tolist(), strict=True)
            row = {key: i for i, key in enumerate(keys)}
            teachers = [arrays[name].astype(np.float32) for name in arrays.files if arrays[name].ndim == 2]
        if not teachers or any(len(said) != len(row) for said in teachers):
            raise ValueError(f"{len(row)} voices and {len(teachers)} teachers")
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"expected teachers' embeddings in {file}, got: {one_line(error)}; {again}") from error
    folder = corpus if corpus.is_dir() else corpus.parent
    by_corpus: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, (clip, speed) in enumerate(voices):
        if (known := row.get((clip.speaker or _relative(clip.path, folder), speed))) is not None:
            by_corpus[clip.corpus].append((i, known))
    if not by_corpus:
        raise FileError(f"expected {file} to know voices of {corpus}, it knows none; {again}")
    lessons = np.zeros((len(voices), sum(said.shape[1] for said in teachers)), np.float32)
    for pairs in by_corpus.values():
        at, known_rows = np.array(pairs).T
        parts = [_unit(said[known_rows] - said[known_rows].mean(axis=0)) for said in teachers]
        lessons[at] = _unit(np.hstack(parts))
    return lessons


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    # All zeros stay so: a corpus of one voice says nothing.
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return unit


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
