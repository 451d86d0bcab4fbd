"""A guest of a saved session becomes a person."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from model.profile import Profile
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError
from stream.records import Turn
from stream.replay import WavReplay
from stream.saved_session import Excerpt, read_session, sound_of, turns_of
from tests.people import refused
from tests.talk import base, conversation, livespeaker, write_profile

TALK = conversation(28.0, 63.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a profile of three and a session in which a stranger is guest-1: talk.jsonl and talk.flac."""
    folder = tmp_path_factory.mktemp("saved")
    sf.write(folder / "heard.wav", TALK, SAMPLE_RATE)
    profile = write_profile(folder / "profile")
    files = ["--jsonl", folder / "talk.jsonl", "--record", folder / "talk.flac"]
    done = livespeaker("replay", folder / "heard.wav", "--speed", "max", "--plain", "--profile", profile, *files)
    assert done.returncode == 0, done.stderr
    assert "guest-1" in done.stdout
    return folder


def adopt(saved: Path, profile: Path, *arguments: str | Path) -> tuple[int, str]:
    done = livespeaker("speakers", "adopt", *arguments, "--profile", profile)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_an_adopted_guest_is_recognised_by_the_name(saved: Path, tmp_path: Path) -> None:
    profile = write_profile(tmp_path / "profile")
    code, told = adopt(saved, profile, "guest-1", "Zoë", saved / "talk.jsonl")
    assert code == 0, told
    zoe = Profile(profile, base()).find("Zoë")
    assert zoe is not None
    assert zoe.has_audio
    assert 4 < zoe.speech_s.sum() < 12
    again = livespeaker("replay", saved / "talk.flac", "--speed", "max", "--plain", "--profile", profile)
    names = [line.split()[3] for line in again.stdout.splitlines()]
    assert names.count("Zoë") == 3
    assert not {"unknown", "guest-1"} & set(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("guest-7", "Zoë", "talk.jsonl"), ["expected a guest of the session, guest-1, got 'guest-7'"]),
        (("Sally", "Zoë", "talk.jsonl"), ["expected a guest of the session, guest-1, got 'Sally'"]),
        (("guest-1", "guest-2", "talk.jsonl"), ["'guest-2' is what livespeaker calls voices", "give another name"]),
        (("guest-1", "Sally", "talk.jsonl"), ["does not sound like the Sally", "--force"]),
        (("guest-1", "Zoë", "nothing.jsonl"), ["no such file", "--jsonl"]),
        (("guest-1", "Zoë", "heard.wav"), ["--jsonl"]),
        (("guest-1", "Zoë", "talk.jsonl", "--sound", "short.wav"), ["35.0 s, got 5.0 s", "--record"]),
        (("guest-1", "Zoë", "talk.jsonl", "--sound", "talk.jsonl"), ["talk.jsonl"]),
        (("guest-1", "Zoë", "silent.jsonl", "--sound", "silent.wav"), ["at least 2 s of speech", "nothing is kept"]),
    ],
)
def test_what_cannot_be_adopted_is_refused_in_one_line(
    saved: Path, tmp_path: Path, arguments: tuple[str, ...], words: list[str]
) -> None:
    sf.write(saved / "short.wav", TALK[: 5 * SAMPLE_RATE], SAMPLE_RATE)
    sf.write(saved / "silent.wav", np.zeros(len(TALK), np.float32), SAMPLE_RATE)
    (saved / "silent.jsonl").write_bytes((saved / "talk.jsonl").read_bytes())
    profile = write_profile(tmp_path / "profile")
    guest, name, *files = arguments
    code, told = adopt(
        saved, profile, guest, name, *(file if file.startswith("--") else saved / file for file in files)
    )
    assert code == 1
    last = told.splitlines()[-1]
    assert last.startswith("livespeaker: ")
    for word in words:
        assert word in last
    assert len(Profile(profile, base()).voices) == 3


def test_a_killed_session_is_read_as_far_as_it_goes(saved: Path, tmp_path: Path) -> None:
    lines = (saved / "talk.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    killed = tmp_path / "killed.jsonl"
    killed.write_text("".join(lines[:-1]), encoding="utf-8")
    assert read_session(killed).duration is None
    assert read_session(killed).turns == read_session(saved / "talk.jsonl").turns
    assert sound_of(read_session(killed), killed, saved / "talk.flac") == saved / "talk.flac"


def test_the_sound_is_found_beside_the_session(saved: Path, tmp_path: Path) -> None:
    session = tmp_path / "other.jsonl"
    session.write_bytes((saved / "talk.jsonl").read_bytes())
    with pytest.raises(FileError) as error:
        sound_of(read_session(session), session, None)
    refused(error, "other.flac, other.wav, heard.wav", "--sound")
    sf.write(tmp_path / "heard.wav", TALK, SAMPLE_RATE)  # what was listened to
    assert sound_of(read_session(session), session, None) == tmp_path / "heard.wav"


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "1\n", '{"type": "session", "schema": 2, "source": "x"}', '{"type": "turn"}', "\x00", '{"type":'],
)
def test_what_is_no_session_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(FileError) as error:
        read_session(file)
    refused(error, "--jsonl")


def test_the_longest_turns_are_learned_from(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    lengths = [2, 20, 3, 15, 10, 1]
    records: list[dict[str, object]] = [{"type": "session", "schema": 1, "source": "x"}]
    for i, length in enumerate(lengths):
        turn = {"start_s": i * 30.0, "end_s": i * 30.0 + length, "name": "guest-2", "probability": 0.9, "final": True}
        records += [{"type": "turn"} | turn, {"type": "turn"} | turn | {"final": False, "name": "guest-1"}]
    file.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    chosen = turns_of(read_session(file), "guest-2")
    assert [(turn.end - turn.start) // SAMPLE_RATE for turn in chosen] == [20, 15, 10]
    with pytest.raises(UsageError, match="guest-2, got 'guest-1'"):
        turns_of(read_session(file), "guest-1")


def test_an_excerpt_is_the_sound_of_its_turns(tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    sf.write(file, TALK, SAMPLE_RATE, subtype="FLOAT")
    turns = [Turn(1_000, 5_001, "guest-1", 1, final=True), Turn(40_000, 41_000, "guest-1", 1, final=True)]
    with Excerpt(WavReplay(file, speed=None), turns) as source:
        heard = list(source.blocks())
    own = np.full(len(TALK), np.nan, np.float32)
    for block in heard:
        own[block.start : block.start + len(block.samples)] = block.samples
    assert np.isfinite(own).sum() == 5_001
    for turn in turns:
        np.testing.assert_array_equal(own[turn.start : turn.end], TALK[turn.start : turn.end])
