"""Final turns as subtitles, SubRip and WebVTT: the name of who speaks, while they speak.

A name is one line of text that a player shows as it is: what it would obey is escaped, or, where the format knows no
way to escape, replaced by what looks like it.
"""

from pathlib import Path

from stream.clock import samples_to_milliseconds
from stream.outputs import Output
from stream.records import Turn
from stream.text import safe_text

__all__ = ["Srt", "Vtt"]

_NOBODY = "-"  # a caption without text would end where its name should stand

# SubRip was never written down: players obey HTML tags, `{\an8}`, and some `\N`, and nothing escapes them.
_SRT_LOOKALIKES = str.maketrans("<>{}\\", "\u2039\u203a()/")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # WebVTT, W3C, section 4.2.2; `-->` too


class Srt(Output):
    """Final turns as SubRip (.srt): numbered blocks, times as `hours:minutes:seconds,milliseconds`.

    Args:
        file: path to write, or `-`.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__(file)
        self._number = 0

    def write(self, turn: Turn) -> None:
        """Put down a final turn; guesses have no place in subtitles."""
        if turn.final:
            self._number += 1
            name = safe_text(turn.name).translate(_SRT_LOOKALIKES).strip() or _NOBODY
            self._put(f"{self._number}\n{_span(turn, ',')}\n{name}\n")


class Vtt(Output):
    """Final turns as WebVTT (.vtt): cues, times as `hours:minutes:seconds.milliseconds`.

    Args:
        file: path to write, or `-`.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__(file)
        self._put("WEBVTT\n")

    def write(self, turn: Turn) -> None:
        """Put down a final turn; guesses have no place in subtitles."""
        if turn.final:
            name = safe_text(turn.name).translate(_VTT_ESCAPES).strip() or _NOBODY
            self._put(f"{_span(turn, '.')}\n{name}\n")


def _span(turn: Turn, point: str) -> str:
    start, end = (_clock(samples_to_milliseconds(at), point) for at in (turn.start, turn.end))
    return f"{start} --> {end}"


def _clock(ms: int, point: str) -> str:
    """A time with at least two digits for the hours.

    >>> _clock(3_723_004, ","), _clock(360_000_000, ".")
    ('01:02:03,004', '100:00:00.000')
    """
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{ms:03d}"
