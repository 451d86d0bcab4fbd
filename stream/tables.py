"""Final turns for audio editors and spreadsheets: an Audacity label track, and CSV."""

import csv
import io
from pathlib import Path

from stream.clock import samples_to_milliseconds
from stream.outputs import Output, latencies
from stream.records import Turn
from stream.text import safe_text

__all__ = ["Csv", "Labels"]

_COLUMNS = ("start_s", "end_s", "name", "probability", "guess_latency_s", "final_latency_s", "second")
# What a cell begins with that a spreadsheet computes (OWASP, CSV injection), in both widths.
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"


class Labels(Output):
    """Final turns as an Audacity label track: start and end in seconds and the name, between tabs.

    Args:
        file: path to write, or `-`.
    """

    def write(self, turn: Turn) -> None:
        """Put down a final turn; guesses have no place in a label track."""
        if turn.final:
            start_s, end_s = _times(turn)
            self._put(f"{start_s:.6f}\t{end_s:.6f}\t{safe_text(turn.name)}")


class Csv(Output):
    """Final turns as CSV (RFC 4180, UTF-8) under one line of headings; times in seconds, as in `JsonLines`.

    A name that a spreadsheet would take for a formula gets an apostrophe before it; `JsonLines` gives every name back
    exactly.

    Args:
        file: path to write, or `-`.
    """

    def __init__(self, file: str | Path) -> None:
        super().__init__(file)
        self._row(_COLUMNS)

    def write(self, turn: Turn) -> None:
        """Put down a final turn; guesses have no place in the table."""
        if turn.final:
            times = (f"{at_s:.3f}" for at_s in _times(turn))
            took = latencies(turn)
            late = (f"{took[name]:.3f}" if name in took else "" for name in _COLUMNS[4:-1])
            self._row((*times, _cell(turn.name), f"{turn.probability:.4f}", *late, _cell(turn.second or "")))

    def _row(self, cells: tuple[str, ...]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r").writerow(cells)  # the line feed comes with every line
        self._put(line.getvalue())


def _times(turn: Turn) -> tuple[float, float]:
    return samples_to_milliseconds(turn.start) / 1000, samples_to_milliseconds(turn.end) / 1000


def _cell(name: str) -> str:
    shown = safe_text(name)
    return f"'{shown}" if shown.lstrip().startswith(tuple(_FORMULA)) else shown
