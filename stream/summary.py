"""What a session came to, told when it has ended: who talked how long, what was lost, which files were written."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from stream.cells import cut
from stream.clock import format_seconds, samples_to_seconds
from stream.outputs import Output
from stream.records import UNKNOWN, Loss, Turn
from stream.text import safe_text

__all__ = ["Summary"]

_MOST_NAMES = 1_000  # whoever comes later is added up as one, so that memory does not grow
_OTHERS = "others"
_WIDEST = 24


class Summary(Output):
    """Adds up the final turns.

    Args:
        source: what is listened to.
    """

    keeps_decisions = False

    def __init__(self, source: str) -> None:
        self._source = source
        self._turns: dict[str, int] = {}
        self._talked: dict[str, int] = {}  # samples at 16 kHz
        self._duration = self._gaps = 0
        self._loss = Loss()

    def write(self, turn: Turn) -> None:
        """Count a final turn."""
        if not turn.final:
            return
        name = turn.name if turn.name in self._turns or len(self._turns) < _MOST_NAMES else _OTHERS
        self._turns[name] = self._turns.get(name, 0) + 1
        self._talked[name] = self._talked.get(name, 0) + turn.end - turn.start

    def end(self, duration: int, loss: Loss, gaps: int) -> None:
        """Keep how long it was, and what was lost."""
        self._duration, self._loss, self._gaps = duration, loss, gaps

    def close(self) -> None:
        """Nothing is open."""

    def lines(self, files: Sequence[str] = ()) -> Iterator[str]:
        """The summary, for eyes.

        Args:
            files: what was written.
        """
        yield f"{_clock(self._duration)} of {safe_text(self._source)}"
        names = sorted(self._talked, key=lambda name: (name in (UNKNOWN, _OTHERS), -self._talked[name]))
        width = min(max([cell_len(safe_text(name)) for name in names], default=0), _WIDEST)
        total = sum(self._talked.values())
        for name in names:
            turns, talked = self._turns[name], self._talked[name]
            share = f"{100 * talked / total:3.0f} %"
            yield f"  {cut(name, width, pad=True)}  {_clock(talked)}  {share}  {turns} turn{'s' * (turns != 1)}"
        if not names:
            yield "  nobody spoke"
        if self._loss or self._gaps:
            yield f"  lost on the way: {self._gaps} gaps, {self._loss}"
        else:
            yield "  no sound was lost"
        for file in files:
            yield f"  written: {safe_text(file)}"


def _clock(samples: int) -> str:
    return format_seconds(samples_to_seconds(samples))
