"""`evaluate verify`: what is compared, what it comes to, and how it is told."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from model import Encoder
from model.corpus import Clip, read_audio, read_test_corpus
from model.evaluate import PEER, WHOLE, Figures, cut_crops, ratio_to_peer, verify
from model.verify import make_trials
from stream.cli import app
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, UsageError

ENROL = Path(__file__).parents[1] / "stream" / "demo" / "enrol"
ENCODER = Encoder.load()
STUB = """
import sys, numpy as np
with np.load(sys.argv[3]) as crops:  # after -I and the program that this one stands for
    n = len(crops["lengths"])
    assert crops["lengths"].sum() == len(crops["samples"])
print(0, flush=True)
np.savez(sys.argv[4], vectors=np.eye(n, 8, dtype=np.float32) + 0.1)
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people of the demo, three recordings of 4 s each, and two words of 0.8 s of one."""
    folder = tmp_path_factory.mktemp("people")
    for file in sorted(ENROL.glob("*.opus")):
        samples = read_audio(file)
        (folder / file.stem).mkdir()
        for i in range(3):
            soundfile.write(
                folder / file.stem / f"{i}.wav", samples[4 * i * SAMPLE_RATE :][: 4 * SAMPLE_RATE], SAMPLE_RATE
            )
    (folder / "noise").mkdir()
    (folder / "Nobody").mkdir()
    (folder / "Nobody" / "broken.wav").write_bytes(b"RIFF")
    return folder


def test_crops_are_of_one_length_and_of_speech(people: Path):
    skipped: list[str] = []
    crops = cut_crops(read_test_corpus(people), [1.0, 2.0, WHOLE], ENCODER, on_skip=skipped.append)
    assert {len(crop.samples) for crop in crops[1.0]} == {SAMPLE_RATE}
    assert {len(crop.samples) for crop in crops[2.0]} == {2 * SAMPLE_RATE}
    assert len(crops[WHOLE]) == 9
    assert len(skipped) == 1
    assert "broken.wav" in skipped[0]
    for crop in crops[1.0]:
        assert np.sqrt(np.mean(crop.samples**2)) > 1e-3
    assert len(cut_crops(read_test_corpus(people), [1.0], ENCODER, per_speaker=2)[1.0]) == 6


def test_words_are_joined_without_their_silent_ends(tmp_path: Path):
    samples = read_audio(next(iter(sorted(ENROL.glob("*.opus")))))
    clips = []
    for i in range(6):
        word = samples[SAMPLE_RATE * (i + 2) :][: round(0.8 * SAMPLE_RATE)]
        soundfile.write(tmp_path / f"{i}.wav", np.pad(word, SAMPLE_RATE // 2), SAMPLE_RATE)
        clips.append(Clip(tmp_path / f"{i}.wav", "words", "ann", "dev"))
    crops = cut_crops(clips, [2.0], ENCODER)[2.0]
    assert crops
    for crop in crops:
        assert len(crop.sessions) >= 2
        quiet = np.abs(crop.samples.reshape(-1, SAMPLE_RATE // 20)).max(axis=1) < 1e-4
        assert quiet.mean() < 0.2  # of the pads, half of what was joined, little is left


def test_pieces_of_one_recording_are_never_a_trial(people: Path):
    crops = cut_crops(read_test_corpus(people), [1.0], ENCODER)[1.0]
    [trials] = make_trials(crops, np.eye(len(crops)))
    recordings: dict[tuple[str, frozenset[str]], int] = {}
    for crop in crops:
        recordings[crop.speaker, crop.sessions] = recordings.get((crop.speaker, crop.sessions), 0) + 1
    pairs = len(crops) * (len(crops) - 1) // 2
    assert len(trials.scores) == pairs - sum(n * (n - 1) // 2 for n in recordings.values())
    assert ((trials.pair[:, 0] == trials.pair[:, 1]) == trials.target).all()


def test_a_copy_of_a_recording_is_named_and_left_out(people: Path, tmp_path: Path):
    shutil.copytree(people, tmp_path / "people")
    shutil.copyfile(people / "Rob" / "0.wav", tmp_path / "people" / "Angus" / "again.wav")
    skipped: list[str] = []
    crops = cut_crops(read_test_corpus(tmp_path / "people"), [1.0], ENCODER, on_skip=skipped.append)[1.0]
    assert len(crops) == len(cut_crops(read_test_corpus(people), [1.0], ENCODER)[1.0])
    assert any("again.wav" in line and "copy" in line for line in skipped)


def test_figures_come_as_json_a_table_and_pictures(people: Path, tmp_path: Path):
    peer = tmp_path / "peer"
    peer.write_text(f"#!{sys.executable}\n{STUB}")
    peer.chmod(0o755)
    options = ["--seconds", "1", "--json", str(tmp_path / "out.json"), "--plots", str(tmp_path / "pictures")]
    result = CliRunner().invoke(app, ["evaluate", "verify", str(people), *options, "--peer", str(peer)])
    assert result.exit_code == 0, result.output
    for words in ("livespeaker", "resemblyzer", "1 s", "whole", "EER", "ratio"):
        assert words in result.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert {(f["system"], f["seconds"]) for f in found["figures"]} == {
        (system, seconds) for system in ("livespeaker", "cosines", "resemblyzer") for seconds in (1.0, None)
    }
    for figure in found["figures"]:
        assert figure["trials"] > figure["targets"] > 0
        assert 0 <= figure["eer_low"] <= figure["eer_high"] <= 1
    ours = next(f for f in found["figures"] if f["system"] == "livespeaker" and f["seconds"] == 1.0)
    assert ours["eer"] < 0.2  # three synthesised voices are easily told apart
    assert set(found["eer_over_peer"]) == {people.name, "all"}
    pictures = sorted((tmp_path / "pictures").glob("*.png"))
    assert [picture.name for picture in pictures] == ["verify-1s.png", "verify-whole.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_json_for_a_pipe_is_all_that_is_written(people: Path):
    result = CliRunner().invoke(app, ["evaluate", "verify", str(people), "--seconds", "1", "--no-whole", "--json", "-"])
    assert result.exit_code == 0
    assert [f["system"] for f in json.loads(result.stdout)["figures"]] == ["livespeaker", "cosines"]


def test_the_ratio_is_the_geometric_mean_and_two_perfect_systems_are_alike():
    def figures(system: str, corpus: str, seconds: float, eer: float) -> Figures:
        return Figures(system, corpus, seconds, 4, 100, 20, eer, 0.0, 1.0, 1.0, 1.0)

    some = [
        *(figures("livespeaker", "a", s, eer) for s, eer in ((1.0, 0.1), (2.0, 0.1), (WHOLE, 0.5))),
        *(figures(PEER, "a", s, eer) for s, eer in ((1.0, 0.2), (2.0, 0.05), (WHOLE, 0.01))),
        figures("livespeaker", "b", 1.0, 0.0),
        figures(PEER, "b", 1.0, 0.0),
    ]
    assert ratio_to_peer(some) == pytest.approx({"a": 1.0, "b": 1.0, "": 1.0})
    assert ratio_to_peer(some[:3]) == {}


def test_one_speaker_or_one_clip_each_is_refused(tmp_path: Path, people: Path):
    (tmp_path / "one" / "ann").mkdir(parents=True)
    with pytest.raises(FileError, match="expected at least two speakers"):
        read_test_corpus(tmp_path / "one")
    clips = [clip for clip in read_test_corpus(people) if clip.path.name == "0.wav"]
    with pytest.raises(FileError, match="expected two speakers with two recordings"):
        verify(cut_crops(clips, [1.0], ENCODER), ENCODER)


@pytest.mark.parametrize("python", ["/nowhere/python", sys.executable])
def test_a_peer_that_cannot_be_asked_is_refused_in_one_line(python: str, people: Path):
    crops = cut_crops(read_test_corpus(people), [1.0], ENCODER, per_speaker=2)
    with pytest.raises(UsageError, match="Resemblyzer") as caught:
        verify(crops, ENCODER, peer_python=Path(python))
    assert "\n" not in str(caught.value)
