"""Laws of the outputs: whole lines at every moment, the same turns back, no name that harms its reader."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stream.clock import seconds_to_samples
from stream.errors import OutputError
from stream.outputs import JsonLines, Lines, Notices, Rttm
from stream.records import Loss, Turn
from tests.test_text import EVIL, NAMES, harmful


def turn(start_s: float, end_s: float, name: str, probability: float = 0.9712, final: bool = True) -> Turn:
    return Turn(seconds_to_samples(start_s), seconds_to_samples(end_s), name, probability, final)


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


def test_jsonl_says_how_long_a_turn_took_when_it_is_known(tmp_path):
    guess = Turn(16_000, 20_800, "a", 0.6, final=False, named_at=22_752)
    path = tmp_path / "out.jsonl"
    with JsonLines(path, "x") as output:
        for one in (guess, replace(guess, end=32_000, final=True, final_at=43_952), turn(0, 1, "a")):
            output.write(one)
    told = [json.loads(line) for line in path.read_text("utf-8").splitlines()][1:]
    took = [{key: value for key, value in each.items() if "latency" in key} for each in told]
    assert took == [{"guess_latency_s": 0.422}, {"guess_latency_s": 0.422, "final_latency_s": 1.747}, {}]


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
        with pytest.raises(OutputError, match=r"^cannot write to .*; give a path.*$"):
            Lines(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_is_one_line_said_once():
    output = Lines("/dev/full")
    with pytest.raises(OutputError, match=r"^cannot write to /dev/full: no space left on device; .*$"):
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
        from stream.errors import OutputError
        try:
            with JsonLines({str(path)!r}, "x") as output:
                for i in range(100):
                    output.write(Turn(i, i + 1, "a", 1.0, True))
        except OutputError as error:
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
        from stream.errors import ReaderGoneError
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
    head = "import sys\nfrom stream.outputs import JsonLines, Lines, Notices, Rttm\nfrom stream.records import Turn\n"
    return head + "\n".join(line[indent:] for line in lines)


def python(body: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program(body)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **env},
        timeout=60,
    )


def test_what_happens_to_the_source_is_told_where_there_is_a_place_for_it(tmp_path, capsys):
    jsonl, plain, rttm = tmp_path / "out.jsonl", tmp_path / "out.txt", tmp_path / "out.rttm"
    for output in (JsonLines(jsonl, "mic"), Lines(plain), Rttm(rttm, "mic"), Notices()):
        with output:
            output.notice(24_000, f"{EVIL} is gone")
    assert json.loads(jsonl.read_text("utf-8").splitlines()[1]) == {
        "type": "notice",
        "at_s": 1.5,
        "text": f"{EVIL} is gone",
    }
    assert not rttm.read_text("utf-8")
    for told in (plain.read_text("utf-8"), "# " + capsys.readouterr().err):
        assert told.startswith("# 00:01.5  ")
        assert told.endswith(" is gone\n")
        assert told.count("\n") == 1
        assert not harmful(told[:-1])
