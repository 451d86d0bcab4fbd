"""Text in a line of exactly so many cells: what a terminal shows of a letter is none, one or two cells wide."""

import re
import unicodedata

from rich.cells import cell_len
from rich.text import Text

from stream.text import safe_text

__all__ = ["bar", "cut", "exactly", "tame"]

# Terminals disagree about the width of emoji joined into one: shown one by one they all agree.
_JOINED_EMOJI = re.compile("(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\ufe0f")


def exactly(line: Text, width: int) -> Text:
    """A copy of `line` cropped or padded to `width` cells."""
    line = line.copy()
    line.truncate(max(width, 0), overflow="crop", pad=True)
    line.no_wrap, line.overflow, line.end = True, "crop", "\n"
    return line


def cut(text: str, cells: int, *, pad: bool = False) -> str:
    """`text` in at most `cells` cells, safe for the terminal; padded to exactly that many if asked for.

    >>> cut("Johannes", 5), cut("宇宙", 3), cut("Zoë", 5, pad=True)
    ('Joha…', '宇…', 'Zoë  ')
    """
    cells = max(cells, 1)
    shown = tame(text, cells)
    if cell_len(shown) > cells:
        while cell_len(shown) > cells - 1:
            shown = shown[:-1]
        shown += "…"
    padding = " " * (cells - cell_len(shown)) if pad else ""
    if any(unicodedata.bidirectional(character) in ("R", "AL") for character in shown):
        # A left-to-right mark on both sides, else the numbers beside a Hebrew name change places with it.
        shown = f"\u200e{shown}\u200e"
    return shown + padding


def tame(text: str, cells: int) -> str:
    """As much of `text` as `cells` cells could need, made safe for the terminal."""
    # A letter has at most four marks, so that what is beyond six characters a cell cannot be seen.
    return _JOINED_EMOJI.sub("", safe_text(text[: 6 * cells + 6]))


def bar(share: float, width: int, colour: str, rest: str = "─") -> Text:
    """A line of `width` cells of which `share` is heavy, to half a cell, and the rest is `rest`.

    >>> bar(0.5, 8, "red").plain, bar(0.2, 8, "red").plain
    ('━━━━────', '━╾──────')
    """
    width = max(width, 0)
    full, half = divmod(round(2 * width * min(share, 1.0)) if share > 0 else 0, 2)
    heavy = "━" * full + ("╸" if rest == " " else "╾") * half
    return Text.assemble((heavy, colour), (rest * (width - len(heavy)), "dim"))
