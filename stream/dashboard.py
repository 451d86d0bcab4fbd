"""The screen: who is speaking now, how sure that is, who has spoken, and what was lost on the way.

`render` is a pure function from a snapshot to lines of exactly the given width, so that nothing jumps when
a number grows, and every state can be tested as text. `Dashboard` pulls the newest snapshot on a thread of
its own; the recognizer never waits for it.
"""

from collections.abc import Callable
from itertools import zip_longest
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from stream.cells import exactly
from stream.panels import level_panel, now_panel, people_panel, status_panel, turns_panel
from stream.records import Snapshot

__all__ = ["Dashboard", "render"]

REFRESH_S = 0.1
"""Seconds between two looks at the snapshot; the recognizer makes one every 100 ms."""

_TWO_COLUMNS = 100  # from this width on the turns stand beside the people


def render(snapshot: Snapshot, width: int = 80, height: int = 24) -> Group:
    """Draw one moment.

    Args:
        snapshot: what to show; any text and any number in it is safe to show.
        width: cells in a line, at least 1; made for 60 and more.
        height: lines, at least 1; made for 24 and more.

    Returns:
        `height` lines of exactly `width` cells.
    """
    width, height = max(width, 1), max(height, 1)
    inner = max(width - 2, 1)  # a margin of one cell on both sides
    top = [*now_panel(snapshot, width, spacious=height >= 22), _margin(level_panel(snapshot, inner)), Text()]
    bottom = [_margin(line) for line in status_panel(snapshot, inner)]
    free = height - len(top) - len(bottom)
    body: list[Text] = []
    if free >= 2 and width >= _TWO_COLUMNS:
        left = 3 * (inner - 3) // 5
        people = people_panel(snapshot, left, free - 2)
        turns = turns_panel(snapshot, inner - 3 - left, free - 2)
        for one, other in zip_longest(people, turns, fillvalue=Text()):
            body.append(Text.assemble(" ", exactly(one, left), "   ", other))
    elif free >= 5:
        shared = free - 4  # two headings and two empty lines
        people = people_panel(snapshot, inner, shared - shared // 3)
        turns = turns_panel(snapshot, inner, free - 2 - len(people))
        body = [_margin(line) for line in [*people, Text(), *turns]]
    room = max(height - len(bottom), 0)
    lines = [*top, *body][:room]
    lines += [Text()] * (room - len(lines)) + bottom
    return Group(*(exactly(line, width) for line in lines[:height]))


class Dashboard:
    """Shows the newest snapshot ten times a second, full screen, until the `with` block ends.

    The terminal is put back as it was however the block ends. An error while drawing stops the drawing,
    never the recognizer, and is raised when the block ends.

    Args:
        latest: gives the newest snapshot; called from the refresh thread, must not block.
        console: a terminal that knows Unicode; standard output unless given.
    """

    def __init__(self, latest: Callable[[], Snapshot], console: Console | None = None) -> None:
        self._latest = latest
        self._console = console or Console()
        # Nothing is redirected: text printed meanwhile would be drawn into the frame and scroll it away.
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._stop = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)  # a `latest` that hangs must not keep the terminal
        self._live.stop()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            shown: tuple[Snapshot, int, int] | None = None
            while True:
                snapshot, (width, height) = self._latest(), self._console.size
                # Drawing costs more than all the rest here: the same frame is not drawn twice.
                if shown is None or shown[0] is not snapshot or shown[1:] != (width, height):
                    self._live.update(render(snapshot, width, height), refresh=True)
                    shown = snapshot, width, height
                if self._stop.wait(REFRESH_S):
                    return
        except Exception as error:  # noqa: BLE001 - kept, and raised by __exit__ where it can be seen
            self._error = error


def _margin(line: Text) -> Text:
    return Text.assemble(" ", line)
