"""The command line at a real microphone: PulseAudio plays a conversation, `livespeaker live` tells who speaks."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from model.profile import Profile
from stream.clock import SAMPLE_RATE
from stream.rttm import read_rttm
from tests.people import posix
from tests.pulse import Pulse, pulse  # noqa: F401 - a fixture
from tests.talk import base, command, content, conversation, livespeaker, reading, write_profile


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "profile")


def start(server: Pulse, *arguments: str | Path, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """A command that listens already when this returns."""
    listener = subprocess.Popen(command(*arguments), env=server.env, stdout=stdout, stderr=subprocess.PIPE, text=True)
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
    asked, *lines = err.splitlines()
    assert asked.startswith("Speak now: read anything aloud")
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


def wait_for(text: str, path: Path) -> None:
    """Until it stands in the file."""
    deadline = time.monotonic() + 60
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.1)


def records_of(path: Path, kind: str) -> list[dict[str, Any]]:
    return [record for line in path.read_text().splitlines() if (record := json.loads(line))["type"] == kind]


def test_a_device_that_vanishes_is_waited_for_and_comes_back_with_another_rate(
    pulse: Pulse,  # noqa: F811
    profile: Path,
    tmp_path: Path,
) -> None:
    talk = write_talk(tmp_path / "talk.wav", conversation(0, 15))
    more = write_talk(tmp_path / "more.wav", conversation(5.6, 11))
    jsonl, kept = tmp_path / "live.jsonl", tmp_path / "kept.wav"
    outputs = ("--jsonl", jsonl, "--record", kept)
    with start(pulse, "live", "--plain", "--profile", profile, *outputs) as listener:
        with pulse.play(talk) as player:
            wait_for('"Sally"', jsonl)  # somebody is speaking
            pulse.unplug()
            gone_s = time.monotonic()
            player.wait(60)
        wait_for("cannot open the microphone", jsonl)
        away_s = time.monotonic() - gone_s
        pulse.plug_in(rate=44_100)
        wait_for(" again", jsonl)
        time.sleep(2.0)  # see `start`
        with pulse.play(more) as player:
            assert player.wait(60) == 0
        time.sleep(0.5)
        pulse.unplug()
        wait_for("waiting", jsonl)
        out, err = end(listener)  # Ctrl-C while it waits
    lines = [line for line in out.splitlines() if not line.startswith("#")]
    assert [line.split()[3] for line in lines] == ["Sally", "Rob"]
    for told in (out, err):
        assert "the microphone 'default' stopped giving sound; waiting for it" in told
        assert "listening to 'default' again" in told
    (gap,) = records_of(jsonl, "gap")
    assert gap["end_s"] - gap["start_s"] > away_s
    (ended,) = records_of(jsonl, "end")
    assert ended["gaps"] == 1
    assert ended["loss"]["samples"] == pytest.approx(16_000 * (gap["end_s"] - gap["start_s"]), abs=16)
    turns = [turn for turn in records_of(jsonl, "turn") if turn["final"]]
    assert [turn["name"] for turn in turns] == ["Sally", "Rob"]
    assert turns[0]["end_s"] <= gap["start_s"] < gap["end_s"] <= turns[1]["start_s"]
    assert sf.info(kept).duration == pytest.approx(ended["duration_s"], abs=0.01)  # silence stands for what was lost


def test_a_microphone_that_sleeps_is_heard_when_it_wakes(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    jsonl = tmp_path / "live.jsonl"
    with start(pulse, "live", "--profile", profile, "--jsonl", jsonl) as listener:
        pulse.suspend(True)
        wait_for("stopped giving sound", jsonl)
        pulse.suspend(False)
        wait_for(" again", jsonl)
        wait_for('"gap"', jsonl)
        end(listener)


def test_a_device_of_a_name_is_found_though_portaudio_lists_devices_only_when_it_starts(
    pulse: Pulse,  # noqa: F811
    profile: Path,
    tmp_path: Path,
) -> None:
    config, jsonl = Path(pulse.env["ALSA_CONFIG_PATH"]), tmp_path / "live.jsonl"
    without = config.read_text()
    config.write_text(without + "pcm.headset { type pulse }\n")
    with start(pulse, "live", "--profile", profile, "--jsonl", jsonl, "--device", "headset") as listener:
        config.write_text(without)
        pulse.unplug()
        wait_for("'headset' is not among the inputs; waiting for it", jsonl)
        pulse.plug_in()  # another device, which nobody asked for
        config.write_text(without + "pcm.headset { type pulse }\n")
        wait_for("listening to 'headset' again", jsonl)
        end(listener)


def test_a_program_that_was_stopped_recovers(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    talk, jsonl = write_talk(tmp_path / "talk.wav", conversation(0, 11)), tmp_path / "live.jsonl"
    with start(pulse, "live", "--profile", profile, "--jsonl", jsonl) as listener:
        listener.send_signal(signal.SIGSTOP)
        time.sleep(4.0)
        listener.send_signal(signal.SIGCONT)
        wait_for('"gap"', jsonl)
        time.sleep(2.0)  # see `start`
        with pulse.play(talk) as player:
            assert player.wait(60) == 0
        time.sleep(0.5)
        end(listener)
    (gap,) = records_of(jsonl, "gap")
    assert gap["end_s"] - gap["start_s"] > 4.0
    assert [turn["name"] for turn in records_of(jsonl, "turn") if turn["final"]] == ["Sally", "Rob"]


@posix
def test_a_pipe_that_nobody_reads_stalls_nothing(pulse: Pulse, profile: Path, tmp_path: Path) -> None:  # noqa: F811
    import fcntl

    talk, rttm = write_talk(tmp_path / "talk.wav", conversation(0, 15)), tmp_path / "live.rttm"
    to_read, to_write = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(to_write, fcntl.F_SETPIPE_SZ, 4096)
        os.write(to_write, b"\n" * 3600)  # full with the first turn
    arguments = ("live", "--profile", profile, "--jsonl", "-", "--rttm", rttm)
    with start(pulse, *arguments, stdout=to_write) as listener:
        os.close(to_write)
        with pulse.play(talk) as player:
            assert player.wait(60) == 0
        time.sleep(0.5)
        assert [turn.name for turn in read_rttm(rttm)][:2] == ["Sally", "Rob"]
        listener.send_signal(signal.SIGINT)
        assert listener.stderr is not None
        err = listener.stderr.read()
        assert listener.wait(30) == 1
    assert "Traceback" not in err
    assert re.fullmatch(
        r"livespeaker: standard output was not taken: \d+ decisions were not written; see that .*", err.splitlines()[-1]
    )
    assert [turn.name for turn in read_rttm(rttm)] == ["Sally", "Rob", "Angus"]
    with open(to_read, "rb") as left:
        assert all(json.loads(line) for line in left.read().splitlines() if line)  # and whole lines until then


def test_a_sound_server_that_dies_is_waited_for(pulse: Pulse, profile: Path) -> None:  # noqa: F811
    with start(pulse, "live", "--profile", profile) as listener:
        pulse.kill()
        assert listener.stderr is not None
        told = [listener.stderr.readline() for _ in range(3)]
        end(listener)
    assert told[0].startswith("Listening to ")
    assert "stopped giving sound; waiting for it" in told[1]
    assert "waiting for it" in told[2]


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
    _, heard, complaint = err.splitlines()
    assert heard.startswith("Bob from ")
    assert complaint.startswith("livespeaker: the microphone ")
    assert content(profile) == before
