"""The dashboard in a real terminal: drawn at every size, resized, and gone without a trace."""

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from rich.cells import cell_len

from model.profile import Profile
from stream.clock import SAMPLE_RATE
from stream.demonstration import CONVERSATION
from tests.pulse import Pulse, pulse  # noqa: F401 - a fixture
from tests.talk import base, livespeaker, reading
from tests.tmux import Terminal, needs_tmux, run_in_terminal

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


def test_keys_pause_record_enrol_and_quit_while_the_demo_runs(tmp_path: Path) -> None:
    with run_in_terminal("demo", "--paused", folder=tmp_path) as terminal:
        terminal.wait_for(" paused ── 00:00.", "paused: nothing is heard until p is pressed again")
        terminal.type("p")
        terminal.wait_for("━ speaking ━", "Sally", "e enrol   f fine-tune   r record   p pause   ? help   q quit")
        terminal.type("?")
        terminal.wait_for("livespeaker enroll NAME", "--record FILE")
        terminal.type("x")
        terminal.wait_for("how likely")
        terminal.type("p")
        paused = terminal.wait_for(" paused ── ")
        clock = paused[paused.index(" paused ── ") :][:19]
        time.sleep(1.0)
        assert clock in terminal.screen()
        terminal.type("p")
        terminal.wait_for("listening again")
        terminal.type("r")
        terminal.wait_for(" recording ── ")
        wait_until_spoken(terminal, "Sally")
        terminal.type("e")
        terminal.wait_for("Whose voice is this? Now Sally, ", "Enter alone: more of Sally", "Name: ▏")
        terminal.write("Zoë 宇")
        terminal.wait_for("Name: Zoë 宇▏")
        terminal.type("Enter")
        terminal.wait_for("● Zoë 宇")  # the session follows: somebody more is known
        terminal.type("q")
        terminal.wait_for("exit 0", "same terminal")
        left = terminal.history()
        assert terminal.state("alternate_on", "cursor_flag", "wrap_flag") == ["0", "1", "1"]
    (recording,) = tmp_path.glob("livespeaker-*.flac")
    assert f"written: {recording.name}" in left
    assert sf.info(recording).frames > 16_000


def test_who_begins_with_nobody_is_led_to_the_first_name(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with run_in_terminal("replay", str(CONVERSATION), "--profile", str(profile)) as terminal:
        terminal.wait_for("Nobody is enrolled yet. Let somebody speak for a few seconds, press e,")
        wait_until_spoken(terminal, "unknown", "○")
        terminal.type("e")
        terminal.wait_for("Whose voice is this? Now unknown, ", "Name: ▏")
        terminal.write("Sally")
        terminal.type("Enter")
        screen = terminal.wait_for("● Sally")
        assert "Nobody is enrolled" not in screen
        terminal.type("q")
        terminal.wait_for("exit 0", "same terminal")
    assert [voice.name for voice in Profile(profile, base()).voices] == ["Sally"]


def test_devices_shows_which_input_hears(pulse: Pulse, tmp_path: Path) -> None:  # noqa: F811
    talk = tmp_path / "talk.wav"
    sf.write(talk, np.tile(reading("Rob"), 3), SAMPLE_RATE)
    with pulse.play(talk) as player, run_in_terminal("devices", env=pulse.env) as terminal:
        terminal.wait_for("Level", "━━━━", "Ctrl-C ends.")
        terminal.type(CTRL_C)
        terminal.wait_for("exit 0", "same terminal")
        player.terminate()
    done = livespeaker("devices", "--json", env=pulse.env)
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert [device["default"] for device in found["devices"]].count(True) == 1
    assert set(found["devices"][0]) == {"index", "name", "host", "channels", "rate", "default"}


def wait_until_spoken(terminal: Terminal, name: str, mark: str = "●") -> None:
    """Until the last turn of this name is longer than it must be to be enrolled."""
    deadline = time.monotonic() + 60
    while True:
        found = re.search(rf"✓ 00:(\d\d\.\d) - 00:(\d\d\.\d)  {mark} {name}", terminal.screen())
        if found and float(found[2]) - float(found[1]) > 2.5:
            return
        assert time.monotonic() < deadline, terminal.screen()
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the process in /proc")
def test_a_polite_kill_gives_the_terminal_back() -> None:
    with run_in_terminal("demo") as terminal:
        terminal.wait_for("━ speaking ━")
        (shell,) = terminal.state("pane_pid")
        (program,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(program), signal.SIGTERM)
        terminal.wait_for("exit 0", "same terminal")
        assert terminal.state("alternate_on", "cursor_flag", "wrap_flag") == ["0", "1", "1"]
