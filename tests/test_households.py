"""Conversations in folders: what is written is read again, and what is missing is said."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from model.corpus import read_audio
from model.households import NO_SPEECH, read_households, simulate_corpus, write_household
from model.simulate import Conversation, SimulationConfig
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, OutputError
from stream.records import Turn
from stream.rttm import read_rttm, rttm_name
from tests.people import posix, refused, sound
from tests.speakers import write_speakers


def conversation(*names: str) -> Conversation:
    turns = [Turn(16_000 * i, 16_000 * i + 8_000, name, 1.0, final=True) for i, name in enumerate(names)]
    return Conversation(sound(1, 64_000), turns, {names[0]: [sound(2), sound(3)]})


def write(folder: Path, *names: str) -> Path:
    """An empty file for each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    talk = conversation("Ann", "Bo Lee")
    write_household(tmp_path / "home" / "000", talk)
    [household] = read_households(tmp_path)
    assert (household.group, household.folder) == ("home", tmp_path / "home" / "000")
    assert {name: len(files) for name, files in household.people.items()} == {"Ann": 2}
    np.testing.assert_allclose(read_audio(household.people["Ann"][1]), talk.enrol["Ann"][1], atol=2**-15)
    [(heard, reference)] = household.conversations
    np.testing.assert_allclose(read_audio(heard), talk.samples, atol=2**-15)
    assert [(turn.start, turn.end, turn.name) for turn in read_rttm(reference)] == [
        (0, 8_000, "Ann"),
        (16_000, 24_000, "Bo_Lee"),
    ]


def test_a_name_is_the_same_in_the_folder_and_in_the_reference(tmp_path: Path) -> None:
    write_household(tmp_path / "0", conversation("../A/B: 1", "C"))
    [household] = read_households(tmp_path)
    assert [rttm_name(name) for name in household.people] == [read_rttm(household.conversations[0][1])[0].name]
    assert {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*")} == {"0"}  # nothing lies elsewhere


def test_households_lie_at_any_depth_and_people_in_folders_or_files(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x", "enrol/Ann/1.wav", "enrol/Ann/more/2.wav", "enrol/Bo.flac", "t.wav", "t.rttm")
    write(tmp_path / "a" / "y", "enrol/enrol/1.wav", "t.ogg", "t.rttm", "u.wav", "u.rttm", "notes.txt")
    write(tmp_path / "b", "enrol/Ann/1.wav", "t.wav", "t.rttm")
    found = read_households(tmp_path)
    assert [(home.folder.name, home.group) for home in found] == [("x", "a"), ("y", "a"), ("b", "")]
    assert {name: [file.name for file in files] for name, files in found[0].people.items()} == {
        "Ann": ["1.wav", "2.wav"],
        "Bo": ["Bo.flac"],
    }
    assert list(found[1].people) == ["enrol"]
    assert [sound.name for sound, _ in found[1].conversations] == ["t.ogg", "u.wav"]
    [alone] = read_households(tmp_path / "b")
    assert (alone.folder, alone.group) == (tmp_path / "b", "")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "expected a folder enrol"),
        (("talk.wav", "talk.rttm"), "expected a folder enrol"),
        (("enrol/Ann/notes.txt", "talk.wav", "talk.rttm"), "expected recordings of people"),
        (("enrol/Ann/1.wav", "talk.rttm"), "expected a conversation beside"),
        (("enrol/Ann/1.wav", "talk.wav", "walk.rttm"), "expected talk.rttm beside"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(FileError) as error:
        read_households(write(tmp_path, *files))
    refused(error, said)


def test_every_corpus_has_its_own_conversations_or_is_left_out(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    speakers = write_speakers(corpus, "abc", clips=5)
    few = write_speakers(corpus, "d", clips=1)
    rows = [
        f"{clip.path.relative_to(corpus)},{'few' if name == 'd' else 'many'},{name}"
        for name, clips in (speakers | few).items()
        for clip in clips
    ]
    (corpus / "manifest.csv").write_text("\n".join(["path,corpus,speaker", *rows]))
    config = SimulationConfig(people=1, strangers=1, seconds=20.0, enrol_seconds=4.0)
    said: list[str] = []
    made = simulate_corpus(corpus, config, tmp_path / "made", numbers=[0, 3], quiet=[0], on_skip=said.append)
    homes = list(made)
    assert [home.folder.relative_to(tmp_path / "made").as_posix() for home in homes] == [
        "many/clean/000", "many/noise/003", f"many/{NO_SPEECH}/000",
    ]  # fmt: skip
    assert [read_rttm(home.conversations[0][1]) == [] for home in homes] == [False, False, True]
    assert read_households(tmp_path / "made") == sorted(homes, key=lambda home: home.folder)
    [line] = said
    assert line.startswith("few is left out: expected 2 speakers in few")
    with pytest.raises(FileError, match="found too few"):
        list(simulate_corpus(corpus, SimulationConfig(people=9), tmp_path / "none", numbers=[0]))
    with pytest.raises(FileError, match="expected recordings of noise"):
        list(simulate_corpus(corpus, config, tmp_path / "none", numbers=[0], noise=tmp_path / "nowhere"))


@posix
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError) as error:
        write_household(tmp_path / "file" / "home", conversation("Ann", "Bo"))
    refused(error, "expected to write a conversation into")
    assert os.listdir(tmp_path) == ["file"]


def test_a_household_is_16_bits_at_16_khz(tmp_path: Path) -> None:
    write_household(tmp_path / "0", conversation("Ann", "Bo"))
    for file in tmp_path.rglob("*.flac"):
        info = sf.info(file)
        assert (info.samplerate, info.subtype, info.channels) == (SAMPLE_RATE, "PCM_16", 1)
