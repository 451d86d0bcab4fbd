"""The command line at a real microphone: PulseAudio plays a conversation, `livespeaker live` tells who speaks."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from model.profile import Profile
from stream.clock import SAMPLE_RATE
from stream.rttm import read_rttm
from tests.pulse import Pulse, pulse  # noqa: F401 - a fixture
from tests.talk import base, command, content, conversation, livespeaker, reading, write_profile


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "profile")


def start(server: Pulse, *arguments: str | Path) -> "subprocess.Popen[str]":
    """A command that listens already when this returns."""
    listener = subprocess.Popen(
        command(*arguments), env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while server.listeners() == 0:
        assert listener.poll() is None, listener.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2.0)  # a sink that nobody plays to wakes up every two seconds: only then does the first sound come
    return listener


def write_talk(path: Path, samples: np.ndarray) -> Path:
    """With silence before it, see `Pulse.play`, and after it, so that all of it arrives."""
    rest = np.zeros(SAMPLE_RATE // 2, np.float32)
    sf.write(path, np.concatenate([rest, samples, rest]), SAMPLE_RATE)
    return path


def end(listener: "subprocess.Popen[str]") -> tuple[str, str]:
    listener.send_signal(signal.SIGINT)
    out, err = listener.communicate(timeout=30)
    assert listener.returncode == 0, err
    assert "Traceback" not in err
    return out, err


def test_live_tells_what_replay_tells(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    talk = write_talk(tmp_path / "talk.wav", conversation(0, 15))
    jsonl, rttm = tmp_path / "live.jsonl", tmp_path / "replay.rttm"
    with start(pulse, "live", "--plain", "--profile", profile, "--jsonl", jsonl) as listener:
        with pulse.play(talk) as player:
            assert player.wait(60) == 0
        time.sleep(0.5)
        out, err = end(listener)
    assert err.count("Listening to ") == 1
    assert livespeaker("replay", talk, "--speed", "max", "--profile", profile, "--rttm", rttm).returncode == 0
    replayed = read_rttm(rttm)
    assert [turn.name for turn in replayed] == ["Sally", "Rob", "Angus"]
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    turns = [record for record in records if record["type"] == "turn" and record["final"]]
    assert [turn["name"] for turn in turns] == [turn.name for turn in replayed]
    assert [line.split()[3] for line in out.splitlines()] == [turn.name for turn in replayed]  # and nothing was lost
    # It listened before anything was played: the same times, later.
    live_s = np.array([(turn["start_s"], turn["end_s"]) for turn in turns])
    replayed_s = np.array([(turn.start, turn.end) for turn in replayed]) / SAMPLE_RATE
    later = live_s - replayed_s
    print(f"live is {np.median(later):.2f} s later, give or take {np.ptp(later) / 2:.2f} s")
    assert np.median(later) > 0
    assert np.abs(later - np.median(later)).max() <= 0.3
    assert records[-1]["type"] == "end"
    assert (records[-1]["gaps"], records[-1]["loss"]["samples"]) == (0, 0)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_recorded_session_is_told_again_to_the_bit(
    pulse: Pulse,  # noqa: F811
    profile: Path,
    tmp_path: Path,
    ending: str,
) -> None:
    talk, kept = write_talk(tmp_path / "talk.wav", conversation(0, 11)), tmp_path / f"kept.{ending}"
    live, again, picture = tmp_path / "live.csv", tmp_path / "again.csv", tmp_path / "live.svg"
    outputs = ("--csv", live, "--record", kept, "--timeline", picture)
    with start(pulse, "live", "--profile", profile, *outputs) as listener:
        with pulse.play(talk) as player:
            assert player.wait(60) == 0
        time.sleep(0.5)
        assert not picture.exists()
        end(listener)
    told = live.read_text().splitlines()
    assert [line.split(",")[2] for line in told[1:]] == ["Sally", "Rob"]
    done = livespeaker("replay", kept, "--speed", "max", "--profile", profile, "--csv", again)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == live.read_bytes()  # times, probabilities, latencies
    assert "Sally" in picture.read_text()  # drawn after Ctrl-C


def test_enroll_from_the_microphone_ends_by_itself(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    talk = write_talk(tmp_path / "rob.wav", np.tile(reading("Rob"), 2))
    with start(pulse, "enroll", "Bob", "--mic", "--profile", profile) as listener, pulse.play(talk) as player:
        out, err = listener.communicate(timeout=60)  # while it is still talked
        assert player.poll() is None
        player.terminate()
    assert (listener.returncode, out) == (0, ""), err
    lines = err.splitlines()
    assert "Bob from " in lines[0]
    assert "15 s of speech" in lines[0]
    assert lines[1].startswith("Bob: 15 s of speech in ")
    assert any("Bob and Rob sound alike" in line for line in lines)
    known = {voice.name: voice for voice in Profile(profile, base()).voices}
    assert 14.5 < known["Bob"].speech_s.sum() < 15.5
    assert known["Bob"].has_audio
    means = {name: voice.speech_s @ voice.vectors for name, voice in known.items()}
    cosine = {
        name: means["Bob"] @ mean / np.linalg.norm(means["Bob"]) / np.linalg.norm(mean)
        for name, mean in means.items()
        if name != "Bob"
    }
    assert max(cosine, key=cosine.__getitem__) == "Rob"
    assert cosine["Rob"] > 0.9


def test_ctrl_c_keeps_what_was_heard_so_far(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    talk = write_talk(tmp_path / "rob.wav", reading("Rob"))
    with start(pulse, "enroll", "Bob", "--mic", "--profile", profile) as listener, pulse.play(talk) as player:
        time.sleep(7.0)
        out, err = end(listener)
        player.terminate()
    assert out == ""
    heard_s = Profile(profile, base()).voices[-1].speech_s.sum()
    assert 2 <= heard_s < 12
    assert f"Stopped early: what was heard is kept, {heard_s:.0f} s of speech." in err


def test_ctrl_c_before_there_is_enough_keeps_nothing(pulse: Pulse, profile: Path) -> None:  # noqa: F811
    before = content(profile)
    with start(pulse, "enroll", "Bob", "--mic", "--profile", profile) as listener:
        listener.send_signal(signal.SIGINT)
        out, err = listener.communicate(timeout=30)
    assert (listener.returncode, out) == (1, "")
    assert "Traceback" not in err
    assert "nothing is kept" in err.splitlines()[-1]
    assert err.count("livespeaker: ") == 1
    assert content(profile) == before


def test_devices_lists_the_input(pulse: Pulse) -> None:  # noqa: F811
    done = livespeaker("devices", env=pulse.env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    marked = [line for line in done.stdout.splitlines() if line.startswith("*")]
    assert len(marked) == 1
    assert "Hz" in marked[0]
    number = marked[0].split()[1]
    wrong = livespeaker("live", "--device", "no such thing", env=pulse.env)
    assert wrong.returncode == 1
    complaint = wrong.stderr.splitlines()[-1]
    assert complaint.startswith("livespeaker: 'no such thing' is not among the inputs")
    assert f" {number} " in complaint


def test_a_device_that_vanishes_is_one_line_and_what_was_heard_is_told(
    pulse: Pulse,  # noqa: F811
    profile: Path,
    tmp_path: Path,
) -> None:
    talk = write_talk(tmp_path / "talk.wav", conversation(0, 15))
    before = content(profile)
    jsonl = tmp_path / "live.jsonl"
    with start(pulse, "live", "--plain", "--profile", profile, "--jsonl", jsonl) as listener:
        with pulse.play(talk) as player:
            deadline = time.monotonic() + 60
            while '"Sally"' not in jsonl.read_text():  # somebody is speaking
                assert time.monotonic() < deadline
                time.sleep(0.1)
            pulse.kill()
            player.wait(60)
        out, err = listener.communicate(timeout=60)
    assert listener.returncode == 1
    assert "Traceback" not in err
    listening, complaint = err.splitlines()
    assert listening.startswith("Listening to ")
    assert complaint.startswith("livespeaker: the microphone ")
    assert "stopped giving sound: see that it is plugged in" in complaint
    assert [line.split()[3] for line in out.splitlines()] == ["Sally"]  # who was speaking when it went
    records = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert records[-1]["type"] == "end"
    assert records[-1]["duration_s"] > 1
    assert content(profile) == before


def test_a_device_that_vanishes_while_somebody_is_enrolled_changes_nothing(
    pulse: Pulse,  # noqa: F811
    profile: Path,
    tmp_path: Path,
) -> None:
    talk = write_talk(tmp_path / "rob.wav", reading("Rob"))
    before = content(profile)
    with start(pulse, "enroll", "Bob", "--mic", "--profile", profile) as listener:
        with pulse.play(talk) as player:
            time.sleep(3.0)
            pulse.kill()
            player.wait(60)
        out, err = listener.communicate(timeout=60)
    assert (listener.returncode, out) == (1, "")
    assert "Traceback" not in err
    heard, complaint = err.splitlines()
    assert heard.startswith("Bob from ")
    assert complaint.startswith("livespeaker: the microphone ")
    assert content(profile) == before
