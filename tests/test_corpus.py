"""Corpora: who speaks in which file, what is kept for measuring, and what a file that is no sound says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.corpus import Clip, audio_files, read_audio, read_corpus, read_test_corpus
from stream.clock import SAMPLE_RATE
from stream.errors import FileError
from tests.sound import one_line


def speakers(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "a.wav").touch()
    return folder


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize(("n", "n_dev"), [(2, 0), (3, 0), (4, 2), (10, 2), (19, 2), (30, 3)])
def test_the_last_speakers_of_a_folder_are_kept_for_dev_and_never_one_alone(n: int, n_dev: int, tmp_path: Path):
    folder = speakers(tmp_path, *(f"{i:02d}" for i in range(n)))
    clips = read_corpus(folder)
    assert [clip.speaker for clip in clips] == [f"{i:02d}" for i in range(n)]
    assert [clip.split for clip in clips] == ["train"] * (n - n_dev) + ["dev"] * n_dev
    assert {clip.corpus for clip in clips} == {tmp_path.name}


def test_noise_and_other_files_of_a_folder_are_nobody(tmp_path: Path):
    folder = speakers(tmp_path, "ann", "bo", "noise")
    (folder / "ann" / "notes.txt").touch()
    (folder / "ann" / "day2").mkdir()
    (folder / "ann" / "day2" / "B.FLAC").touch()
    (folder / "README.md").touch()
    assert Counter(clip.speaker for clip in read_corpus(folder)) == {"ann": 2, "bo": 1}
    assert audio_files(folder / "noise") == [folder / "noise" / "a.wav"]


def test_a_manifest_says_who_speaks_where_and_needs_only_two_columns(tmp_path: Path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,corpus,speaker,split,seconds\na/1.wav,x,ann,train,2.5\nb.wav,x,bo,dev,1\nc.wav,,cy,,\n")
    clips = [
        Clip(tmp_path / "a" / "1.wav", "x", "ann", "train"),
        Clip(tmp_path / "b.wav", "x", "bo", "dev"),
        Clip(tmp_path / "c.wav", "corpus", "cy", "train"),
    ]
    assert read_corpus(tmp_path) == read_corpus(manifest) == clips
    (tmp_path / "other.csv").write_text("speaker,path\nann,1.wav\nZoë,2.wav\n", encoding="utf-8")
    assert [clip.speaker for clip in read_corpus(tmp_path / "other.csv")] == ["ann", "Zoë"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,corpus\na.wav,x\n", "missing speaker"),
        ("", "missing path, speaker"),
        ("path,speaker\na.wav,ann\nb.wav\n", "in line 3"),
        ("path,speaker\n,ann\n", "in line 2"),
        ("path,speaker\na.wav,ann\nb.wav,ann\n", "at least two training speakers"),
        ("path,speaker\na.wav,ann\nb.wav,\n", "at least two training speakers"),
        ("path,speaker,split\na.wav,ann,train\nb.wav,bo,dev\n", "at least two training speakers"),
        ("path,speaker\na.wav,\xff\n", "not UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(text: str, words: str, tmp_path: Path):
    (tmp_path / "manifest.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError) as error:
        read_corpus(tmp_path)
    assert words in one_line(error)


def test_a_corpus_with_too_few_speakers_or_none_is_refused(tmp_path: Path):
    with pytest.raises(FileError, match="found nothing") as error:
        read_corpus(tmp_path / "nowhere")
    one_line(error)
    for folder in (tmp_path, speakers(tmp_path, "ann")):
        with pytest.raises(FileError, match="at least two training speakers") as error:
            read_corpus(folder)
        one_line(error)


def test_sessions_are_the_chapters_of_librispeech_and_else_the_clips():
    def session(corpus: str, name: str) -> str:
        return Clip(Path(name), corpus, "s", "dev").session

    assert session("librispeech_dev", "84-121123-0001.mp3") == session("librispeech_dev", "84-121123-0002.mp3")
    assert session("librispeech_dev", "84-121123-0001.mp3") != session("librispeech_dev", "84-121550-0001.mp3")
    assert session("people", "84-121123-0001.mp3") != session("people", "84-121123-0002.mp3")


def test_a_folder_within_a_speakers_is_a_session_and_a_manifest_may_name_it(tmp_path: Path):
    for name in ("ann/video1/1.wav", "ann/video1/2.wav", "ann/video2/1.wav", "bob/1.wav", "bob/2.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sessions = [clip.session for clip in read_corpus(tmp_path)]
    assert sessions == ["video1", "video1", "video2", "1", "2"]
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,speaker,session\nann/video1/1.wav,ann,monday\nbob/1.wav,bob,\n")
    assert [clip.session for clip in read_corpus(manifest)] == ["monday", "1"]


def test_a_line_that_stands_twice_counts_once_and_two_that_disagree_are_refused(tmp_path: Path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,speaker\n1.wav,ann\n2.wav,bob\n1.wav,ann\n")
    assert [clip.path.name for clip in read_corpus(manifest)] == ["1.wav", "2.wav"]
    manifest.write_text("path,speaker\n1.wav,ann\n2.wav,bob\n1.wav,bob\n")
    with pytest.raises(FileError, match=r"one speaker and split for 1\.wav"):
        read_corpus(manifest)


def test_the_dev_speakers_are_tested_on_or_everybody_where_nobody_is_set_apart(tmp_path: Path):
    for speaker in "abcdef":
        (tmp_path / speaker).mkdir()
        (tmp_path / speaker / "1.wav").touch()
    assert len(read_test_corpus(tmp_path)) == 6
    rows = [f"{speaker}/1.wav,{speaker},{'dev' if speaker in 'ab' else 'train'}" for speaker in "abcdef"]
    (tmp_path / "manifest.csv").write_text("path,speaker,split\n" + "\n".join(rows))
    assert [clip.speaker for clip in read_test_corpus(tmp_path)] == ["a", "b"]


def test_the_language_is_that_of_a_common_voice_name():
    assert Clip(Path("fr_17.opus"), "common_voice", "s", "train").language == "fr"
    assert Clip(Path("fr_17.opus"), "people", "s", "train").language == ""


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_and_number_of_channels_becomes_16_khz_mono(rate: int, channels: int, tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(rate)] * channels, axis=1), rate)
    samples = read_audio(tmp_path / "a.wav")
    assert samples.shape == (SAMPLE_RATE // 2,)
    assert samples.dtype == np.float32
    inner = slice(800, -800)  # the resampler rings at the ends
    np.testing.assert_allclose(samples[inner], tone(SAMPLE_RATE)[inner], atol=2e-3)


def test_what_is_no_sound_says_so_in_one_line(tmp_path: Path):
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    soundfile.write(tmp_path / "short.wav", np.empty(0), SAMPLE_RATE)
    soundfile.write(tmp_path / "inf.wav", np.array([0, np.inf, 0], np.float32), SAMPLE_RATE, "FLOAT")
    for name in ("text.wav", "empty.wav", "folder.wav", "short.wav", "inf.wav", "gone.wav"):
        with pytest.raises(FileError, match="expected audio in") as error:
            read_audio(tmp_path / name)
        assert one_line(error).count(name) == 1
