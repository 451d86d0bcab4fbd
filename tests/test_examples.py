"""The examples run as they stand, and say what the command line says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from stream.demonstration import CONVERSATION, ENROLMENT
from stream.rttm import read_rttm
from tests.talk import ROOT

REFERENCE = CONVERSATION.with_suffix(".rttm")
PEOPLE = [f"{name}={file}" for name, file in ENROLMENT.items()]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=120)


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
        for i, at in enumerate(range(0, len(samples) - 3 * rate, 3 * rate)):
            sf.write(tmp_path / "people" / name / f"{i}.wav", samples[at : at + 3 * rate], rate)
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
