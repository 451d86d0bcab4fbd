"""Other ways to decide who speaks, each in a process of its own that says how long a decision took it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from model import peer
from model.other_python import other_python

__all__ = ["Rival", "open_rivals"]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Rival:
    """A process that was told the sound; see `model.peer.answer`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        self._in, self._out = process.stdin, process.stdout
        self._ways: list[str] = json.loads(self._line())

    def ask(self, end: int) -> dict[str, tuple[float, float]]:
        """By way, the milliseconds that a decision took, by the wall and of processor time.

        Args:
            end: one past the last sample of the windows that are decided about.

        Raises:
            EOFError: the process has ended.
        """
        print(end, file=self._in, flush=True)
        return {way: (wall, busy) for way, (wall, busy) in zip(self._ways, json.loads(self._line()), strict=True)}

    def _line(self) -> str:
        line = self._out.readline()
        if not line:
            raise EOFError("the process has ended")
        return line


@contextmanager
def open_rivals(samples: NDArray[np.float32], peer_python: Path | None, *, naive: bool) -> Iterator[list[Rival]]:
    """Start them, ready to be asked, with one thread each.

    Args:
        samples: (n,) mono at 16 kHz, what they decide about.
        peer_python: the Python of an environment that has Resemblyzer, to have it: see `model.peer`.
        naive: whether to have the usual way: see `model.usual`.

    Raises:
        UsageError: one of them cannot be started, or ends while it is asked.
    """
    with TemporaryDirectory(prefix="livespeaker-bench-") as folder, ExitStack() as stack:
        sound = Path(folder, "sound.npy")
        np.save(sound, samples, allow_pickle=False)
        programs: list[tuple[Path, list[str], str]] = []
        if peer_python is not None:
            # -I: else the names of this package's files would hide those of the standard library.
            programs.append((peer_python, ["-I", str(peer.__file__), str(sound)], "Resemblyzer"))
        if naive:
            # -P: else a folder called `model` where the user happens to be would be taken for this one.
            programs.append((Path(sys.executable), ["-P", "-m", "model.usual", str(sound)], "TensorFlow"))
        yield [Rival(stack.enter_context(other_python(*program, env=ONE_THREAD))) for program in programs]
