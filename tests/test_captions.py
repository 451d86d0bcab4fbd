"""Laws of subtitles, labels and tables: strict readers get every final turn back, whatever a person is called."""

import csv
import html
import io
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.captions import Srt, Vtt
from stream.clock import seconds_to_samples
from stream.errors import OutputError
from stream.outputs import Output
from stream.records import Loss, Turn
from stream.tables import Csv, Labels
from tests.people import posix
from tests.sound import needs_ffmpeg
from tests.test_text import EVIL, NAMES, harmful

Told = list[tuple[float, float, str]]

# Names that would end a block, a cue, a line or a cell, or be obeyed by a player or a spreadsheet.
HOSTILE = [
    EVIL,
    "a\n\n2\n00:00:00,000 --> 00:00:09,000\nb",
    "00:00:00.000 --> 00:00:09.000",
    "a --> b",
    "<b>Ann</b> & {\\an8}Bob\\Nby &lt;",
    "WEBVTT",
    "NOTE this",
    "7",
    'a\t1.0\t"2",;3\r\n4',
    "=HYPERLINK(1)",
    "+1",
    "-n",
    "@x",
    " =1",
    "\uff1d1",
    "",
    "  ",
]


def turn(start_s: float, end_s: float, name: str, *, final: bool = True) -> Turn:
    return Turn(seconds_to_samples(start_s), seconds_to_samples(end_s), name, 0.9712, final)


def turns() -> list[Turn]:
    return [turn(i, i + 0.75, name) for i, name in enumerate([*NAMES, *HOSTILE])]


# -- readers, as strict as the formats allow -------------------------------------------------------------------------


def seconds(hours: str, minutes: str, whole: str, ms: str) -> float:
    assert int(minutes) < 60
    assert int(whole) < 60
    return int(hours) * 3600 + int(minutes) * 60 + int(whole) + int(ms) / 1000


def timed(line: str, point: str) -> tuple[float, float]:
    clock = rf"(\d\d+):(\d\d):(\d\d){re.escape(point)}(\d\d\d)"
    found = re.fullmatch(f"{clock} --> {clock}", line)
    assert found, line
    return seconds(*found.groups()[:4]), seconds(*found.groups()[4:])


def read_srt(text: str) -> Told:
    told: Told = []
    assert text == "" or text.endswith("\n\n")
    for number, block in enumerate(text.split("\n\n")[:-1], 1):
        head, times, name = block.split("\n")
        assert head == str(number)
        assert name
        assert not set("<>{}\\") & set(name)
        told.append((*timed(times, ","), name))
    return told


def read_vtt(text: str) -> Told:
    told: Told = []
    head, *cues = text.split("\n\n")
    assert head == "WEBVTT"
    assert cues.pop() == ""
    for cue in cues:
        times, name = cue.split("\n")
        assert name
        assert "-->" not in name
        assert not set("<>") & set(name)
        assert re.sub("&(amp|lt|gt);", "", name).count("&") == 0
        told.append((*timed(times, "."), html.unescape(name)))
    return told


def read_labels(text: str) -> Told:
    told: Told = []
    for line in text.split("\n")[:-1]:
        start, end, name = line.split("\t")
        assert re.fullmatch(r"\d+\.\d{6}", start)
        told.append((float(start), float(end), name))
    return told


def read_csv(text: str) -> Told:
    assert text.endswith("\r\n")
    head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert head[:4] == ["start_s", "end_s", "name", "probability"]
    assert {len(row) for row in rows} <= {len(head)}
    assert all(row[3] == "0.9712" for row in rows)
    return [(float(row[0]), float(row[1]), row[2]) for row in rows]


READERS: dict[type[Output], Callable[[str], Told]] = {
    Srt: read_srt,
    Vtt: read_vtt,
    Labels: read_labels,
    Csv: read_csv,
}
KINDS = pytest.mark.parametrize("kind", READERS, ids=lambda kind: kind.__name__)


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


# -- laws ------------------------------------------------------------------------------------------------------------


@KINDS
def test_it_is_whole_after_every_turn_and_no_name_breaks_it(kind: type[Output], tmp_path: Path) -> None:
    path = tmp_path / "out"
    with kind(path) as output:
        for count, one in enumerate(turns()):
            told = READERS[kind](text_of(path))
            assert [(start, end) for start, end, _ in told] == [(i, i + 0.75) for i in range(count)]
            output.write(turn(one.start / 16_000, one.end / 16_000, "guess", final=False))
            output.write(one)
        output.gap(0, 1600)
        output.end(1600, Loss(1, 1, 1), gaps=1)
    told = READERS[kind](text_of(path))
    assert [name for _, _, name in told][: len(NAMES)] == NAMES
    assert len(told) == len(turns())
    for _, _, name in told:
        assert harmful(name) == []


@KINDS
def test_a_session_without_turns_is_a_file_without_turns(kind: type[Output], tmp_path: Path) -> None:
    with kind(tmp_path / "out") as output:
        output.end(1600, Loss(), gaps=0)
    assert READERS[kind](text_of(tmp_path / "out")) == []


@KINDS
def test_times_are_right_to_the_millisecond_after_days(kind: type[Output], tmp_path: Path) -> None:
    start_s = 100 * 3600 + 59 * 60 + 59.999
    with kind(tmp_path / "out") as output:
        output.write(turn(0.0005, 0.9996, "Ann"))
        output.write(turn(start_s, start_s + 0.3, "Ann"))
    told = READERS[kind](text_of(tmp_path / "out"))
    assert [(start, end) for start, end, _ in told] == [(0.0, 1.0), (start_s, round(start_s + 0.3, 3))]


def test_webvtt_gives_hostile_names_back(tmp_path: Path) -> None:
    name = "<b>A</b> &amp; --> {\\an8}"
    with Vtt(tmp_path / "out") as output:
        output.write(turn(0, 1, name))
    assert [name for _, _, name in read_vtt(text_of(tmp_path / "out"))] == [name]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    with Csv(tmp_path / "out") as output:
        for one in turns():
            output.write(one)
    names = [name for _, _, name in read_csv(text_of(tmp_path / "out"))]
    assert not [name for name in names if name.lstrip()[:1] in set("=+-@\uff1d\uff0b\uff0d\uff20")]
    assert "'-n" in names
    assert "'=HYPERLINK(1)" in names


def test_a_table_says_how_long_a_turn_took(tmp_path: Path) -> None:
    with Csv(tmp_path / "out") as output:
        output.write(Turn(16_000, 32_000, "Ann", 0.5, final=True, named_at=22_752, final_at=43_952))
    head, row = csv.reader(io.StringIO(text_of(tmp_path / "out"), newline=""))
    late = {"guess_latency_s": "0.422", "final_latency_s": "1.747"}
    assert dict(zip(head[4:], row[4:], strict=True)) == late | {"second": ""}


def test_a_table_says_who_else_spoke(tmp_path: Path) -> None:
    with Csv(tmp_path / "out") as output:
        output.write(Turn(16_000, 32_000, "Ann", 0.5, final=True, overlap=True, second="=Bo"))
    head, row = csv.reader(io.StringIO(text_of(tmp_path / "out"), newline=""))
    assert dict(zip(head, row, strict=True))["second"] == "'=Bo"


@needs_ffmpeg
@pytest.mark.parametrize("kind", [Srt, Vtt], ids=lambda kind: kind.__name__)
def test_ffmpeg_reads_the_subtitles(kind: type[Output], tmp_path: Path) -> None:
    path = tmp_path / f"talk.{kind.__name__.lower()}"
    with kind(path) as output:
        for one in turns():
            output.write(one)
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(path), "-f", "srt", "-"], capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""
    times = re.findall(r"^(\d\d:\d\d:\d\d,\d\d\d) --> ", done.stdout.decode(), re.MULTILINE)
    assert times == [f"00:00:{i:02d},000" for i in range(len(turns()))]
    assert all(name in done.stdout.decode() for name in NAMES)


@KINDS
def test_a_killed_program_leaves_all_turns_so_far(kind: type[Output], tmp_path: Path) -> None:
    path = tmp_path / "out"
    code = f"""
import sys
from {kind.__module__} import {kind.__name__}
from stream.records import Turn
output = {kind.__name__}({str(path)!r})
i = 0
while True:
    output.write(Turn(16000 * i, 16000 * i + 12000, "Zo\\u00eb, <Ann>", 0.9712, True))
    i += 1
    print(i, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(500)]
        time.sleep(0.05)
        process.kill()
        said += process.stdout.readlines()
    told = READERS[kind](text_of(path))
    written = int([line for line in said if line.endswith("\n")][-1])
    assert len(told) - written in (0, 1)  # the last may not have been said any more
    assert [(start, end) for start, end, _ in told] == [(i, i + 0.75) for i in range(len(told))]


@posix
@KINDS
def test_a_disk_that_fills_up_leaves_whole_turns(kind: type[Output], tmp_path: Path) -> None:
    path = tmp_path / "out"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from {kind.__module__} import {kind.__name__}
from stream.errors import OutputError
from stream.records import Turn
try:
    with {kind.__name__}({str(path)!r}) as output:
        for i in range(100):
            output.write(Turn(16000 * i, 16000 * i + 12000, "Ann", 0.9712, True))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "what was written before is whole" in done.stdout
    assert done.stdout.count("\n") == 1
    assert 900 < path.stat().st_size <= 1000
    assert len(READERS[kind](text_of(path))) > 10


@KINDS
def test_a_path_that_cannot_be_written_fails_at_once(kind: type[Output], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write to .*; give a path in a folder that is yours$"):
        kind(tmp_path)
