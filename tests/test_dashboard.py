"""Laws of the screen: exact lines for any snapshot, a guess that looks like one, a terminal given back."""

import contextlib
import dataclasses
import io
import math
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from stream.calm import Calm
from stream.dashboard import Dashboard, render
from stream.footer import Footer
from stream.letters import large
from stream.panels import last_minute_panel
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
    return [line.plain for line in render(snapshot, width, height)]


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
    "trouble": but(TALK, trouble=EVIL * 30),
    "waiting": but(SILENCE, notice=EVIL + "the microphone is gone; waiting for it " * 9, lag_samples=40_000),
}


def test_a_microphone_that_is_gone_and_sound_that_waits_are_on_the_screen():
    waits = but(SILENCE, notice="the microphone 'USB' stopped giving sound; waiting for it")
    assert "! the microphone 'USB' stopped giving sound; waiting for it" in text(waits)
    assert "dBFS" not in text(waits)
    assert "lag" not in text(but(TALK, lag_samples=S // 4))
    assert "! lag 2.5 s" in text(but(TALK, lag_samples=40_000))
    assert "! cannot write to x.csv: no space" in text(but(TALK, trouble="cannot write to x.csv: no space left"))


MIRIAM = "\u05de\u05e8\u05d9\u05dd"
MINUTE = but(
    TALK,
    turns=tuple(
        Turn(start * S, end * S, name, sure / 100, True)
        for start, end, name, sure in [
            (20, 26, "bob", 95),
            (27, 33, "chloë", 90),
            (34, 36, UNKNOWN, 70),
            (37, 50, "alice", 97),
            (51, 58, "bob", 96),
            (60, 65, "alice", 99),
            (65, 71, "chloë", 61),
        ]
    ),
    talk_samples={"bob": 13 * S, "chloë": 12 * S, UNKNOWN: 2 * S, "alice": 18 * S},
)
SCREENS = {
    "sure": MINUTE,
    "guess": but(MINUTE, current=Turn(72 * S, 73 * S, "alice", 0.41, False), probabilities=(0.41, 0.2, 0.1, 0.29)),
    "scripts": but(
        MINUTE,
        names=(MIRIAM, "宇宙太郎", "กิตติ", UNKNOWN),
        current=Turn(72 * S, 75 * S, "宇宙太郎", 0.9, True),
        turns=(Turn(30 * S, 40 * S, MIRIAM, 0.9, True), Turn(41 * S, 60 * S, "กิตติ", 0.9, True)),
        talk_samples={MIRIAM: 10 * S, "กิตติ": 19 * S},
    ),
    "silence": but(MINUTE, current=None, probabilities=(0.0,) * 4, speech=0.02, level_db=-58.0),
}


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
    for drawn, line in zip(large("alice", 80), lines(TALK)[1:4], strict=True):
        assert line.startswith(f"┃   {drawn} ")
    assert "97 %" in lines(TALK)[2]
    assert "alice" in lines(TALK, 60, 15)[1]  # there is no room for large letters
    for snapshot, word in [
        (SILENCE, "silence"),
        (but(SILENCE, speech=0.9), "listening…"),
        (but(SILENCE, now=0), "waiting for sound…"),
        (but(SILENCE, done=True), "the end"),
    ]:
        box = "\n".join(lines(snapshot)[:6])
        assert word in box
        assert "%" not in box


def test_two_at_once_are_told_in_words():
    both = dataclasses.replace(ALICE, overlap=True)
    assert "for 3.0 s, two voices at once" in text(but(TALK, current=both))
    named = but(TALK, current=dataclasses.replace(both, second="bob"))
    assert "for 3.0 s, with bob" in text(named)
    over = but(TALK, current=None, turns=(dataclasses.replace(both, second="bob"),))
    assert "● alice" in text(over)
    assert "97 %  with bob" in text(over)
    assert "with" not in "".join(lines(over, 40, 10))  # there is no room


def test_unknown_is_named_as_such():
    shown = lines(but(TALK, current=Turn(72 * S, 75 * S, UNKNOWN, 0.8, True)))
    assert large(UNKNOWN, 80)[0] in shown[1]
    assert "nobody enrolled" in shown[4]


def test_nothing_moves_when_numbers_change():
    quiet = but(TALK, level_db=-9.1, speech=0.01, hop_ms=10.4, probabilities=(0.03, 0.9, 0.07, 0.0), now=70 * S)
    for width, height in [(60, 24), (80, 24), (120, 40)]:
        pairs = list(zip(lines(TALK, width, height), lines(quiet, width, height), strict=True))
        for word in ["dBFS", "● alice", "how likely", "talked", "● chloë", "○ unknown", "now", "Audio"]:
            places = [[line.find(word) for line in side] for side in zip(*pairs, strict=True)]
            assert places[0] == places[1], word
            assert max(places[0]) >= 0, word


def test_the_level_says_what_is_wrong_in_words():
    for level_db, words in [(-70.0, "quiet"), (-25.0, "good"), (-12.0, "loud"), (-5.0, "too loud")]:
        assert f"{level_db:3.0f} dBFS  {words} " in text(but(TALK, level_db=level_db))
    silent = but(SILENCE, level_db=-math.inf, now=80 * S)
    assert "digital silence: is the microphone muted?" in text(silent)
    pause = text(but(silent, now=71 * S))  # one second after a turn: a pause between sentences of a synthesiser
    assert "digital silence" in pause
    assert "muted" not in pause


def test_clipping_and_speech_are_said_in_words():
    assert "dBFS  clipping  " in text(but(TALK, clipped=3))
    assert "● speech" in text(TALK)
    assert "○ silence" in text(SILENCE)


def test_losses_are_marked_in_words():
    calm = text(TALK)
    assert "nothing lost, answers after 0.26 s, work for 100 ms of sound: 3 ms" in calm
    assert "!" not in calm
    lossy = text(EXTREMES["losses"])
    assert "! sound was lost: 12 gaps, 78900 samples, 123 overflows, 456 overruns" in lossy
    assert "! too slow for this machine: 131 ms of work for 100 ms of sound" in text(but(TALK, hop_ms=131.0))


def test_the_last_minute_names_every_run_and_moves_by_whole_cells():
    turns = (
        Turn(20 * S, 30 * S, "alice", 0.9, True),
        Turn(31 * S, 45 * S, "bob", 0.9, True),
        Turn(50 * S, 58 * S, UNKNOWN, 0.9, True),
    )

    def minute(now_s: float) -> tuple[str, str]:
        at = but(SILENCE, turns=turns, now=round(now_s * S))
        return tuple(line.plain for line in last_minute_panel(at, 70, 1))  # 60 cells of a second each

    names, run = minute(61.5)
    assert run.count("▆") == 24
    assert run.count("░") == 8
    for name, block in [("alice", "▆"), ("unknown", "░")]:
        assert run[names.index(name)] == block
    assert names.index("bob") == names.index("alice") + 11
    assert minute(61.9) == (names, run)
    assert [line[7:55] for line in minute(62.5)] == [line[8:56] for line in (names, run)]
    assert "alice" not in minute(100.0)[0]


def test_a_guess_in_the_last_minute_is_no_block():
    guess = but(TALK, turns=(), current=dataclasses.replace(ALICE, final=False))
    assert "▆" not in text(guess)
    assert "╌╌╌" in text(guess)


def test_keys_a_message_and_what_is_typed_stand_below():
    keys = (("e", "enrol"), ("p", "pause"), ("q", "quit"))

    def below(footer: Footer, width: int = 80) -> list[str]:
        return [line.plain.strip() for line in render(TALK, width, 24, footer)[-3:]]

    assert below(Footer(keys))[2] == "e enrol   p pause   q quit"
    assert below(Footer(keys), 22)[2] == "e enrol   p pause"
    assert below(Footer(keys, message="Ann is known.\x1b"))[1] == "Ann is known.\ufffd"
    assert below(Footer(keys, message="word " * 20))[1:] == [("word " * 15)[:-1], ("word " * 5)[:-1]]
    assert below(Footer(keys, state="paused"))[0].endswith("─ paused ── 01:15.0 ─")
    assert below(Footer(keys, asked="Who?", typed="宇宙"))[1:] == ["Who?", "Name: 宇宙▏   Enter: done   Esc: leave"]
    assert "Name: " in render(TALK, 40, 10, Footer(keys, asked="Who?", typed="x"))[-1].plain
    page = [line.plain.strip() for line in render(TALK, 80, 24, Footer(page=("one", "two")))]
    assert page[11:13] == ["one", "two"]
    assert "how likely" not in " ".join(page)


def test_where_nobody_is_known_the_screen_says_how_to_change_that():
    nobody = but(TALK, names=(UNKNOWN,), probabilities=(1.0,), turns=(), talk_samples={}, current=None)
    footer = Footer(hint="Nobody is enrolled yet.")
    assert "Nobody is enrolled yet." in [line.plain.strip() for line in render(nobody, 80, 24, footer)]
    assert "Nobody" not in "".join(line.plain for line in render(TALK, 80, 24, footer))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["sure", "guess", "scripts", "silence"])
def test_the_screen_is_as_it_was_kept(name, size):
    """After a change that is meant: KEEP_SCREENS=1 pytest tests/test_dashboard.py, and look at what git shows."""
    path = Path(__file__).parent / "screens" / f"{name}-{size[0]}x{size[1]}.txt"
    keys = tuple(zip("efrpm?q", ["enrol", "fine-tune", "record", "pause", "microphone", "help", "quit"], strict=True))
    shown = "".join(f"{line.plain.rstrip()}\n" for line in render(SCREENS[name], *size, Footer(keys)))
    if os.environ.get("KEEP_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


def test_talk_time_and_its_share():
    row = next(line for line in lines(but(TALK, current=None)) if "● chloë" in line)
    assert row.split() == ["●", "chloë", "╸", "1", "%", "00:30.0", "75", "%"]
    row = next(line for line in lines(TALK) if "● alice" in line)  # with the 3 s that she has been speaking
    assert row.split()[-3:] == ["00:13.0", "30", "%"]


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
        for line in console.render_lines(Text("\n").join(render(snapshot)), pad=False):
            if line[0].text == " " and len(line) > 2 and line[1].text in ("●", "○"):
                found["".join(part.text for part in line[2:]).split()[0]] = str(line[1].style.color)
        return found

    first = colours(TALK)
    assert len(set(first.values())) == 4
    assert colours(but(SILENCE, talk_samples={})) == first


def test_markup_in_a_name_is_text():
    assert "[red]x[/red] [link" in text(but(TALK, current=Turn(0, S, "[red]x[/red] [link=y]", 0.9, True)))


def test_a_right_to_left_name_does_not_move_the_numbers_beside_it():
    assert f"\u200e{MIRIAM}\u200e" in text(but(TALK, names=(MIRIAM, UNKNOWN), probabilities=(0.5, 0.5)))


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


def test_only_lines_that_changed_are_written():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm-256color"})
    moments = iter([TALK, *[but(TALK, hop_ms=3.0 + i) for i in range(1, 100)]])
    with Dashboard(lambda: next(moments), console):
        time.sleep(0.45)
    assert out.getvalue().count("answers after") > 2
    assert out.getvalue().count("last turns") == 1


def test_a_resized_terminal_is_drawn_anew():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm-256color"})
    with Dashboard(lambda: TALK, console):
        time.sleep(0.25)
        console.size = (70, 20)
        time.sleep(0.25)
    assert out.getvalue().count("last turns") == 2


def test_bars_glide_and_a_warning_stays_to_be_read():
    calm, hop = Calm(), S // 10
    first = calm(but(TALK, now=0, level_db=-20.0, probabilities=(1.0, 0.0, 0.0, 0.0), clipped=5))
    assert first.clipped == 5
    second = calm(but(TALK, now=hop, level_db=-60.0, probabilities=(0.0, 1.0, 0.0, 0.0)))
    assert second.level_db == pytest.approx(-22.0)
    assert 0.1 < second.probabilities[1] < 0.5
    assert sum(second.probabilities) == pytest.approx(1.0)
    assert second.clipped
    assert calm(but(TALK, now=2 * hop, level_db=-10.0)).level_db == -10.0  # up at once
    assert calm(but(TALK, now=3 * hop, level_db=-math.inf)).level_db == -math.inf
    later = calm(but(TALK, now=30 * hop, probabilities=(0.0, 1.0, 0.0, 0.0)))
    assert later.probabilities[1] > 0.99
    assert not later.clipped
    others = but(TALK, names=("dora", UNKNOWN), probabilities=(0.3, 0.7), now=31 * hop)
    assert calm(others).probabilities == (0.3, 0.7)
    assert calm(but(others, now=32 * hop)).turns is others.turns


def test_a_bar_recovers_from_what_is_no_number():
    calm = Calm()
    calm(but(TALK, now=0, probabilities=(math.nan,) * 4))
    assert calm(but(TALK, now=S)).probabilities == TALK.probabilities
