"""Laws of the outputs: whole lines at every moment, the same turns back, no name that harms its reader."""

import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest

from stream.clock import seconds_to_samples
from stream.errors import FileError, LivespeakerError
from stream.outputs import JsonLines, Lines, Rttm, format_probability, read_rttm, safe_text
from stream.records import UNKNOWN, Loss, Turn

EVIL = "eve\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.\u2066\u200b\r\n\t\x00\x7f\u2028\ud800"
NAMES = [
    "alice",
    "Zoë",
    "Zoe\u0308",
    "宇宙 大将軍",
    "מרים",
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "👩‍🚀",
    UNKNOWN,
]


def turn(start_s: float, end_s: float, name: str, probability: float = 0.9712, final: bool = True) -> Turn:
    return Turn(seconds_to_samples(start_s), seconds_to_samples(end_s), name, probability, final)


def harmful(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u200b"]


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_names_stay_as_they_are(name):
    assert safe_text(name) == name


def test_nothing_a_terminal_obeys_is_left_in_a_name():
    every = "".join(map(chr, range(0x110000)))
    assert harmful(safe_text(every)) == []
    assert safe_text(safe_text(EVIL)) == safe_text(EVIL)
    assert len(safe_text(EVIL)) == len(EVIL)  # one for one: what was taken away can be seen


def test_marks_neither_climb_nor_sit_on_what_stands_before():
    assert safe_text("a" + "\u0301" * 50) == "a" + "\u0301" * 4
    assert safe_text("\u0301a")[0] == "\u25cc"


def test_a_probability_keeps_its_width_and_never_claims_certainty():
    shown = [format_probability(p / 1000) for p in range(1001)] + [format_probability(float("nan"))]
    assert {len(text) for text in shown} == {5}
    assert not any("100" in text for text in shown)


def test_jsonl_is_whole_after_every_write(tmp_path):
    path = tmp_path / "out.jsonl"
    turns = [turn(i, i + 0.5, name, final=i % 2 == 0) for i, name in enumerate([*NAMES, EVIL])]
    with JsonLines(path, source="talk.wav") as output:
        for count, one in enumerate(turns, 1):
            output.write(one)
            data = path.read_bytes()
            assert data.endswith(b"\n")
            records = [json.loads(line) for line in data.decode("utf-8").splitlines()]  # breaks at U+2028 too
            assert len(records) == 1 + count
        output.gap(1600, 4800)
        output.end(seconds_to_samples(61), Loss(1, 2, 3), gaps=1)
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert records[0] == {"type": "session", "schema": 1, "source": "talk.wav", "sample_rate": 16000}
    assert records[1] == {
        "type": "turn", "start_s": 0.0, "end_s": 0.5, "name": "alice", "probability": 0.9712, "final": True,
    }  # fmt: skip
    assert [record["name"] for record in records[1:-2]] == [*NAMES, EVIL]
    assert [record["final"] for record in records[1:-2]] == [one.final for one in turns]
    assert records[-2] == {"type": "gap", "start_s": 0.1, "end_s": 0.3}
    loss = {"overflows": 1, "overruns": 2, "samples": 3}
    assert records[-1] == {"type": "end", "duration_s": 61.0, "loss": loss, "gaps": 1}


@pytest.mark.parametrize(
    "make", [lambda p: JsonLines(p, EVIL), lambda p: Rttm(p, EVIL), lambda p: Lines(p, verbose=True)]
)
def test_a_name_with_escape_codes_never_reaches_an_output_raw(make, tmp_path):
    path = tmp_path / "out"
    with make(path) as output:
        output.write(turn(0, 1, EVIL))
        output.write(turn(1, 2, EVIL, final=False))
        output.gap(0, 1600)
        output.end(1600, Loss(0, 1, 1), gaps=1)
    for line in path.read_bytes().decode("utf-8").split("\n"):
        assert harmful(line) == []


def test_names_are_readable_in_jsonl(tmp_path):
    with JsonLines(tmp_path / "out", "x") as output:
        output.write(turn(0, 1, "宇宙 Zoë"))
    assert "宇宙 Zoë" in (tmp_path / "out").read_text("utf-8")


def test_rttm_comes_back_as_it_went(tmp_path):
    path = tmp_path / "out.rttm"
    edges = [0, 16 * 7, 1600, 1600 * 3, 1600 * 123456, 1600 * 123457]
    names = [*NAMES[:2], "宇宙", UNKNOWN, "bob"]
    turns = [Turn(start, end, name, 1.0, True) for (start, end), name in zip(pairwise(edges), names, strict=True)]
    with Rttm(path, file_id="talk") as output:
        for one in turns:
            output.write(one)
            output.write(turn(0, 1, "a guess", final=False))
    assert read_rttm(path) == turns


def test_rttm_neighbours_still_meet_wherever_they_were_cut(tmp_path):
    path = tmp_path / "out.rttm"
    edges = list(range(0, 100_000, 997))
    with Rttm(path, "x") as output:
        for start, end in pairwise(edges):
            output.write(Turn(start, end, "a", 1.0, True))
    back = read_rttm(path)
    assert all(one.end == other.start for one, other in pairwise(back))
    assert all(abs(one.start - edge) <= 8 for one, edge in zip(back, edges, strict=False))


def test_rttm_has_ten_fields_whatever_the_name(tmp_path):
    path = tmp_path / "out.rttm"
    with Rttm(path, file_id="my talk\u3000one") as output:
        for name in ["Anna Maria", "", " ", EVIL, "a\u00a0b"]:
            output.write(turn(12.3, 15.8, name))
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "SPEAKER my_talk_one 1 12.300 3.500 <NA> <NA> Anna_Maria <NA> <NA>"
    assert {len(line.split()) for line in lines} == {10}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SPEAKER a 1 0 1 <NA> <NA> x <NA> <NA>\n\nSPEAKER a 1 zero 1 <NA> <NA> x <NA> <NA>", 3),
        ("SPEAKER a 1 0 -1 <NA> <NA> x <NA> <NA>", 1),
        ("SPEAKER a 1 nan 1 <NA> <NA> x <NA> <NA>", 1),
        (";; a comment\nSPEAKER a 1 0 1 <NA>", 2),
        ("1\n00:00:01,000 --> 00:00:02,000", 1),
    ],
)
def test_a_line_that_is_not_rttm_is_named(text, line, tmp_path):
    (tmp_path / "bad.rttm").write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=rf"bad\.rttm, line {line}: wanted .*, got .*; correct") as caught:
        read_rttm(tmp_path / "bad.rttm")
    assert "\n" not in str(caught.value)


def test_other_rttm_lines_are_passed_over(tmp_path):
    path = tmp_path / "x.rttm"
    path.write_text(
        "\ufeff;; hi\nSPKR-INFO a 1 <NA> <NA> <NA> unknown x <NA>\r\n\nSPEAKER a 1 0.5 1 <NA> <NA> x\r\n", "utf-8"
    )
    assert read_rttm(path) == [turn(0.5, 1.5, "x", 1.0)]


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "sound").write_bytes(b"RIFF\xff\xfe\x00")
    for path in [tmp_path / "none", tmp_path, tmp_path / "sound"]:
        with pytest.raises(FileError, match=r"cannot read .*; give an RTTM file") as caught:
            read_rttm(path)
        assert "\n" not in str(caught.value)


def test_plain_lines_say_turns_and_nothing_else(tmp_path):
    path = tmp_path / "out"
    with Lines(path) as output:
        output.write(turn(12.3, 13, "bob", final=False))
        output.write(turn(12.3, 15.8, "alice"))
        output.end(16000, Loss(), gaps=0)
    assert path.read_text("utf-8") == "00:12.3 - 00:15.8  alice        97 %\n"


def test_verbose_lines_show_a_guess_once_and_marked(tmp_path):
    path = tmp_path / "out"
    with Lines(path, verbose=True) as output:
        for end in (1.0, 1.1, 1.2):
            output.write(turn(0.5, end, "bob", final=False))
        output.write(turn(0.5, 1.3, "alice", final=False))
        output.write(turn(0.5, 1.4, "alice"))
    lines = path.read_text("utf-8").splitlines()
    assert [("?" in line, "maybe" in line, line.startswith("#")) for line in lines] == [(True,) * 3] * 2 + [
        (False,) * 3
    ]


def test_losses_are_told_in_plain_lines(tmp_path):
    with Lines(tmp_path / "out") as output:
        output.gap(1600, 4800)
        output.end(16000, Loss(1, 0, 3200), gaps=1)
    gap, end = (tmp_path / "out").read_text("utf-8").splitlines()
    assert gap == "# 00:00.1 - 00:00.3  0.2 s of sound lost"
    assert "3200 samples lost" in end


def test_an_output_replaces_a_file_and_fails_at_once_when_it_cannot(tmp_path):
    (tmp_path / "out").write_text("old\n" * 100)
    Lines(tmp_path / "out").close()
    assert (tmp_path / "out").read_text() == ""
    for path in [tmp_path, tmp_path / "no" / "out", "a\0b"]:
        with pytest.raises(LivespeakerError, match=r"^cannot write to .*; give a path.*$"):
            Lines(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_one_line_said_once():
    output = Lines("/dev/full")
    with pytest.raises(LivespeakerError, match=r"^cannot write to /dev/full: no space left on device; .*$"):
        output.write(turn(0, 1, "a"))
    output.write(turn(0, 1, "a"))
    output.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files, which Windows lacks")
def test_a_disk_that_fills_up_within_a_line_leaves_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    done = python(
        f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        from stream.errors import LivespeakerError
        try:
            with JsonLines({str(path)!r}, "x") as output:
                for i in range(100):
                    output.write(Turn(i, i + 1, "a", 1.0, True))
        except LivespeakerError as error:
            print(error)
        """
    )
    assert done.returncode == 0, done.stderr
    assert "what was written before is whole" in done.stdout
    data = path.read_bytes()
    assert 800 < len(data) < 1000
    assert data.endswith(b"\n")
    assert all(json.loads(line) for line in data.splitlines())


def test_a_killed_program_leaves_whole_lines(tmp_path):
    path = tmp_path / "out.jsonl"
    code = f"""
        output = JsonLines({str(path)!r}, "x")
        i = 0
        while True:
            output.write(Turn(i, i + 1, "a", 1.0, True))
            i += 1
        """
    with subprocess.Popen([sys.executable, "-c", program(code)]) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (path.exists() and path.stat().st_size > 20_000):
            time.sleep(0.01)
        process.kill()
    data = path.read_bytes()
    assert len(data) > 20_000
    assert data.endswith(b"\n")
    assert all(json.loads(line) for line in data.splitlines())


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs pipes that break as in POSIX")
def test_a_reader_that_leaves_ends_standard_output_quietly():
    code = """
        from stream.outputs import ReaderGoneError
        try:
            with JsonLines("-", "x") as output:
                for i in range(1_000_000):
                    output.write(Turn(i, i + 1, "a", 1.0, True))
        except ReaderGoneError:
            print("a farewell to nobody")  # without care, Python itself would complain about this when it ends
            sys.exit(7)
        """
    with subprocess.Popen(
        [sys.executable, "-c", program(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert json.loads(process.stdout.readline())["type"] == "session"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 7


def test_standard_output_keeps_the_order_and_stays_open():
    done = python(
        """
        print("before")
        for output in (Lines("-"), Rttm("-", "x")):
            with output:
                output.write(Turn(0, 1600, "Zoë", 1.0, True))
        print("after")
        """,
        PYTHONIOENCODING="latin-1",  # the files are UTF-8 whatever the terminal speaks
    )
    before, line, rttm, after = done.stdout.splitlines()
    assert (before, after) == ("before", "after")
    assert "Zoë" in line
    assert " Zoë " in rttm


def program(body: str) -> str:
    lines = body.strip("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    head = "import sys\nfrom stream.outputs import JsonLines, Lines, Rttm\nfrom stream.records import Turn\n"
    return head + "\n".join(line[indent:] for line in lines)


def python(body: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program(body)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **env},
        timeout=60,
    )
