"""A teacher's embeddings: what another speaker encoder thinks of the training clips.

The network is taught to predict them beside its own task (distillation; Hinton et al., 2015), which
passes on what a teacher learned from many more voices. `examples/ask_teacher.py` writes the file.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.corpus import Clip
from stream.errors import FileError
from stream.text import one_line

__all__ = ["read_teacher"]


def read_teacher(file: Path, corpus: Path, clips: list[Clip]) -> NDArray[np.float32]:
    """What to predict for every clip: (len(clips), d), unit length, zeros where the teacher says nothing.

    The mean of each corpus is taken away: a teacher hears the channel too, and that is not to be learned.

    Args:
        file: an .npz of `path` (n,), relative to the corpus, and `vector` (n, d).
        corpus: the folder that the paths are relative to.
        clips: the training clips.

    Raises:
        FileError: the file is none of that, or knows none of the clips.
    """
    again = "write it with examples/ask_teacher.py"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            known = dict(zip(arrays["path"].tolist(), arrays["vector"].astype(np.float32), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"expected a teacher's embeddings in {file}, got: {one_line(error)}; {again}") from error
    rows = [known.get(_relative(clip.path, corpus)) for clip in clips]
    found = [row for row in rows if row is not None]
    if not found:
        raise FileError(f"expected {file} to know clips of {corpus}, it knows none; {again}")
    vectors = np.zeros((len(clips), len(found[0])), np.float32)
    for name in {clip.corpus for clip in clips}:
        members = [i for i, clip in enumerate(clips) if clip.corpus == name and rows[i] is not None]
        if len(members) > 1:
            values = np.stack([row for i in members if (row := rows[i]) is not None])
            values = values - values.mean(axis=0)
            vectors[members] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    return vectors


def _relative(path: Path, corpus: Path) -> str:
    folder = corpus if corpus.is_dir() else corpus.parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()
