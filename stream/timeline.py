"""A picture of a session: who spoke when, how sure that is, and where sound was lost; a reference beneath it."""

import io
import os
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stream.clock import samples_to_seconds
from stream.errors import OutputError, UsageError
from stream.fonts import families_for
from stream.outputs import Output
from stream.records import UNKNOWN, Gap, Loss, Turn, guest_number
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Timeline", "check_timeline_path", "draw_timeline"]

# Okabe and Ito, 2008: told apart by the colour blind too. Their black is left to text, grey is for strangers.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STRANGER = "#595959"  # a lighter grey is green to who lacks green cones
_PALEST = 0.2  # opacity of a turn of probability 0
_MOST = 20_000  # turns, and gaps, that are kept: more than a day of talk, and more than a picture can show
_NAME_LETTERS = 32  # of a longer name, that many are shown
_TITLE_LETTERS = 100
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 12
_ROW_INCHES = 0.42


def check_timeline_path(path: str | Path) -> None:
    """See that a picture of this name can be drawn.

    Raises:
        UsageError: it ends neither in .png nor in .svg.
    """
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--timeline wants a file that ends in .png or .svg, got {safe_text(str(path))}; rename it")


class Timeline(Output):
    """Draws the final turns and the gaps of a session when it has ended; a picture that is there is replaced then.

    Of a very long session it keeps the last 20,000 turns, and the picture begins with the first of these.

    Args:
        file: to draw, .png or .svg.
        title: what was listened to.
        reference: what was really said, to be drawn beneath.

    Raises:
        UsageError: see `check_timeline_path`.
        OutputError: the file cannot be written.
    """

    def __init__(self, file: str | Path, title: str, reference: Sequence[Turn] = ()) -> None:
        check_timeline_path(file)
        # Drawn beside its place and moved there whole: whatever ends the program, a picture that is there is whole.
        super().__init__(f"{file}.part")
        self._place, self._title, self._reference = Path(file), title, reference
        self._turns: deque[Turn] = deque(maxlen=_MOST)
        self._gaps: deque[Gap] = deque(maxlen=_MOST)

    def write(self, turn: Turn) -> None:
        """Keep a final turn."""
        if turn.final:
            self._turns.append(turn)

    def gap(self, start: int, end: int) -> None:
        """Keep a gap."""
        self._gaps.append(Gap(start, end))

    def end(self, duration: int, loss: Loss, gaps: int) -> None:  # noqa: ARG002 - the gaps are known
        """Draw."""
        start = self._turns[0].start if len(self._turns) == _MOST else 0
        figure = draw_timeline(self._title, self._turns, self._gaps, duration, self._reference, start)
        picture = io.BytesIO()
        _save(figure, picture, self._place.suffix.lower()[1:])
        self._put_bytes(picture.getvalue())
        self.close()

    def close(self) -> None:
        """Put the picture, if it was drawn, into its place. Closing again does nothing."""
        super().close()
        part = Path(self._path)
        try:
            if part.exists() and part.stat().st_size:
                os.replace(part, self._place)
        except OSError as error:
            raise OutputError(
                f"cannot write to {safe_text(str(self._place))}: {system_reason(error)}; give another path"
            ) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def draw_timeline(
    title: str,
    turns: Sequence[Turn],
    gaps: Sequence[Gap],
    duration: int,
    reference: Sequence[Turn] = (),
    start: int = 0,
) -> "Figure":
    """A row for each name and a bar for each turn, the paler the less sure; gaps are hatched through all rows.

    Args:
        title: what was listened to.
        turns: final turns.
        gaps: lost sound.
        duration: samples at 16 kHz until the session ended.
        reference: what was really said, in rows of its own beneath; a name has one colour in both.
        start: sample at 16 kHz at which the picture begins.

    Returns:
        A matplotlib figure that belongs to no window and no backend.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    told, said = _rows(turns), _rows(reference)
    everybody = [person for person in dict.fromkeys(map(_person, (*told, *said))) if person != UNKNOWN]
    # In the order of the rows, so that neighbours differ however many there are.
    colours = {person: _COLOURS[i % len(_COLOURS)] for i, person in enumerate(everybody)} | {UNKNOWN: _STRANGER}
    heights = [max(1, len(rows)) for rows in ([told, said] if reference else [told])]
    families = families_for("".join([title, *told, *said]))
    with rc_context({"font.family": families}):
        figure = Figure(figsize=(12, 1.5 + _ROW_INCHES * sum(heights) + 0.4 * len(heights)), layout="constrained")
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        _draw_rows(panels[0], turns, told, colours)
        panels[0].set_title(_cut(title, _TITLE_LETTERS), loc="left", parse_math=False)
        if reference:
            _draw_rows(panels[1], reference, said, colours)
            panels[1].set_title("reference", loc="left", fontsize="medium")
        ends = [duration, *(turn.end for turn in reference)]
        for panel in panels:
            for gap in gaps:
                panel.axvspan(*_seconds(gap.start, gap.end), facecolor="none", edgecolor="#555555", hatch="////", lw=0)
        _draw_time(panels[-1], *_seconds(start, max(*ends, start + 1)))
        key = [Patch(color="#333333", alpha=_opacity(p), lw=0, label=f"{100 * p:.0f} % sure") for p in (1, 0.75, 0.5)]
        if gaps:
            key.append(Patch(facecolor="none", edgecolor="#555555", hatch="////", lw=0, label="sound lost"))
        figure.legend(handles=key, loc="outside upper right", ncols=len(key), frameon=False, fontsize="small")
    return figure


def _rows(turns: Sequence[Turn]) -> list[str]:
    """The names from top to bottom: as they first spoke, strangers last, those with a number first among them."""
    names = dict.fromkeys(turn.name for turn in turns)
    return sorted(names, key=lambda name: (name == UNKNOWN, guest_number(name) or 0))


def _person(name: str) -> str:
    return "_".join(name.split())  # as RTTM has to spell it


def _cut(text: str, letters: int) -> str:
    return safe_text(text if len(text) <= letters else text[: letters - 1] + "…")


def _draw_rows(panel: "Axes", turns: Sequence[Turn], rows: Sequence[str], colours: dict[str, str]) -> None:
    from matplotlib.colors import to_rgba

    for row, name in enumerate(rows):
        own = [turn for turn in turns if turn.name == name]
        spans = [(samples_to_seconds(turn.start), samples_to_seconds(turn.end - turn.start)) for turn in own]
        colour = colours[_person(name)]
        fills = [to_rgba(colour, _opacity(turn.probability)) for turn in own]
        panel.broken_barh(spans, (row - 0.38, 0.76), facecolors=fills, edgecolors=colour, linewidth=0.5)
    panel.set_yticks(range(len(rows)), [_cut(name, _NAME_LETTERS) for name in rows], parse_math=False)
    panel.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    if not rows:
        panel.text(0.5, 0.5, "nobody spoke", transform=panel.transAxes, ha="center", va="center", color=_STRANGER)


def _draw_time(panel: "Axes", start_s: float, end_s: float) -> None:
    from matplotlib.ticker import MultipleLocator

    step_s = next((step for step in _TICKS_S if (end_s - start_s) / step <= _MOST_TICKS), (end_s - start_s) / 10)
    panel.set_xlim(start_s, end_s)
    panel.xaxis.set_major_locator(MultipleLocator(step_s))
    panel.xaxis.set_major_formatter(lambda at_s, _: _clock(at_s, hours=end_s >= 3600))
    panel.set_xlabel("hours : minutes : seconds" if end_s >= 3600 else "minutes : seconds")


def _clock(at_s: float, *, hours: bool) -> str:
    """A time on the axis.

    >>> _clock(75.0, hours=False), _clock(3675.0, hours=True)
    ('01:15', '1:01:15')
    """
    minutes, seconds = divmod(round(at_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


def _opacity(probability: float) -> float:
    # What is no better than a coin is pale already.
    return _PALEST + (1 - _PALEST) * min(1.0, max(0.0, 2 * probability - 1)) if probability > 0 else _PALEST


def _seconds(start: int, end: int) -> tuple[float, float]:
    return samples_to_seconds(start), samples_to_seconds(end)


def _save(figure: "Figure", picture: io.BytesIO, kind: str) -> None:
    from matplotlib import rc_context

    # SVG keeps text as text: whoever looks at it has fonts for names that this machine has not.
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # a box is drawn
        figure.savefig(picture, format=kind, dpi=110)
