"""Keeping libraries written in C off the user's screen."""

import contextlib
import os
from collections.abc import Iterator

__all__ = ["quiet_stderr"]


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Nothing on file descriptor 2 meanwhile.

    PortAudio and ALSA write there about ways to open that they refuse, LiteRT about every delegate that
    it makes, and none of them can be told not to.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed: there is nobody to disturb
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
