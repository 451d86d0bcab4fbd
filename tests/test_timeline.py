"""The picture of a session: what is drawn where, in any script, and no half a picture."""

import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import imread

from stream.clock import seconds_to_samples
from stream.errors import OutputError, UsageError
from stream.fonts import families_for
from stream.records import UNKNOWN, Gap, Loss, Turn
from stream.timeline import Timeline, draw_timeline
from tests.people import posix
from tests.sound import one_line
from tests.test_text import EVIL, NAMES


def turn(start_s: float, end_s: float, name: str, probability: float = 0.9) -> Turn:
    return Turn(seconds_to_samples(start_s), seconds_to_samples(end_s), name, probability, final=True)


TALK = [turn(1, 3, "Ann"), turn(3, 5, UNKNOWN, 0.5), turn(5, 9, "Bob", 0.7), turn(10, 12, "Ann", 1.0)]
MINUTE = seconds_to_samples(60)


def bars(panel) -> dict[str, list[tuple[float, float, str, float]]]:
    """By the name of its row, every bar: from, to, colour, opacity."""
    names = [label.get_text() for label in panel.get_yticklabels()]
    rows = {}
    for name, row in zip(names, panel.collections, strict=True):
        rows[name] = [
            (*path.vertices[[0, 2], 0], to_hex(fill), fill[3])
            for path, fill in zip(row.get_paths(), row.get_facecolor(), strict=True)
        ]
    return rows


def draw(path: Path, turns: Sequence[Turn], title: str = "talk.wav", gaps: Sequence[Gap] = ()) -> None:
    with Timeline(path, title) as output:
        for one in turns:
            output.write(one)
        for gap in gaps:
            output.gap(gap.start, gap.end)
        output.end(MINUTE, Loss(), len(gaps))


def test_rows_are_names_bars_are_turns_and_pale_is_unsure() -> None:
    (panel,) = draw_timeline("talk.wav", TALK, [], MINUTE).axes
    rows = bars(panel)
    assert list(rows) == ["Ann", "Bob", UNKNOWN]  # as they first spoke, strangers last
    assert [(start, end) for start, end, _, _ in rows["Ann"]] == [(1, 3), (10, 12)]
    assert [(start, end) for start, end, _, _ in rows[UNKNOWN]] == [(3, 5)]
    assert len({colour for row in rows.values() for *_, colour, _ in row}) == 3
    (half,), (some,), (most, all_) = ([bar[3] for bar in rows[name]] for name in (UNKNOWN, "Bob", "Ann"))
    assert 0.1 < half < some < most < all_ == 1
    assert panel.get_xlim() == (0, 60)
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the first on top


def test_gaps_go_through_all_rows_and_are_named() -> None:
    figure = draw_timeline("talk.wav", TALK, [Gap(MINUTE // 2, MINUTE // 2 + 16_000)], MINUTE, TALK)
    for panel in figure.axes:
        (gap,) = panel.patches
        assert gap.get_hatch()
        assert (gap.get_x(), gap.get_width()) == (30, 1)
        assert gap.get_height() == 1  # of the panel, not of a row
    assert "sound lost" in [text.get_text() for text in figure.legends[0].get_texts()]
    without = draw_timeline("talk.wav", TALK, [], MINUTE)
    assert "sound lost" not in [text.get_text() for text in without.legends[0].get_texts()]


def test_the_reference_is_beneath_in_the_same_colours_and_on_the_same_axis() -> None:
    told = [turn(1, 3, "Anna Maria"), turn(4, 6, "Bob")]
    said = [turn(1, 3, "Cy"), turn(4, 6, "Anna_Maria"), turn(58, 62, "Bob")]  # RTTM knows no space
    upper, lower = draw_timeline("talk.wav", told, [], MINUTE, said).axes
    above, beneath = bars(upper), bars(lower)
    assert list(beneath) == ["Cy", "Anna_Maria", "Bob"]
    assert above["Anna Maria"][0][2] == beneath["Anna_Maria"][0][2]
    assert above["Bob"][0][2] == beneath["Bob"][0][2]
    assert len({row[0][2] for row in beneath.values()}) == 3
    assert upper.get_xlim() == lower.get_xlim() == (0, 62)
    assert upper.get_position().y0 > lower.get_position().y1


def test_neighbours_among_the_colours_differ_for_the_colour_blind() -> None:
    # Viénot, Brettel and Mollon, 1999: what is left of a colour to who lacks red, or green, cones; in linear RGB.
    no_red = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    no_green = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    people = [turn(i, i + 1, f"{i}") for i in range(6)]
    (panel,) = draw_timeline("x", [*people, turn(7, 8, UNKNOWN)], [], MINUTE).axes
    colours = np.array([to_rgba(row[0][2])[:3] for row in bars(panel).values()])
    assert len(colours) == 7
    for seen in (np.eye(3), no_red, no_green):
        left = ((colours**2.2) @ seen.T).clip(0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(left[:, None] - left[None], axis=2)[np.triu_indices(7, 1)]
        assert apart.min() > 0.1


@pytest.mark.parametrize(
    ("duration_s", "last"), [(5, "00:05"), (61, "01:00"), (3_700, "1:00:00"), (10**6, "264:00:00")]
)
def test_the_axis_is_readable_for_seconds_and_for_days(duration_s: int, last: str) -> None:
    figure = draw_timeline("x", TALK, [], seconds_to_samples(duration_s))
    figure.draw_without_rendering()
    (panel,) = figure.axes
    start, end = panel.get_xlim()
    shown = [
        label.get_text()
        for at_s, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
        if start <= at_s <= end
    ]
    assert 2 <= len(shown) <= 14
    assert len(set(shown)) == len(shown)
    assert shown[-1] == last


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_names_in_any_script_are_drawn_without_a_word(ending: str, tmp_path: Path) -> None:
    names = [*NAMES, EVIL, "$x_1$", "$\\frac", "<b>&", "x" * 300, "", "\ue000"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / f"x.{ending}", [turn(i, i + 1, name) for i, name in enumerate(names)], EVIL + "$ 宇宙" * 90)
    if ending == "png":
        assert imread(tmp_path / "x.png").shape[1] == 1_320
    else:
        drawn = "".join(ElementTree.parse(tmp_path / "x.svg").getroot().itertext())
        assert all(name in drawn for name in (*NAMES, "$x_1$", "$\\frac", "<b>&"))  # as text, in the reader's fonts


def test_letters_that_the_own_font_lacks_come_from_one_that_has_them(tmp_path: Path) -> None:
    letter = "\U0010f123"  # for private use: no other font has it
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (500, 700), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    box = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "letter"])
    font.setupCharacterMap({ord(letter): "letter"})
    font.setupGlyf({".notdef": box, "letter": box})
    font.setupHorizontalMetrics({".notdef": (600, 100), "letter": (600, 100)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Livespeaker Test", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "test.ttf")
    (tmp_path / "broken.ttf").write_bytes((tmp_path / "test.ttf").read_bytes()[:100])
    assert families_for(letter + "a") == ["DejaVu Sans"]
    before = [*font_manager.fontManager.ttflist]
    try:
        font_manager.fontManager.addfont(tmp_path / "test.ttf")
        broken = font_manager.FontEntry(fname=str(tmp_path / "broken.ttf"), name="Broken")
        font_manager.fontManager.ttflist.insert(0, broken)  # removed or damaged since matplotlib looked
        assert families_for("Zoë דוד\n") == ["DejaVu Sans"]
        assert families_for(f"a{letter}") == ["DejaVu Sans", "Livespeaker Test"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw_timeline(letter, [turn(0, 1, letter)], [], MINUTE).draw_without_rendering()
    finally:
        font_manager.fontManager.ttflist[:] = before


def test_a_session_in_which_nobody_spoke_is_a_picture_too(tmp_path: Path) -> None:
    for name, duration in (("none.png", 0), ("quiet.png", MINUTE)):
        with Timeline(tmp_path / name, "x") as output:
            output.end(duration, Loss(), gaps=0)
        assert imread(tmp_path / name).size


def test_a_long_session_keeps_its_last_turns(tmp_path: Path) -> None:
    with Timeline(tmp_path / "x.svg", "x") as output:
        for i in range(20_500):
            output.write(turn(2 * i, 2 * i + 1, "Ann"))
            output.gap(32_000 * i, 32_000 * i + 16_000)
        assert len(output._turns) == len(output._gaps) == 20_000


# -- files -----------------------------------------------------------------------------------------------------------


def test_there_is_a_whole_picture_or_none(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    draw(path, TALK)
    first = path.read_bytes()
    with Timeline(path, "x") as output:
        output.write(TALK[0])
        assert path.read_bytes() == first
    assert path.read_bytes() == first  # cut off before it was drawn
    draw(path, TALK[:1])
    assert path.read_bytes() != first
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_program_leaves_the_picture_before(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    draw(path, TALK)
    first = path.read_bytes()
    code = f"""
import time
from stream.records import Loss
from stream.timeline import Timeline
output = Timeline({str(path)!r}, "x")
print("open", flush=True)
output.end(16000, Loss(), 0)
while True:
    output = Timeline({str(path)!r}, "x")
    output.end(16000, Loss(), 0)
"""
    for wait_s in (0.0, 0.4, 0.9):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            time.sleep(wait_s)
            process.kill()
        assert imread(path).size  # the one before, or the new one
    assert len(first) > 1_000


@posix
def test_a_disk_that_is_full_is_one_line_and_leaves_the_picture_before(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"the one before")
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from stream.errors import OutputError
from stream.records import Loss
from stream.timeline import Timeline
try:
    with Timeline({str(path)!r}, "x") as output:
        output.end(16000, Loss(), 0)
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write to {path}")
    assert done.stdout.count("\n") == 1
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x.jpg", "x", "-", ".png"])
def test_the_ending_says_the_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png or \.svg, got .*; rename it$") as caught:
        Timeline(tmp_path / name, "x")
    assert one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write to .*; give a path in a folder that is yours$"):
        Timeline(tmp_path / "no" / "x.png", "x")
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match=r"^cannot write to .*x\.png: .*$"):
        draw(tmp_path / "x.png", TALK)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
