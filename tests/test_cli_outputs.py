"""The outputs as the command line gives them: together, killed, on a full disk, and replayed from a recording."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from matplotlib.image import imread

from stream.cli_outputs import Shown, run_shown
from stream.clock import SAMPLE_RATE
from stream.demonstration import CONVERSATION
from stream.errors import UsageError
from stream.records import Block, Gap
from stream.rttm import read_rttm
from tests import test_cli
from tests.people import posix
from tests.talk import blocks, command, conversation, final, livespeaker, recognize, stages, write_profile
from tests.test_captions import read_labels, read_srt, read_vtt
from tests.test_cli import Call, complaint
from tests.test_session import Heard

call = test_cli.call  # a fixture

TEXTS = {"srt": read_srt, "vtt": read_vtt, "labels": read_labels}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "profile")


def asked(folder: Path, ending: str = "wav") -> list[str | Path]:
    """Every output there is, into one folder."""
    folder.mkdir()
    written = {kind: folder / f"out.{kind}" for kind in ("jsonl", "rttm", "srt", "vtt", "labels", "csv")}
    written |= {"timeline": folder / "out.png", "record": folder / f"talk.{ending}"}
    return [word for kind, path in written.items() for word in (f"--{kind}", path)]


def spans(rttm: Path) -> list[tuple[float, float, str]]:
    return [(turn.start / SAMPLE_RATE, turn.end / SAMPLE_RATE, turn.name) for turn in read_rttm(rttm)]


def told(folder: Path) -> dict[str, list[tuple[float, float, str]]]:
    """The final turns, by output: start and end in seconds, and the name."""
    lines = (folder / "out.jsonl").read_bytes().decode().splitlines()
    records = [json.loads(line) for line in lines]
    turns = [each for each in records if each["type"] == "turn" and each["final"]]
    found = {"jsonl": [(each["start_s"], each["end_s"], each["name"]) for each in turns]}
    found["rttm"] = spans(folder / "out.rttm")
    for kind, read in TEXTS.items():
        found[kind] = read((folder / f"out.{kind}").read_bytes().decode())
    table = (folder / "out.csv").read_bytes().decode()
    assert re.fullmatch(r"(.*\r\n)+", table)
    found["csv"] = [
        (float(start), float(end), name)
        for start, end, name, *_ in (row.split(",") for row in table.split("\r\n")[1:-1])
    ]
    return found


def test_all_outputs_tell_the_same_and_a_recording_gives_the_same_again(
    call: Call, profile: Path, tmp_path: Path
) -> None:
    # At 48 kHz and in stereo: what is kept is what was used.
    left = np.repeat(conversation(0, 15), 3)
    sf.write(tmp_path / "talk.wav", np.stack([left, left / 2], axis=1), 48_000)
    source = tmp_path / "talk.wav"
    results = []
    for run, ending in enumerate(("wav", "flac", "wav")):
        folder = tmp_path / f"{run}"
        code, _, err = call("replay", source, "--speed", "max", "--profile", profile, *asked(folder, ending))
        assert code == 0, err
        turns = told(folder)
        assert [name for _, _, name in turns["jsonl"]] == ["Sally", "Rob", "Angus"]
        assert all(each == turns["jsonl"] for each in turns.values())
        assert imread(folder / "out.png").shape[1] > 1_000
        source = folder / f"talk.{ending}"
        assert (sf.info(source).samplerate, sf.info(source).channels) == (48_000, 1)
        results.append([(folder / f"out.{kind}").read_bytes() for kind in ("rttm", "srt", "vtt", "labels", "csv")])
    assert results[0] == results[1] == results[2]  # the latencies in the table, too


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_pipe_can_be_recorded_and_replayed(ending: str, call: Call, profile: Path, tmp_path: Path) -> None:
    raw = (conversation(0, 11) * 2**15).round().astype("<i2").tobytes()
    common = ("--profile", profile, "--jsonl", "-")
    kept = tmp_path / f"talk.{ending}"
    piped = livespeaker("replay", "-", *common, "--record", kept, stdin=raw)
    assert (piped.returncode, len(piped.stdout.splitlines()) > 4) == (0, True), piped.stderr
    _, again, _ = call("replay", kept, "--speed", "max", *common)
    assert again.splitlines()[1:] == piped.stdout.splitlines()[1:]  # all but the name of the source
    np.testing.assert_array_equal(sf.read(kept, dtype="float32")[0] * 2**15, np.frombuffer(raw, "<i2"))


@posix
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_killed_it_leaves_valid_files_with_all_final_turns(
    ending: str, call: Call, profile: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    arguments = command("replay", CONVERSATION, "--speed", "8", "--profile", profile, *asked(folder, ending))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        deadline = time.monotonic() + 60
        while not (folder / "out.csv").exists() or (folder / "out.csv").read_text().count("\n") < 5:
            assert time.monotonic() < deadline
            assert running.poll() is None, running.communicate()
            time.sleep(0.01)
        running.kill()
    turns = told(folder)
    lines = (folder / "out.jsonl").read_text().splitlines()
    assert '"type": "end"' not in lines[-1]
    assert 4 <= len(turns["jsonl"]) < 16
    for kind, each in turns.items():
        assert turns["jsonl"][: len(each)] == each, kind
        assert len(turns["jsonl"]) - len(each) <= 1, kind
    assert not (folder / "out.png").exists()
    # What was kept of the sound opens, and gives the same turns again.
    kept, rttm = folder / f"talk.{ending}", tmp_path / "again.rttm"
    code, _, err = call("replay", kept, "--speed", "max", "--profile", profile, "--rttm", rttm)
    assert code == 0, err
    again = spans(rttm)
    decided = [turn for turn in turns["rttm"] if turn[1] < again[-1][0]]
    assert len(decided) >= 3
    assert again[: len(decided)] == decided


def test_lost_sound_is_a_gap_in_the_decisions_and_silence_in_the_recording(tmp_path: Path) -> None:
    said = conversation(0, 15)
    lost, back = 7 * SAMPLE_RATE, 8 * SAMPLE_RATE
    sound = [*blocks(said[:lost], 1_600), *blocks(said[back:], 1_600, back)]
    shown = Shown(jsonl=str(tmp_path / "x.jsonl"), record=str(tmp_path / "x.flac"), plain=True)
    run_shown(lambda: Heard(sound), stages(), shown)
    records = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [(each["start_s"], each["end_s"]) for each in records if each["type"] == "gap"] == [(7.0, 8.0)]
    kept = sf.read(tmp_path / "x.flac", dtype="float32")[0]
    assert len(kept) == len(said)
    assert not kept[lost:back].any()
    np.testing.assert_array_equal(kept[back:], said[back:])
    replayed = recognize([Block(0, kept)])
    assert not [event for event in replayed if isinstance(event, Gap)]
    assert [turn.name for turn in final(replayed)][0::3] == ["Sally", "Angus"]
    assert records[-1]["duration_s"] == 15.0


@posix
def test_a_full_disk_ends_a_recording_with_one_line(profile: Path, tmp_path: Path) -> None:
    kept = tmp_path / "talk.wav"
    replay = command("replay", CONVERSATION, "--speed", "max", "--profile", profile, "--record", kept, "--verbose")
    limited = ["bash", "-c", 'ulimit -f 600; exec "$@"', "bash", *replay]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    *_, loss, written, _ = done.stderr.splitlines()
    assert "01:10.7 of conversation.opus" in done.stderr  # what it came to is told all the same
    assert (loss, written) == ("  no sound was lost", f"  written: {kept}")
    assert re.search(rf"cannot write to {kept}: .*; the \d+\.\d s before are whole$", complaint(done.stderr))
    assert "Sally" in done.stdout
    assert 9 < sf.info(kept).duration < 11


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_leads_nowhere(closed: str, profile: Path, tmp_path: Path) -> None:
    table = tmp_path / "talk.csv"
    replay = command("replay", CONVERSATION, "--speed", "max", "--profile", profile, "--csv", table)
    done = subprocess.run(["bash", "-c", f'exec "$@" {closed}', "bash", *replay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = table.read_text().splitlines()  # and nothing but the table is in it
    assert lines[0].startswith("start_s,")
    assert len({line.count(",") for line in lines}) == 1
    assert len(lines) > 10


# -- what cannot be --------------------------------------------------------------------------------------------------


def refused(call: Call, *arguments: str | Path) -> str:
    code, out, err = call(*arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    return complaint(err)


def test_two_outputs_to_one_file_are_refused_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "twin").hardlink_to(tmp_path / "there")
    (tmp_path / "folder").symlink_to(tmp_path)
    here = os.path.relpath(tmp_path)
    new = str(tmp_path / "new")
    for one, other in (
        (new, new),
        (new, f"{tmp_path}/./new"),
        (new, f"{tmp_path}/folder/new"),
        (new, f"{here}/new"),
        *((str(tmp_path / "there"), str(tmp_path / spelt)) for spelt in ("link", "twin", "folder/link")),
        ("-", "-"),
    ):
        with pytest.raises(UsageError, match=r"^--srt and --csv cannot both write to .*; give each its own file$"):
            Shown(srt=one, csv=other)
    assert (tmp_path / "there").read_text() == "kept"
    Shown(srt=new, csv=str(tmp_path / "other"), labels="-")


@posix
def test_standard_output_and_the_file_that_it_goes_to_are_one(profile: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    replay = command("replay", CONVERSATION, "--profile", profile, "--jsonl", "-", "--csv", out)
    with out.open("w") as file:
        done = subprocess.run(replay, stdout=file, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot both write to" in complaint(done.stderr)
    assert out.read_text() == ""


def test_what_is_read_is_not_written_over(call: Call, profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 2), SAMPLE_RATE)
    (tmp_path / "talk.rttm").write_text("")
    (tmp_path / "link.wav").symlink_to(tmp_path / "talk.wav")
    before = (tmp_path / "talk.wav").read_bytes()
    for arguments in (["--record", tmp_path / "talk.wav"], ["--record", tmp_path / "link.wav"]):
        said = refused(call, "replay", tmp_path / "talk.wav", *arguments, "--profile", profile)
        assert "--record would write over" in said
    assert (tmp_path / "talk.wav").read_bytes() == before
    rttm = tmp_path / "talk.rttm"
    with pytest.raises(UsageError, match="--rttm would write over"):
        Shown(rttm=str(rttm), timeline=str(tmp_path / "x.png"), reference=rttm)


def test_what_is_wrong_is_said_before_anything_is_written(call: Call, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.rttm").write_text("SPEAKER talk 1 0.0\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    csv, png = ("--csv", tmp_path / "x.csv"), ("--timeline", tmp_path / "x.png")
    for arguments, words in (
        (["--record", tmp_path / "x.mp3"], "ends in .wav or .flac"),
        (["--record", "-"], "ends in .wav or .flac"),
        (["--paused"], "expected a dashboard for --paused"),
        (["--timeline", tmp_path / "x.jpg"], "ends in .png or .svg"),
        (["--reference", tmp_path / "bad.rttm"], "--timeline, which was not asked for"),
        ([*png, "--reference", tmp_path / "bad.rttm"], "line 1: wanted at least 8 fields, got 4"),
        ([*png, "--reference", tmp_path / "no.rttm"], "no such file"),
    ):
        assert words in refused(call, "replay", CONVERSATION, "--profile", profile, *csv, *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["srt", "vtt", "labels", "csv"])
def test_standard_output_is_for_one_output_alone(option: str, call: Call, profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6), SAMPLE_RATE)
    code, out, _ = call("replay", tmp_path / "talk.wav", "--speed", "max", "--profile", profile, f"--{option}", "-")
    assert code == 0
    if option == "csv":
        assert out.count("Sally") == 1
    else:
        assert [name for _, _, name in TEXTS[option](out)] == ["Sally"]
