"""What other encoders think of the voices: read, centred, refused when it is none of that."""

from pathlib import Path

import numpy as np
import pytest

from model.corpus import Clip
from model.teacher import Voice, read_teacher
from stream.errors import FileError

HALF = np.sqrt(0.5)


def voices(corpus: Path) -> list[Voice]:
    spoken = [
        ("a", "ann", 100),
        ("a", "bob", 100),
        ("a", "bob", 90),
        ("b", "cid", 100),
        ("b", "", 100),
        ("b", "eve", 100),
    ]
    return [(Clip(corpus / f"{who or 'crowd'}/1.wav", name, who, "train"), speed) for name, who, speed in spoken]


def write(file: Path, said: dict[tuple[str, int], list[float]], **more: np.ndarray) -> Path:
    names, speeds = [name for name, _ in said], [speed for _, speed in said]
    np.savez(file, voice=names, speed=speeds, one=np.array(list(said.values()), np.float32), **more)
    return file


def test_every_voice_gets_its_own_vector_without_the_mean_of_its_corpus(tmp_path: Path):
    said = {("bob", 100): [0, 1, 5], ("ann", 100): [1, 0, 5], ("cid", 100): [0, 0, 1], ("crowd/1.wav", 100): [0, 0, 3]}
    got = read_teacher(write(tmp_path / "teacher.npz", said), tmp_path, voices(tmp_path))
    np.testing.assert_allclose(got[:2], [[HALF, -HALF, 0], [-HALF, HALF, 0]], atol=1e-6)
    np.testing.assert_allclose(got[3:5], [[0, 0, -1], [0, 0, 1]], atol=1e-6)
    assert not got[[2, 5]].any()  # of whom, or of whom at that speed, nothing is said


def test_two_teachers_weigh_the_same_however_sure_they_are(tmp_path: Path):
    said = {("ann", 100): [1, 0], ("bob", 100): [0, 1]}
    file = write(tmp_path / "teacher.npz", said, another=np.array([[0, 0, 100], [0, 100, 0]], np.float32))
    got = read_teacher(file, tmp_path, voices(tmp_path))[:2]
    np.testing.assert_allclose(got, [[0.5, -0.5, 0, -0.5, 0.5], [-0.5, 0.5, 0, 0.5, -0.5]], atol=1e-6)


def test_a_manifest_file_stands_for_its_folder(tmp_path: Path):
    (tmp_path / "manifest.csv").touch()
    file = write(tmp_path / "teacher.npz", {("cid", 100): [1, 0], ("crowd/1.wav", 100): [0, 1]})
    got = read_teacher(file, tmp_path / "manifest.csv", voices(tmp_path))
    assert np.count_nonzero(got.any(axis=1)) == 2


def test_what_is_no_teacher_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", weights=np.zeros((3, 3)))
    np.savez(tmp_path / "silent.npz", voice=["ann"], speed=[100])
    np.savez(tmp_path / "pickled.npz", voice=np.array([{}], object), speed=[100], one=np.zeros((1, 2)))
    write(tmp_path / "uneven.npz", {("ann", 100): [1, 0]}, another=np.zeros((2, 2)))
    write(tmp_path / "strange.npz", {("zoe", 100): [1, 0]})
    for name in ("missing", "text", "other", "silent", "pickled", "uneven", "strange"):
        with pytest.raises(FileError, match=r"examples/ask_teacher\.py") as caught:
            read_teacher(tmp_path / f"{name}.npz", tmp_path, voices(tmp_path))
        assert "\n" not in str(caught.value)
