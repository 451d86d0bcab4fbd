"""The command line: what it answers, what it writes, and one line for everything that is wrong with its input."""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from model.profile import Profile
from model.scoring import centroid
from stream.cli_shared import called
from stream.clock import SAMPLE_RATE
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.rttm import read_rttm
from tests.people import posix
from tests.sound import needs_ffmpeg
from tests.talk import (
    NAMES,
    base,
    blocks,
    command,
    content,
    conversation,
    final,
    livespeaker,
    order,
    reading,
    recognize,
    voices,
    write_profile,
)

COMMANDS = ["demo", "devices", "enroll", "live", "replay", "speakers", "pretrain"]
SPEAKERS = ["list", "rename", "remove", "merge", "export", "import"]
HELP = [[], *([name] for name in COMMANDS), *(["speakers", name] for name in SPEAKERS)]
NOT_FOR_HELP = ("numpy", "tensorflow", "keras", "librosa", "sklearn", "onnxruntime", "ai_edge_litert", "sounddevice")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process: its exit code, standard output and standard error."""
    from stream.cli import main

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["livespeaker", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "profile")


def complaint(err: str) -> str:
    """The one line that says what is wrong: the last one, after what was told while all was well."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("livespeaker: ")]
    assert len(lines) == 1, err
    assert err.endswith(lines[0] + "\n")
    return lines[0]


def turns_of(out: str) -> list[dict[str, object]]:
    """The final turns in JSON Lines; every line is a record."""
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["type"] for record in (records[0], records[-1])] == ["session", "end"]
    return [record for record in records if record["type"] == "turn" and record["final"]]


# -- help and usage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    program = "from stream.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program, *words, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & set(NOT_FOR_HELP)


def test_help_names_every_command(call: Call) -> None:
    _, out, _ = call("--help")
    assert all(name in out for name in COMMANDS)
    assert "livespeaker demo" in out
    _, out, _ = call("speakers", "--help")
    assert all(name in out for name in SPEAKERS)


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["nonsense"],
        ["replay"],
        ["replay", "--nonsense", "x.wav"],
        ["replay", "x.wav", "y.wav"],
        ["enroll"],
        ["speakers", "rename", "Ann"],
        ["speakers", "nonsense"],
        ["pretrain", "--corpus", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_and_says_where_help_is(call: Call, words: list[str]) -> None:
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert "--help" in err


# -- bad input: sound ------------------------------------------------------------------------------------------------


def write_sparse_wav(path: Path, size: int) -> None:
    """A WAV of `size` bytes of silence at 16 kHz that takes no space."""
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", size
    )
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no sound\n" * 100)
    sf.write(folder / "none.wav", np.zeros(0, np.float32), SAMPLE_RATE)
    (folder / "head.wav").write_bytes((folder / "none.wav").read_bytes()[:20])
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.wav", "check the path"),
        ("empty.wav", "is empty"),
        ("text.wav", "ffmpeg"),
        ("head.wav", "ffmpeg"),
        ("none.wav", "holds no sound"),
        (".", "name a file in it"),
    ],
)
@pytest.mark.parametrize("task", ["replay", "enroll"])
def test_a_file_without_sound(call: Call, profile: Path, bad_files: Path, task: str, name: str, words: str) -> None:
    before = content(profile)
    file = bad_files / name
    arguments = ["replay", file] if task == "replay" else ["enroll", "Ann", ENROLMENT["Rob"], file]
    code, out, err = call(*arguments, "--profile", profile)
    assert (code, out) == (1, "")
    assert words in complaint(err)
    assert err.count("\n") == 1  # nothing was begun
    assert content(profile) == before


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_truncated_file_is_told_as_far_as_it_goes_and_enrols_nobody(
    call: Call, profile: Path, tmp_path: Path, suffix: str
) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    sf.write(whole, conversation(0, 12), SAMPLE_RATE)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    before = content(profile)
    code, out, err = call("replay", cut, "--speed", "max", "--jsonl", "-", "--profile", profile)
    assert code == 1
    assert "get it again whole" in complaint(err)
    assert turns_of(out)[0]["name"] == "Sally"
    code, _, err = call("enroll", "Ann", cut, "--profile", profile)
    assert code == 1
    assert "nobody was enrolled" in complaint(err)
    assert content(profile) == before


@posix
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to see a process's memory in")
def test_three_gigabytes_are_streamed_and_stopped_at_once(profile: Path, tmp_path: Path) -> None:
    write_sparse_wav(tmp_path / "long.wav", 3 * 10**9)
    out = tmp_path / "out.jsonl"
    running = subprocess.Popen(
        command("replay", tmp_path / "long.wav", "--speed", "max", "--jsonl", out, "--profile", profile),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    assert "Listening to long.wav" in running.stderr.readline()
    resident = []
    for _ in range(6):
        time.sleep(0.5)
        pages = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    assert running.poll() is None
    began_s = time.monotonic()
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=30)
    assert time.monotonic() - began_s < 5
    print(f"resident: {', '.join(f'{mb:.0f}' for mb in resident)} MB")
    assert max(resident) < 500
    assert max(resident[1:]) - resident[1] < 20
    assert (running.returncode, stdout, stderr) == (0, "", "")
    assert turns_of(out.read_text()) == []
    assert json.loads(out.read_text().splitlines()[-1])["duration_s"] > 10


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_a_speed_that_cannot_be(call: Call, profile: Path, speed: str) -> None:
    code, out, err = call("replay", CONVERSATION, "--speed", speed, "--profile", profile)
    assert (code, out) == (1, "")
    assert "max" in complaint(err)
    assert err.count("\n") == 1


@pytest.mark.parametrize(("redirect", "words"), [("< /dev/null", "nothing came"), ("<&-", "is closed")])
@posix
def test_standard_input_that_closes_at_once(profile: Path, redirect: str, words: str) -> None:
    script = f'exec "$@" {redirect}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command("replay", "-", "--profile", profile)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert words in complaint(done.stderr)
    assert done.stderr.count("\n") == 1


def test_standard_input_that_closes_half_way_is_told_as_far_as_it_came(profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6), SAMPLE_RATE)
    broken = (tmp_path / "talk.wav").read_bytes()[:180_000]
    done = livespeaker("replay", "-", "--jsonl", "-", "--profile", profile, stdin=broken)
    assert done.returncode == 1
    assert "broke off" in complaint(done.stderr)
    assert [turn["name"] for turn in turns_of(done.stdout)] == ["Sally"]


# -- bad input: the microphone ---------------------------------------------------------------------------------------

NO_INPUT = """
class PortAudioError(Exception): pass
class default: device = (-1, -1)
def query_devices(): return []
"""


@pytest.mark.parametrize(
    ("fake", "words"),
    [("raise OSError('PortAudio library not found')", "libportaudio2"), (NO_INPUT, "plug in a microphone")],
    ids=["no PortAudio", "no device"],
)
@pytest.mark.parametrize("task", [["devices"], ["live"], ["enroll", "Ann", "--mic"]], ids=" ".join)
def test_no_microphone(profile: Path, tmp_path: Path, fake: str, words: str, task: list[str]) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "sounddevice.py").write_text(fake)
    before = content(profile)
    where = [] if task == ["devices"] else ["--profile", str(profile)]
    path = os.pathsep.join(filter(None, [str(tmp_path / "fake"), os.environ.get("PYTHONPATH")]))
    done = livespeaker(*task, *where, env={"PYTHONPATH": path})
    assert (done.returncode, done.stdout) == (1, "")
    assert words in complaint(done.stderr)
    assert done.stderr.count("\n") == 1
    assert content(profile) == before


# -- bad input: enrolment and names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (np.zeros_like, "at least 2 s of speech, heard 0.0 s"),
        (lambda sound: np.clip(30 * sound, -1, 1), "clipped; lower the input level"),
        (lambda sound: sound[: SAMPLE_RATE * 3 // 2], "at least 2 s of speech"),
    ],
    ids=["silent", "clipped", "short"],
)
def test_speech_that_makes_no_voice(
    call: Call, profile: Path, tmp_path: Path, spoil: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    sf.write(tmp_path / "bad.wav", spoil(reading("Rob")), SAMPLE_RATE)
    before = content(profile)
    for name in ("Ann", "Rob"):  # neither a new person nor one who is known
        code, out, err = call("enroll", name, tmp_path / "bad.wav", "--profile", profile)
        assert (code, out) == (1, "")
        assert words in complaint(err)
        assert content(profile) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "can be seen"),
        ("  ", "can be seen"),
        ("../x", "not a path"),
        ("unknown", "another name"),
        ("a\x1b[2Jb", "type it again"),
        ("x" * 65, "shorter"),
    ],
)
def test_a_name_that_cannot_be(call: Call, profile: Path, tmp_path: Path, name: str, words: str) -> None:
    before = content(tmp_path)
    for arguments in (["enroll", name, ENROLMENT["Rob"]], ["speakers", "rename", "Rob", name]):
        code, out, err = call(*arguments, "--profile", profile)
        assert (code, out) == (1, "")
        assert words in complaint(err)
        assert err.count("\n") == 1
    # A lock is no part of what is known.
    assert {**content(tmp_path), "profile/profile.lock": b""} == {**before, "profile/profile.lock": b""}


def test_a_name_that_is_taken(call: Call, profile: Path) -> None:
    before = content(profile)
    code, out, err = call("speakers", "rename", "Rob", "sally", "--profile", profile)
    assert (code, out) == (1, "")
    assert "speakers merge" in complaint(err)
    for arguments in (["rename", "Nob", "Ann"], ["remove", "Nob"], ["merge", "Rob", "Nob"], ["merge", "Rob", "rob"]):
        code, out, err = call("speakers", *arguments, "--profile", profile)
        assert (code, out) == (1, "")
        complaint(err)
    assert content(profile) == before


def test_nothing_to_enrol_from(call: Call, profile: Path) -> None:
    code, out, err = call("enroll", "Ann", "--profile", profile)
    assert (code, out) == (1, "")
    assert "--mic" in complaint(err)


# -- bad input: the profile ------------------------------------------------------------------------------------------


def another_schema(folder: Path) -> None:
    text = (folder / "profile.json").read_text()
    (folder / "profile.json").write_text(text.replace('"schema": 1', '"schema": 99'))


def another_base(folder: Path) -> None:
    shutil.rmtree(folder)
    other = Profile(folder, replace(base(), sha256="cd" * 32))
    for voice in voices():
        other.add(voice.name, voice.vectors, voice.speech_s)  # no sound is kept from which to make it again


def half_written(folder: Path) -> None:
    data = (folder / "profile.json").read_bytes()
    (folder / "profile.json").write_bytes(data[: len(data) // 2])


def half_a_voice(folder: Path) -> None:
    voice = next((folder / "voices").iterdir())
    voice.write_bytes(voice.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (another_schema, "update livespeaker"),
        (another_base, "another base model"),
        (half_written, "is damaged"),
        (half_a_voice, "is damaged"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_and_kept(
    call: Call, profile: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(profile)
    before = content(profile)
    for arguments in (["replay", CONVERSATION], ["live"], ["enroll", "Ann", ENROLMENT["Rob"]]):
        code, out, err = call(*arguments, "--profile", profile)
        assert (code, out) == (1, "")
        assert words in complaint(err)
        assert err.count("\n") == 1
    assert content(profile) == before


@posix
@pytest.mark.parametrize("task", ["enroll", "rename"])
def test_a_profile_that_is_not_writable(profile: Path, task: str) -> None:
    # Root may write anywhere, unless it gives that right away.
    powerless: list[str] = []
    if os.geteuid() == 0:
        powerless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if shutil.which(powerless[0]) is None or subprocess.run([*powerless, "true"], capture_output=True).returncode:
            pytest.skip("the tests run as root, who cannot be kept from writing here")
    paths = [profile, *profile.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = content(profile)
    arguments = ["enroll", "Ann", ENROLMENT["Rob"]] if task == "enroll" else ["speakers", "rename", "Rob", "Bob"]
    done = subprocess.run(
        [*powerless, *command(*arguments, "--profile", profile)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    for path in paths:
        path.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot write to the profile" in complaint(done.stderr)
    assert "give --profile a folder that is yours" in done.stderr
    assert done.stderr.count("\n") == 1  # before anything was listened to
    assert content(profile) == before


# -- what it writes --------------------------------------------------------------------------------------------------


def test_lines_jsonl_and_rttm_tell_the_same_turns(call: Call, profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 15), SAMPLE_RATE)
    replay = ("replay", tmp_path / "talk.wav", "--speed", "max", "--profile", profile)
    code, lines, err = call(*replay, "--rttm", tmp_path / "talk.rttm")
    assert code == 0
    assert err.startswith("Listening to talk.wav: a guess after 0.")
    code, jsonl, _ = call(*replay, "--jsonl", "-")
    assert code == 0
    expected = final(recognize(blocks(sf.read(tmp_path / "talk.wav", dtype="float32")[0], 1_600)))
    assert len(expected) >= 3
    assert [line.split()[3] for line in lines.splitlines()] == [turn.name for turn in expected]
    assert [turn["name"] for turn in turns_of(jsonl)] == [turn.name for turn in expected]
    told = [(turn.start, turn.end, turn.name) for turn in read_rttm(tmp_path / "talk.rttm")]
    assert told == [(turn.start, turn.end, turn.name) for turn in expected]
    assert "talk 1" in (tmp_path / "talk.rttm").read_text()


def test_the_speed_changes_nothing(profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6.5), SAMPLE_RATE)
    told = {}
    for speed in ("1", "max"):
        began_s = time.monotonic()
        done = livespeaker("replay", tmp_path / "talk.wav", "--speed", speed, "--jsonl", "-", "--profile", profile)
        assert done.returncode == 0
        told[speed] = turns_of(done.stdout)
        if speed == "1":
            assert time.monotonic() - began_s > 6.4  # it did take its time
    assert told["1"] == told["max"]
    assert told["1"][0]["name"] == "Sally"


@needs_ffmpeg
def test_what_ffmpeg_pipes_gives_the_turns_of_the_file(call: Call, profile: Path, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 15), SAMPLE_RATE)
    _, of_file, _ = call("replay", tmp_path / "talk.wav", "--speed", "max", "--jsonl", "-", "--profile", profile)
    convert = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "talk.wav"), "-f", "s16le", "-"]
    with subprocess.Popen(convert, stdout=subprocess.PIPE) as ffmpeg:
        done = subprocess.run(
            command("replay", "-", "--jsonl", "-", "--profile", profile), stdin=ffmpeg.stdout, capture_output=True
        )
    assert done.returncode == 0
    assert turns_of(done.stdout.decode()) == turns_of(of_file)


@posix
def test_a_reader_that_leaves_ends_it_quietly(profile: Path) -> None:
    replay = command("replay", CONVERSATION, "--speed", "max", "--jsonl", "-", "--profile", profile)
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *replay], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["type"] == "session"
    assert done.stderr.startswith("Listening to")
    assert done.stderr.count("\n") == 1


def test_an_output_that_cannot_be_written_is_found_before_anything_is_heard(call: Call, profile: Path) -> None:
    for option in ("--jsonl", "--rttm"):
        code, out, err = call("replay", CONVERSATION, option, "/nowhere/x", "--profile", profile)
        assert (code, out) == (1, "")
        assert "cannot write to /nowhere/x" in complaint(err)
    code, out, err = call("replay", CONVERSATION, "--jsonl", "-", "--rttm", "-", "--profile", profile)
    assert (code, out) == (1, "")
    assert "give each its own" in complaint(err)


def test_nobody_enrolled_is_said_and_everybody_is_unknown(call: Call, tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6), SAMPLE_RATE)
    code, out, err = call("replay", tmp_path / "talk.wav", "--speed", "max", "--jsonl", "-", "--profile", tmp_path)
    assert code == 0
    assert "Nobody is enrolled yet" in err
    assert {turn["name"] for turn in turns_of(out)} == {"unknown"}


# -- people ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["山田 太郎", "דוד", "👩‍🚀 Zoë", "-n"])
def test_a_name_in_any_script_comes_through(call: Call, tmp_path: Path, name: str) -> None:
    where = ("--profile", tmp_path / "profile")
    sf.write(tmp_path / "talk.wav", conversation(0, 5.6), SAMPLE_RATE)
    code, out, err = call("enroll", *where, "--", name, ENROLMENT["Sally"])
    assert (code, out) == (0, ""), err
    code, out, _ = call("speakers", "list", *where)
    assert code == 0
    assert name in out
    code, out, _ = call("replay", tmp_path / "talk.wav", "--speed", "max", "--jsonl", "-", *where)
    assert code == 0
    assert [turn["name"] for turn in turns_of(out)] == [name]


def test_people_are_looked_after(call: Call, tmp_path: Path) -> None:
    where = ("--profile", tmp_path / "profile")
    for name in NAMES:
        assert call("enroll", name, ENROLMENT[name], *where)[0] == 0
    assert call("speakers", *where)[1] == call("speakers", "list", *where)[1]
    assert "Rob is now Bob." in call("speakers", "rename", "Rob", "Bob", *where)[2]
    assert "Angus is now part of Sally." in call("speakers", "merge", "Sally", "Angus", *where)[2]
    assert "Bob is forgotten." in call("speakers", "remove", "Bob", *where)[2]
    _, out, _ = call("speakers", *where)
    assert [line.split()[0] for line in out.splitlines()] == ["Name", "Sally"]
    (sally,) = Profile(tmp_path / "profile", base()).voices
    files = list((tmp_path / "profile" / "audio").iterdir())
    assert len(files) == len(sally.vectors) > 5


def test_the_list_says_how_good_a_voice_is_to_eyes_and_to_programs(call: Call, profile: Path, tmp_path: Path) -> None:
    sally = voices()[NAMES.index("Sally")]
    Profile(profile, base()).add("Zoë", sally.vectors[:2], sally.speech_s[:2], [reading("Sally")[:16_000]])
    code, out, _ = call("speakers", "list", "--profile", profile, "--json")
    told = json.loads(out)
    assert (code, told["schema"], out.count("\n")) == (0, 1, 1)
    known = Profile(profile, base()).voices
    assert told["speakers"] == [
        {
            "name": voice.name,
            "references": len(voice.vectors),
            "speech_s": pytest.approx(float(voice.speech_s.sum()), abs=0.06),
            "quality": "short" if voice.name == "Zoë" else "good",
            "audio": voice.name == "Zoë",
            "added": voice.added,
        }
        for voice in known
    ]
    _, out, _ = call("speakers", "list", "--profile", profile)
    heading, *rows = out.splitlines()
    assert heading.split() == ["Name", "References", "Speech", "Quality", "Audio", "kept", "Last", "change", "(UTC)"]
    for row, voice in zip(rows, told["speakers"], strict=True):
        name, references, seconds, _, word, kept, day, time_of_day = row.split()
        assert (name, int(references), word, kept == "yes") == (
            voice["name"],
            voice["references"],
            voice["quality"],
            voice["audio"],
        )
        assert float(seconds) == pytest.approx(voice["speech_s"], abs=0.6)
        assert voice["added"].startswith(f"{day}T{time_of_day}")
    code, out, err = call("speakers", "list", "--json", "--profile", tmp_path / "nobody")
    assert (code, json.loads(out), err) == (0, {"schema": 1, "speakers": []}, "")


def test_people_move_to_another_machine_in_one_file(call: Call, profile: Path, tmp_path: Path) -> None:
    assert call("enroll", "Zoë", ENROLMENT["Sally"], "--profile", profile)[0] == 0
    file, there = tmp_path / "home.livespeaker", ("--profile", tmp_path / "there")
    code, out, err = call("speakers", "export", file, "--profile", profile)
    assert (code, out) == (0, "")
    assert err == f"Angus, Rob, Sally, Zoë: voices and recordings are in {file}. Whoever has the file has them.\n"
    code, out, err = call("speakers", "import", file, *there)
    assert (code, out) == (0, "")
    assert [line.split(":")[0] for line in err.splitlines()] == ["Angus", "Rob", "Sally", "Zoë"]
    assert call("speakers", "list", *there)[1] == call("speakers", "list", "--profile", profile)[1]
    known = content(tmp_path / "there")
    code, _, err = call("speakers", "import", file, *there)
    assert code == 1
    assert "got Angus, Rob, Sally, Zoë; nothing was changed" in complaint(err)
    assert content(tmp_path / "there") == known
    assert call("speakers", "import", "--merge", file, *there)[0] == 0
    assert len(Profile(tmp_path / "there", base()).voices) == 4


def test_what_cannot_be_exported_or_imported_is_told_in_one_line(call: Call, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "text.livespeaker").write_text("no profile")
    where, nowhere = ("--profile", profile), ("--profile", tmp_path / "nowhere")
    before = content(tmp_path)
    for arguments, words in (
        (("import", tmp_path / "text.livespeaker", *where), "wanted a zip archive"),
        (("import", tmp_path / "text.livespeaker", *nowhere), "wanted a zip archive"),
        (("import", tmp_path / "missing", *where), "no such file"),
        (("import", tmp_path, *where), "not a plain file"),
        (("export", tmp_path / "text.livespeaker", *where), "--force"),
        (("export", tmp_path, "--force", *where), "cannot write to"),
        (("export", tmp_path / "not" / "there", *where), "no such file or folder"),
        (("export", tmp_path / "new.livespeaker", *nowhere), "enrol somebody first"),
    ):
        code, out, err = call("speakers", *arguments)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert words in complaint(err)
    assert content(tmp_path) == before
    assert not (tmp_path / "nowhere").exists()


def test_enrolment_tells_how_good_it_is_and_whom_it_left_out(call: Call, tmp_path: Path) -> None:
    where = ("--profile", tmp_path / "profile")
    code, _, err = call("enroll", "Rob", ENROLMENT["Rob"], *where)
    assert code == 0
    assert "Its coherence is good (0." in err
    assert "Left out" not in err
    rob, sally = reading("Rob"), reading("Sally")
    at, until = 8 * SAMPLE_RATE, 11 * SAMPLE_RATE
    sf.write(tmp_path / "two.wav", np.concatenate([sally[:at], rob[at:until], sally[at:]]), SAMPLE_RATE)
    code, _, err = call("enroll", "Sally", tmp_path / "two.wav", *where)
    assert code == 0
    (left_out,) = [line for line in err.splitlines() if line.startswith("Left out: ")]
    assert 1.5 < float(left_out.split()[2]) < 4.5
    assert "sound alike" not in err


def test_the_same_voice_enrolled_twice_is_said_to_sound_alike(call: Call, tmp_path: Path) -> None:
    where = ("--profile", tmp_path / "profile")
    assert call("enroll", "Rob", ENROLMENT["Rob"], *where)[0] == 0
    code, _, err = call("enroll", "Bob", ENROLMENT["Rob"], *where)
    assert code == 0
    assert "Bob and Rob sound alike" in err


def test_a_known_name_that_another_voice_gets_is_refused_unless_it_must_be(call: Call, tmp_path: Path) -> None:
    where = ("--profile", tmp_path / "profile")
    rob, half = reading("Rob"), 9 * SAMPLE_RATE
    sf.write(tmp_path / "one.wav", rob[:half], SAMPLE_RATE)
    sf.write(tmp_path / "two.wav", rob[half:], SAMPLE_RATE)
    assert call("enroll", "Rob", tmp_path / "one.wav", *where)[0] == 0
    known = content(tmp_path / "profile")
    code, _, err = call("enroll", "ROB", ENROLMENT["Sally"], *where)
    assert code == 1
    assert "does not sound like the Rob who was enrolled before; nothing is kept; " in complaint(err)
    assert content(tmp_path / "profile") == known
    (tmp_path / "people" / "rob").mkdir(parents=True)
    shutil.copy(ENROLMENT["Angus"], tmp_path / "people" / "rob")
    code, _, err = call("enroll", "--folder", tmp_path / "people", *where)
    assert code == 1
    assert "rob was not enrolled: expected more of Rob's voice" in err
    assert content(tmp_path / "profile") == known
    code, _, err = call("enroll", "Rob", tmp_path / "two.wav", *where)
    assert code == 0
    assert "does not sound like" not in err
    code, _, err = call("enroll", "Rob", ENROLMENT["Sally"], "--force", *where)
    assert code == 0
    assert "Kept, though it does not sound like the Rob who was enrolled before." in err
    assert json.loads(call("speakers", "list", "--json", *where)[1])["speakers"][0]["quality"] == "mixed"


def test_more_speech_adds_references_up_to_ten(call: Call, tmp_path: Path) -> None:
    where = ("--profile", tmp_path / "profile")
    counts = []
    for _ in range(3):
        assert call("enroll", "Rob", ENROLMENT["Rob"], *where)[0] == 0
        (rob,) = Profile(tmp_path / "profile", base()).voices
        counts.append(len(rob.vectors))
    assert counts[0] < counts[1] <= counts[2] == 10


# -- a folder per person ---------------------------------------------------------------------------------------------


def people_folder(folder: Path, names: Sequence[str]) -> Path:
    for name in names:
        (folder / name / "later").mkdir(parents=True)
        said = reading(name)
        half = len(said) // 2
        sf.write(folder / name / "1.wav", said[:half], SAMPLE_RATE)
        sf.write(folder / name / "later" / "2.flac", said[half:], SAMPLE_RATE)
        (folder / name / "notes.txt").write_text("no sound")
    return folder


def test_everybody_in_a_folder_is_enrolled(call: Call, tmp_path: Path) -> None:
    folder, profile = people_folder(tmp_path / "people", NAMES), tmp_path / "profile"
    (folder / ".hidden").mkdir()
    code, out, err = call("enroll", "--folder", folder, "--profile", profile)
    assert (code, out) == (0, ""), err
    enrolled = Profile(profile, base()).voices
    assert [voice.name for voice in enrolled] == sorted(NAMES)
    for voice in enrolled:
        assert voice.has_audio
        known = voices()[NAMES.index(voice.name)]
        assert voice.speech_s.sum() == pytest.approx(known.speech_s.sum(), abs=0.7)
        assert centroid(voice) @ centroid(known) > 0.97


def test_who_cannot_be_enrolled_is_told_and_the_others_are_kept(call: Call, tmp_path: Path) -> None:
    folder, profile = people_folder(tmp_path / "people", ["Rob", "Sally"]), tmp_path / "profile"
    (folder / "Empty").mkdir()
    (folder / "Quiet").mkdir()
    sf.write(folder / "Quiet" / "1.wav", np.zeros(3 * SAMPLE_RATE), SAMPLE_RATE)
    (folder / "Rob" / "zz.wav").write_text("no sound either")
    (folder / "unknown").mkdir()
    code, out, err = call("enroll", "--folder", folder, "--profile", profile)
    assert (code, out) == (1, "")
    assert "4 of them could not be" in complaint(err)
    told = [line for line in err.splitlines() if "was not enrolled: " in line]
    assert err.splitlines()[-5:-1] == told  # at the end, a line each
    for line, (name, words) in zip(
        told,
        [("Empty", "found none"), ("Quiet", "at least 2 s"), ("Rob", "zz.wav"), ("unknown", "another name")],
        strict=True,
    ):
        assert line.startswith(f"{name} was not enrolled: ")
        assert words in line
    assert [voice.name for voice in Profile(profile, base()).voices] == ["Sally"]


def test_a_folder_that_holds_nobody(call: Call, profile: Path, tmp_path: Path) -> None:
    before = content(profile)
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "1.wav").touch()
    for folder, words in (
        (tmp_path / "loose", "found none; put the recordings of each into a folder"),
        (tmp_path / "nowhere", "give another"),
        (tmp_path / "loose" / "1.wav", "give another"),
    ):
        code, out, err = call("enroll", "--folder", folder, "--profile", profile)
        assert (code, out) == (1, "")
        assert words in complaint(err)
        assert "a folder per person" in err
        assert err.count("\n") == 1
    assert content(profile) == before


@pytest.mark.parametrize("more", [["Ann"], ["--mic"], ["Ann", "ann.wav"]], ids=" ".join)
def test_a_folder_and_a_name_contradict_each_other(call: Call, profile: Path, tmp_path: Path, more: list[str]) -> None:
    code, out, err = call("enroll", "--folder", tmp_path, *more, "--profile", profile)
    assert (code, out) == (1, "")
    assert more[0] in complaint(err)
    assert err.count("\n") == 1


# -- the demo --------------------------------------------------------------------------------------------------------


def test_the_demo_tells_most_turns_right_and_what_to_do_next(call: Call, tmp_path: Path) -> None:
    code, out, err = call("demo", "--rttm", tmp_path / "demo.rttm")
    assert code == 0
    reference = read_rttm(CONVERSATION.with_suffix(".rttm"))
    told = read_rttm(tmp_path / "demo.rttm")
    assert len(out.splitlines()) == len(told)
    assert order(turn.name for turn in reference)[:3] == order(turn.name for turn in told)[:3]
    right = int(err.split(f" of {len(reference)} turns")[0].split()[-1])
    assert right >= len(reference) * 3 // 4
    assert err.count("not right") == len(reference) - right
    for command_line in ("livespeaker devices", "livespeaker enroll", "livespeaker live"):
        assert command_line in err


def test_what_is_told_to_type_is_found_by_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for argument, path, told in (
        (".venv/bin/livespeaker", "", ".venv/bin/livespeaker"),  # as `make demo` calls it
        (".venv/bin/livespeaker", str(Path(sys.executable).parent), "livespeaker"),
        ("-c", "", "livespeaker"),
    ):
        monkeypatch.setattr(sys, "argv", [argument])
        monkeypatch.setenv("PATH", path)
        assert called() == told
