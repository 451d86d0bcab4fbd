"""The dashboard in a real terminal: drawn at every size, resized, and gone without a trace."""

import re
import time

from rich.cells import cell_len

from tests.tmux import needs_tmux, run_in_terminal

pytestmark = needs_tmux


CTRL_C = "C-c"


def test_the_demo_is_drawn_at_every_size_and_leaves_the_terminal_as_it_was() -> None:
    with run_in_terminal("demo") as terminal:
        lines = terminal.wait_for("━ speaking ━", "Sally", "last turns").split("\n")
        assert terminal.state("alternate_on", "cursor_flag", "wrap_flag") == ["1", "0", "0"]
        assert lines[5] == "┗" + "━" * 78 + "┛"
        assert "─ conversation.opus ─" in lines[21]
        for width, height in [(200, 60), (40, 10), (100, 30), (20, 4), (80, 24)]:
            terminal.resize(width, height)
            footer = -1 if height < 12 else -3
            deadline = time.monotonic() + 20
            while True:
                lines = terminal.lines()
                edges = [line for line in lines if line.endswith(("┓", "╮"))]
                if [cell_len(line) for line in edges] == [width] and lines[footer].startswith(" ─ c"):
                    break
                assert time.monotonic() < deadline, (width, height, "\n".join(lines))
                time.sleep(0.1)
            assert lines[0] == edges[0]
            assert cell_len(lines[footer]) == width - 1
        terminal.type(CTRL_C)
        terminal.wait_for("exit 0", "same terminal")
        left = terminal.history()
        assert terminal.state("alternate_on", "cursor_flag", "wrap_flag") == ["0", "1", "1"]
        assert "of conversation.opus" in left
        assert "no sound was lost" in left
        assert "Stopped before the other " in left
        assert "<- not right" not in left


def colours(escapes: str) -> set[str]:
    """What is set in the screen beyond bold, dim, italic and their ends."""
    codes = {code for group in re.findall(r"\x1b\[([0-9;]*)m", escapes) for code in group.split(";")}
    return codes - {"", "0", "1", "2", "3", "5", "22", "23", "25", "39", "49"}


def test_without_colour_nothing_is_coloured_and_a_dumb_terminal_gets_lines() -> None:
    with run_in_terminal("demo", env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("━ speaking ━", "how likely")
        assert colours(terminal.screen(escapes=True)) == set()
        terminal.type(CTRL_C)
        terminal.wait_for("same terminal")
    with run_in_terminal("demo") as terminal:
        terminal.wait_for("━ speaking ━", "how likely")
        assert colours(terminal.screen(escapes=True))
    with run_in_terminal("demo", "--speed", "max", env={"TERM": "dumb"}) as terminal:
        screen = terminal.wait_for("turns have the right name", "exit 0")
        assert "┏" not in screen
