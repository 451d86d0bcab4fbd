"""The screen: who is speaking now, how sure that is, who has spoken, and what was lost on the way.

`render` is a pure function from a snapshot to lines of exactly the given width, so that nothing jumps when
a number grows, and every state can be tested as text. `Dashboard` pulls the newest snapshot on a thread of
its own; the recognizer never waits for it. It writes the lines that have changed and no others: nothing flickers,
and a slow line to the terminal is enough.
"""

import os
from collections.abc import Callable
from itertools import zip_longest
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.text import Text

from stream.calm import Calm
from stream.cells import exactly
from stream.footer import Footer
from stream.panels import (
    footer_panel,
    last_minute_panel,
    level_panel,
    now_panel,
    page_panel,
    people_panel,
    turns_panel,
)
from stream.records import Snapshot

__all__ = ["Dashboard", "render"]

REFRESH_S = 0.1
"""Seconds between two looks at the snapshot; the recognizer makes one every 100 ms."""

_TWO_COLUMNS = 100  # from this width on the turns stand beside the people
_TALL = 36  # from this height on the name is twice as large
_REDRAW_LOOKS = 50  # looks after which every line is written anew: something else may have written to the terminal
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a line that a terminal takes for wider than we do must not move the next


def render(snapshot: Snapshot, width: int = 80, height: int = 24, footer: Footer | None = None) -> list[Text]:
    """Draw one moment.

    Args:
        snapshot: what to show; any text and any number in it is safe to show.
        width: cells in a line, at least 1; made for 60 and more.
        height: lines, at least 1; made for 24 and more.
        footer: what belongs to the keys.

    Returns:
        `height` lines of exactly `width` cells.
    """
    width, height, footer = max(width, 1), max(height, 1), footer or Footer()
    inner = max(width - 2, 1)  # a margin of one cell on both sides
    tall = height >= _TALL and width >= _TWO_COLUMNS
    top = now_panel(snapshot, width, 7 if tall else 4 if height >= 22 else 2)
    bottom = [_margin(line) for line in footer_panel(snapshot, footer, inner)]
    if height < 12:
        bottom = bottom[-1:] if footer.asked else bottom[:1]
    top.append(_margin(level_panel(snapshot, inner)))
    if height >= 18:
        top += [Text(), *(_margin(line) for line in last_minute_panel(snapshot, inner, 2 if tall else 1)), Text()]
    body = [_margin(line) for line in _body(snapshot, inner, height - len(top) - len(bottom), footer)]
    room = max(height - len(bottom), 0)
    lines = [*top, *body][:room]
    lines += [Text()] * (room - len(lines)) + bottom
    return [exactly(line, width) for line in lines[:height]]


def _body(snapshot: Snapshot, width: int, rows: int, footer: Footer) -> list[Text]:
    """People and turns, or the page of the keys, in at most `rows` lines."""
    if rows < 2:
        return []
    if footer.page:
        return page_panel(footer, width)[:rows]
    if width + 2 >= _TWO_COLUMNS:
        left = 3 * (width - 3) // 5
        people = people_panel(snapshot, left, rows - 2, footer.hint)
        turns = turns_panel(snapshot, width - 3 - left, rows - 2)
        pairs = zip_longest(people, turns, fillvalue=Text())
        return [Text.assemble(exactly(one, left), "   ", other) for one, other in pairs]
    shared = rows - 3  # two headings and an empty line
    people = people_panel(snapshot, width, shared - shared // 4 if shared >= 2 else rows - 1, footer.hint)
    if shared < 2 or rows - len(people) < 3:
        return people
    return [*people, Text(), *turns_panel(snapshot, width, rows - len(people) - 2)]


class Dashboard:
    """Shows the newest snapshot ten times a second, full screen, until the `with` block ends.

    The terminal is put back as it was however the block ends. An error while drawing stops the drawing,
    never the recognizer, and is raised when the block ends.

    Args:
        latest: gives the newest snapshot; called from the refresh thread, must not block.
        console: a terminal that knows Unicode; standard output unless given.
        footer: gives what belongs to the keys; as `latest`.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot],
        console: Console | None = None,
        footer: Callable[[], Footer] = Footer,
    ) -> None:
        self._latest, self._footer = latest, footer
        self._console = console or Console(highlight=False)
        self._calm = Calm()
        self._stop = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        self._write(_NO_WRAP)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)  # a `latest` that hangs must not keep the terminal
        self._write(_WRAP)
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            seen: tuple[object, ...] = ()
            drawn: list[Text] = []
            looks = 0
            while True:
                snapshot, footer, size = self._latest(), self._footer(), self._size()
                looks += 1
                if size != seen[2:] or looks % _REDRAW_LOOKS == 0:
                    drawn = []
                # Drawing costs more than all the rest here: the same frame is not drawn twice.
                if not drawn or snapshot is not seen[0] or footer is not seen[1]:
                    if size != seen[2:]:
                        self._console.control(Control.clear())
                    drawn = self._draw(render(self._calm(snapshot), *size, footer), drawn)
                    seen = snapshot, footer, *size
                if self._stop.wait(REFRESH_S):
                    return
        except Exception as error:  # noqa: BLE001 - kept, and raised by __exit__ where it can be seen
            self._error = error

    def _draw(self, lines: list[Text], before: list[Text]) -> list[Text]:
        with self._console:  # one write for all of them
            for row, line in enumerate(lines):
                if row >= len(before) or line != before[row] or line.spans != before[row].spans:
                    self._console.control(Control.move_to(0, row))
                    self._console.print(line, end="", soft_wrap=True)
        return lines

    def _size(self) -> tuple[int, int]:
        # Asked of the terminal: COLUMNS and LINES, which rich would rather believe, do not change when it is resized.
        try:
            width, height = os.get_terminal_size(self._console.file.fileno())
        except (OSError, ValueError):  # no terminal, or no file
            width = height = 0
        return (width, height) if width and height else (self._console.width, self._console.height)

    def _write(self, sequence: str) -> None:
        if not self._console.legacy_windows:
            self._console.file.write(sequence)
            self._console.file.flush()


def _margin(line: Text) -> Text:
    return Text.assemble(" ", line)
