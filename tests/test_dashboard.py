"""Laws of the screen: exact lines for any snapshot, a guess that looks like one, a terminal given back."""

import contextlib
import dataclasses
import io
import math
import os
import sys
import threading
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from stream.dashboard import Dashboard, render
from stream.records import UNKNOWN, Loss, Snapshot, Turn
from tests.test_text import EVIL, NAMES, harmful

S = 16_000
ALICE = Turn(72 * S, 75 * S, "alice", 0.971, final=True)
TALK = Snapshot(
    source="microphone: Built-in Audio",
    now=75 * S,
    level_db=-23.4,
    speech=0.97,
    names=("alice", "bob", "chloë", UNKNOWN),
    probabilities=(0.971, 0.012, 0.006, 0.011),
    current=ALICE,
    turns=(Turn(0, 8 * S, "alice", 0.93, True), Turn(9 * S, 70 * S, UNKNOWN, 0.71, True)),
    talk_samples={"alice": 10 * S, "chloë": 30 * S},
    latency_samples=4160,
    hop_ms=3.2,
    loss=Loss(),
    gaps=0,
)
SILENCE = dataclasses.replace(TALK, current=None, probabilities=(0.0,) * 4, speech=0.02, level_db=-58.0)
SIZES = [(80, 24), (120, 40), (100, 24), (60, 24), (60, 15), (40, 10), (20, 6), (20, 50), (300, 80), (3, 3), (1, 1)]


def but(snapshot: Snapshot, **changes: object) -> Snapshot:
    return dataclasses.replace(snapshot, **changes)


def crowd(n: int) -> Snapshot:
    some = [*NAMES[:-1], EVIL]
    names = (*[some[i % len(some)] + str(i) for i in range(n)], UNKNOWN)
    likely = tuple(1 / (n + 1) for _ in names)
    turns = tuple(Turn(i * S, (i + 1) * S, name, 0.9, True) for i, name in enumerate(names))[-100:]
    talk = {name: i * S for i, name in enumerate(names)}
    return but(TALK, names=names, probabilities=likely, turns=turns, talk_samples=talk, current=turns[0])


def lines(snapshot: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    """What is on the screen, without any colour."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, record=True)
    console.print(render(snapshot, width, height), end="")
    return console.export_text(styles=False).split("\n")[:-1]


def text(snapshot: Snapshot, width: int = 80, height: int = 24) -> str:
    return "\n".join(lines(snapshot, width, height))


EXTREMES = {
    "talk": TALK,
    "silence": SILENCE,
    "nobody": but(TALK, names=(), probabilities=(), current=None, turns=(), talk_samples={}),
    "only unknown": but(TALK, names=(UNKNOWN,), probabilities=(1.0,), turns=(), talk_samples={}),
    "names without probabilities": but(TALK, probabilities=()),
    "twenty": crowd(20),
    "hundred": crowd(100),
    "before the first sample": but(SILENCE, now=0, turns=(), talk_samples={}, level_db=-math.inf),
    "no numbers": but(TALK, level_db=math.nan, speech=math.nan, hop_ms=math.nan, probabilities=(math.nan,) * 4),
    "huge numbers": but(TALK, level_db=math.inf, hop_ms=1e12, latency_samples=10**12, gaps=10**9, now=10**12),
    "evil": but(TALK, source=EVIL, names=(EVIL, UNKNOWN), probabilities=(1, 0), current=Turn(0, 1, EVIL, 0.5, False)),
    "endless name": but(TALK, current=Turn(0, S, "宇宙" * 10_000, 0.9, False), names=("x" * 100_000, UNKNOWN)),
    "losses": but(TALK, loss=Loss(123, 456, 78_900), gaps=12, hop_ms=131.0),
    "ended": but(SILENCE, done=True),
    "waiting": but(SILENCE, notice=EVIL + "the microphone is gone; waiting for it " * 9, lag_samples=40_000),
}


def test_a_microphone_that_is_gone_and_sound_that_waits_are_on_the_screen():
    waits = but(SILENCE, notice="the microphone 'USB' stopped giving sound; waiting for it")
    assert "! the microphone 'USB' stopped giving sound; waiting for it" in text(waits)
    assert "dBFS" not in text(waits)
    assert "lag" not in text(but(TALK, lag_samples=S // 4))
    assert "! lag 2.5 s" in text(but(TALK, lag_samples=40_000))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", EXTREMES)
def test_every_snapshot_fills_the_screen_exactly(name, size):
    shown = lines(EXTREMES[name], *size)
    assert len(shown) == size[1]
    assert {cell_len(line) for line in shown} == {size[0]}
    assert "nan" not in " ".join(shown)
    assert harmful("".join(shown)) == []


def test_a_guess_and_a_sure_name_differ_without_colour():
    sure = text(TALK)
    guess = text(but(TALK, current=dataclasses.replace(ALICE, final=False)))
    assert "maybe alice ?" in guess
    assert "a guess so far" in guess
    assert "? 01:12.0 - 01:15.0  ● alice ?" in guess
    assert "maybe" not in sure
    assert "?" not in sure
    assert "━ speaking ━" in sure
    assert "✓ 01:12.0 - 01:15.0  ● alice" in sure


def test_who_speaks_is_named_with_probability_and_nobody_in_silence():
    assert "alice" in lines(TALK)[2]
    assert "97 %" in lines(TALK)[2]
    for snapshot, word in [
        (SILENCE, "silence"),
        (but(SILENCE, speech=0.9), "listening…"),
        (but(SILENCE, now=0), "waiting for sound…"),
        (but(SILENCE, done=True), "the end"),
    ]:
        box = "\n".join(lines(snapshot)[:6])
        assert word in box
        assert "%" not in box


def test_unknown_is_named_as_such():
    box = "\n".join(lines(but(TALK, current=Turn(72 * S, 75 * S, UNKNOWN, 0.8, True)))[:6])
    assert "unknown" in box
    assert "nobody enrolled" in box


def test_nothing_moves_when_numbers_change():
    quiet = but(TALK, level_db=-9.1, speech=0.01, hop_ms=10.4, probabilities=(0.03, 0.9, 0.07, 0.0), now=70 * S)
    for width, height in [(60, 24), (80, 24), (120, 40)]:
        pairs = list(zip(lines(TALK, width, height), lines(quiet, width, height), strict=True))
        for word in ["dBFS", "speech", "how likely", "ms/hop", "overflows", "● chloë", "○ unknown"]:
            places = [[line.find(word) for line in side] for side in zip(*pairs, strict=True)]
            assert places[0] == places[1], word
            assert max(places[0]) >= 0, word


def test_the_level_says_what_is_wrong_in_words():
    for level_db, words in [(-70.0, "quiet"), (-25.0, "good"), (-12.0, "loud"), (-5.0, "too loud")]:
        assert f"{level_db:5.1f} dBFS  {words} " in text(but(TALK, level_db=level_db))
    silent = but(SILENCE, level_db=-math.inf, now=80 * S)
    assert "digital silence: is the microphone muted?" in text(silent)
    pause = text(but(silent, now=71 * S))  # one second after a turn: a pause between sentences of a synthesiser
    assert "digital silence" in pause
    assert "muted" not in pause


def test_losses_are_marked_and_zeros_are_shown():
    calm = text(TALK)
    assert "latency 260 ms" in calm
    assert "overflows 0  overruns 0  gaps 0  samples lost 0" in calm
    assert "!" not in calm
    lossy = text(EXTREMES["losses"])
    for item in ["! overflows 123", "! overruns 456", "! gaps 12", "! samples lost 78900", "! 131.0 ms/hop"]:
        assert item in lossy


def test_talk_time_and_its_share():
    row = next(line for line in lines(TALK) if "● chloë" in line)
    assert row.split() == ["●", "chloë", "╸", "1", "%", "00:30.0", "75", "%"]


def test_people_keep_their_order_and_the_least_likely_are_folded():
    names = tuple(f"p{i:02}" for i in range(30))
    chances = [0.0] * 31
    chances[3], chances[17], chances[30] = 0.2, 0.5, 0.3
    snapshot = but(
        TALK, names=(*names, UNKNOWN), probabilities=tuple(chances), current=None, turns=(), talk_samples={"p29": S}
    )
    shown = [line.split()[1] for line in lines(snapshot) if line.startswith((" ●", " ○"))]
    assert shown == [*sorted(shown[:-1]), UNKNOWN]
    assert {"p03", "p17", "p29"} <= set(shown)
    assert f"… and {31 - len(shown)} more" in text(snapshot)


def test_folded_people_do_not_change_places_over_tiny_probabilities():
    def who(seed: int) -> list[str]:
        tiny = tuple(0.04 * ((i * seed) % 7) / 7 for i in range(21))
        return [line[3:15] for line in lines(but(crowd(20), probabilities=tiny)) if line.startswith((" ●", " ○"))]

    assert who(1) == who(2) == who(3)


def test_every_name_has_its_own_colour_whoever_else_speaks():
    def colours(snapshot: Snapshot) -> dict[str, str]:
        console = Console(file=io.StringIO(), width=80, height=24, color_system="truecolor", force_terminal=True)
        found = {}
        for line in console.render_lines(render(snapshot), pad=False):
            if line[0].text == " " and len(line) > 2 and line[1].text in ("●", "○"):
                found["".join(part.text for part in line[2:]).split()[0]] = str(line[1].style.color)
        return found

    first = colours(TALK)
    assert len(set(first.values())) == 4
    assert colours(but(SILENCE, talk_samples={})) == first


def test_markup_in_a_name_is_text():
    assert "[red]x[/red] [link" in text(but(TALK, current=Turn(0, S, "[red]x[/red] [link=y]", 0.9, True)))


def test_a_right_to_left_name_does_not_move_the_numbers_beside_it():
    miriam = "\u05de\u05e8\u05d9\u05dd"
    assert f"\u200e{miriam}\u200e" in text(but(TALK, names=(miriam, UNKNOWN), probabilities=(0.5, 0.5)))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("failing", [None, "inside", "drawing"])
def test_the_terminal_is_given_back(failing):
    import pty

    ours, theirs = pty.openpty()
    seen = bytearray()

    def read() -> None:
        while True:
            try:
                seen.extend(os.read(ours, 65536) or b"")
            except OSError:  # Linux says so when the other side is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    calls = []

    def latest() -> Snapshot:
        calls.append(threading.current_thread())
        if failing == "drawing" and len(calls) > 1:
            raise RuntimeError("drawing")
        return but(TALK, now=TALK.now + len(calls))

    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        console = Console(file=terminal, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm-256color"})
        caught = pytest.raises(RuntimeError, match=failing) if failing else contextlib.nullcontext()
        with caught, Dashboard(latest, console):
            time.sleep(0.35)
            if failing == "inside":
                raise RuntimeError("inside")
    reader.join(5)
    os.close(ours)
    screen = bytes(seen)
    assert screen.index(b"\x1b[?1049h") < screen.index(b"alice") < screen.rindex(b"\x1b[?1049l")
    assert screen.rindex(b"\x1b[?25h") > screen.rindex(b"\x1b[?25l")  # the cursor is visible again
    assert threading.current_thread() not in calls
    assert not calls[0].is_alive()


def test_a_snapshot_that_has_not_changed_is_not_drawn_again():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm-256color"})
    with Dashboard(lambda: TALK, console):
        time.sleep(0.45)
    assert out.getvalue().count("last turns") == 1
