"""The examples run as they stand, and say what the command line says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from stream.demonstration import CONVERSATION, ENROLMENT
from stream.rttm import read_rttm
from tests.pulse import Pulse, pulse  # noqa: F401 - a fixture
from tests.talk import ROOT, conversation, write_profile

REFERENCE = CONVERSATION.with_suffix(".rttm")
PEOPLE = [f"{name}={file}" for name, file in ENROLMENT.items()]


def run(*command: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300, env=os.environ | (env or {})
    )


@pytest.fixture
def known(tmp_path: Path) -> dict[str, str]:
    """The environment of a user to whom the three are known."""
    home = dict.fromkeys(("HOME", "XDG_DATA_HOME", "LOCALAPPDATA", "USERPROFILE"), str(tmp_path / "home"))
    where = run("-c", "from model.profile import default_profile; print(default_profile())", env=home).stdout.strip()
    assert Path(where).is_relative_to(tmp_path)
    write_profile(Path(where))
    return home


def names(out: str) -> list[str]:
    """Of the final turns in lines of decisions."""
    return [line.split()[3] for line in out.splitlines() if "?" not in line]


def start(name: str, *arguments: object, env: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_identify_file_says_what_the_command_line_says() -> None:
    done = run(ROOT / "examples" / "identify_file.py", CONVERSATION, *PEOPLE)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name for _, _, name in lines} == {*ENROLMENT, "unknown", "guest-1"}

    demo = run("-c", "from stream.cli import main; main()", "demo", "--jsonl", "-", "--speed", "max")
    assert demo.returncode == 0, demo.stderr
    turns = [each for each in map(json.loads, demo.stdout.splitlines()) if each.get("final")]
    assert lines == [[f"{turn['start_s']:.1f}", f"{turn['end_s']:.1f}", turn["name"]] for turn in turns]


@pytest.mark.parametrize(("name", "verdict"), [("Rob", "one voice"), ("Sally", "two voices")])
def test_embed_two_voices_tells_one_from_two(name: str, verdict: str, tmp_path: Path) -> None:
    samples, rate = sf.read(CONVERSATION, dtype="float32")
    turn = max((turn for turn in read_rttm(REFERENCE) if turn.name == "Rob"), key=lambda turn: turn.end - turn.start)
    sf.write(tmp_path / "rob.wav", samples[turn.start : turn.end], rate)
    done = run(ROOT / "examples" / "embed_two_voices.py", tmp_path / "rob.wav", ENROLMENT[name])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cosine ")
    assert done.stdout.endswith(f": {verdict}\n")


def test_transfer_learning_names_the_voice_in_a_new_recording(tmp_path: Path) -> None:
    for name, file in ENROLMENT.items():
        samples, rate = sf.read(file, dtype="float32")
        (tmp_path / "people" / name).mkdir(parents=True)
        n = 21 * rate // 10  # one window
        for i in range(4):
            sf.write(tmp_path / "people" / name / f"{i}.wav", samples[i * n : (i + 1) * n], rate)
    samples, rate = sf.read(CONVERSATION, dtype="float32")
    turn = max((turn for turn in read_rttm(REFERENCE) if turn.name == "Rob"), key=lambda turn: turn.end - turn.start)
    sf.write(tmp_path / "new.wav", samples[turn.start : turn.end], rate)
    done = run(ROOT / "examples" / "transfer_learning.py", tmp_path / "people", tmp_path / "new.wav")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path / 'new.wav'}: Rob, ")


def test_draw_dashboard_draws_the_screen_and_fetches_nothing(tmp_path: Path) -> None:
    picture = tmp_path / "dashboard.svg"
    done = run(ROOT / "examples" / "draw_dashboard.py", picture, 4)
    assert done.returncode == 0, done.stderr
    drawn = picture.read_text(encoding="utf-8")
    assert "Sally" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    kept = (ROOT / "examples" / "dashboard.svg").read_text(encoding="utf-8")
    assert kept.count("<text") > 50


def test_live_tells_who_speaks_into_the_microphone_until_it_is_stopped(
    pulse: Pulse,  # noqa: F811
    known: dict[str, str],
    tmp_path: Path,
) -> None:
    sf.write(tmp_path / "talk.wav", np.concatenate([np.zeros(8_000, np.float32), conversation(0, 9.5)]), 16_000)
    with start("live.py", env=pulse.env | known) as listener:
        deadline = time.monotonic() + 60
        while pulse.listeners() == 0:
            assert listener.poll() is None, listener.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2.0)  # as `start` in test_live.py
        with pulse.play(tmp_path / "talk.wav") as player:
            assert player.wait(60) == 0
        listener.send_signal(signal.SIGINT)  # while Rob has hardly ended: his turn is told, too
        out, err = listener.communicate(timeout=30)
    assert listener.returncode == 0, err
    assert names(out) == ["Sally", "Rob"]
    assert "Sally?" in out


def test_enrol_and_fine_tune_leaves_a_profile_and_says_whether_it_has_a_head(tmp_path: Path) -> None:
    done = run(ROOT / "examples" / "enrol_and_fine_tune.py", tmp_path / "profile", *PEOPLE)
    assert done.returncode == 0, done.stderr
    *told, last = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in told] == [*ENROLMENT]
    taken = last.startswith("head 1 is in use: right names ")
    assert taken or last.startswith("nothing was changed: right names ")  # these voices are told apart without one
    rolled_back = run(
        "-c", "from stream.cli import main; main()", "fine-tune", "--rollback", "--profile", tmp_path / "profile"
    )
    assert (rolled_back.returncode == 0) == taken, rolled_back.stderr


def test_custom_source_tells_who_speaks_over_a_socket(known: dict[str, str]) -> None:
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    with start("custom_source.py", port, env=known) as listener:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                assert listener.poll() is None, listener.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        data = (conversation(0, 15) * 32_767).astype("<i2").tobytes()
        with connection:
            for at in range(0, len(data), 1_001):  # a sample is cut in two
                connection.sendall(data[at : at + 1_001])
        out, err = listener.communicate(timeout=60)
    assert listener.returncode == 0, err
    assert names(out) == ["Sally", "Rob", "Angus"]


def test_custom_sink_runs_its_command_once_for_each_new_speaker(known: dict[str, str], tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 15), 16_000)
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:], flush=True)", "speaks:"]
    done = run(ROOT / "examples" / "custom_sink.py", "--file", tmp_path / "talk.wav", *command, env=known)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(["speaks:", name]) for name in ("Sally", "Rob", "Angus")]


def test_plot_voices_draws_and_sees_that_windows_of_one_voice_are_alike(tmp_path: Path) -> None:
    done = run(ROOT / "examples" / "plot_voices.py", tmp_path / "voices.png", *PEOPLE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "voices.png").read_bytes().startswith(b"\x89PNG")
    said = done.stdout.split("mean cosine of two windows of one voice ")[1]
    one, two = map(float, said.split(", of two voices "))
    assert one > 0.5 > two
