"""`livespeaker evaluate stream`, by its users: the demo as a household, and conversations that are made."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from model.households import read_households
from stream.cli_stream import stream
from stream.clock import SAMPLE_RATE
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.errors import LivespeakerError
from tests.people import refused, sound
from tests.talk import NAMES, content, livespeaker, reading


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "enrol").mkdir()
    for name, file in ENROLMENT.items():
        shutil.copy(file, folder / "enrol" / f"{name}.opus")
    for file in (CONVERSATION, CONVERSATION.with_suffix(".rttm")):
        shutil.copy(file, folder / f"talk{file.suffix}")
    return folder


def test_the_demo_is_followed_and_the_figures_are_written(home: Path, tmp_path: Path) -> None:
    before = content(home)
    done = livespeaker("evaluate", "stream", home, "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "found.json").read_text())
    assert (said["format"], said["collar_s"]) == (1, 0.25)
    [found] = said["figures"]
    assert (found["conversations"], found["precision"], found["strangers_named"]) == (1, 1.0, 0.0)
    assert found["error_rate"] < 0.1
    assert found["error_rate"] == pytest.approx(found["confusion"] + found["missed"] + found["false_alarm"])
    assert found["recall"] > 0.85
    assert 0.3 < found["first_p50_s"] <= found["settled_p50_s"]
    assert found["false_names_per_hour"] is None
    assert "IER %" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert content(home) == before  # measuring leaves nothing behind


def test_made_conversations_are_kept_and_followed_again_alike(tmp_path: Path) -> None:
    for name in NAMES:
        samples = reading(name)
        for i, at in enumerate(range(0, len(samples), 2 * SAMPLE_RATE)):
            path = tmp_path / "corpus" / name / f"{i}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, samples[at : at + 2 * SAMPLE_RATE], SAMPLE_RATE)
    options = (
        "--people", "2", "--strangers", "0", "--enrol-seconds", "3", "--seconds", "30", "--conversations", "2",
        "--half", "report", "--no-speech", "1",
    )  # fmt: skip
    kept = tmp_path / "kept"
    corpus = tmp_path / "corpus"
    made = livespeaker("evaluate", "stream", "--simulate", corpus, *options, "--keep", kept, "--json", "-")
    assert made.returncode == 0, made.stderr
    assert [home.folder.name for home in read_households(kept)] == ["001", "001"]
    stream(kept, json_file=str(tmp_path / "again.json"))
    talk, quiet = json.loads(made.stdout)["figures"]
    assert [talk, quiet] == json.loads((tmp_path / "again.json").read_text())["figures"]
    assert (talk["group"], quiet["group"]) == ("corpus/clean", "corpus/no-speech")
    assert talk["error_rate"] < 0.5
    assert quiet["false_names_per_hour"] is not None
    assert quiet["hours"] == pytest.approx(30 / 3600)


def test_bad_input_is_one_line(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    shutil.copytree(home, broken)
    (broken / "talk.rttm").write_text("SPEAKER talk 1 zero 1 <NA> <NA> Ann <NA> <NA>\n")
    silent = tmp_path / "silent"
    (silent / "enrol").mkdir(parents=True)
    sf.write(silent / "enrol" / "Ann.wav", 1e-4 * sound(1, 32_000), SAMPLE_RATE)
    sf.write(silent / "talk.wav", sound(2, 32_000), SAMPLE_RATE)
    (silent / "talk.rttm").write_text("")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "expected a folder of households or --simulate CORPUS"),
        ({"folder": home, "simulate": home}, "expected a folder of households or --simulate CORPUS"),
        ({"folder": home, "half": "both"}, "expected --half to be all, tune or report, got 'both'"),
        ({"folder": tmp_path / "empty"}, "expected a folder enrol"),
        ({"folder": tmp_path / "missing"}, "expected a folder enrol"),
        ({"folder": broken}, "line 1: wanted a start and a duration"),
        ({"folder": silent}, "expected a household whose people can be enrolled"),
        ({"simulate": tmp_path / "empty"}, "expected at least two speakers"),
        ({"folder": home, "json_file": str(tmp_path)}, "expected a file that can be written"),
        ({"folder": home, "peer": tmp_path / "python"}, "expected --peer to be a Python with Resemblyzer"),
    ]
    for options, said in wrong:
        with pytest.raises(LivespeakerError) as error:
            stream(**options)
        refused(error, said)
    done = livespeaker("evaluate", "stream", tmp_path / "empty")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "expected a folder enrol" in line
