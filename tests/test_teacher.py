"""What another encoder thinks of the clips: read, centred, refused when it is none of that."""

from pathlib import Path

import numpy as np
import pytest

from model.corpus import Clip
from model.teacher import read_teacher
from stream.errors import FileError


def clips(corpus: Path) -> list[Clip]:
    names = [("a", "ann/1.wav"), ("a", "bob/1.wav"), ("b", "cid/1.wav"), ("b", "dee/1.wav"), ("b", "eve/1.wav")]
    return [Clip(corpus / name, corpus_name, name.split("/")[0], "train") for corpus_name, name in names]


def write(file: Path, vectors: dict[str, list[float]]) -> Path:
    np.savez(file, path=np.array(list(vectors)), vector=np.array(list(vectors.values()), np.float32))
    return file


def test_every_clip_gets_its_own_vector_without_the_mean_of_its_corpus(tmp_path: Path):
    said = {"bob/1.wav": [0, 1, 5], "ann/1.wav": [1, 0, 5], "cid/1.wav": [0, 0, 1], "dee/1.wav": [0, 0, 3]}
    got = read_teacher(write(tmp_path / "teacher.npz", said), tmp_path, clips(tmp_path))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(got[:2], [[half, -half, 0], [-half, half, 0]], atol=1e-6)
    np.testing.assert_allclose(got[2:4], [[0, 0, -1], [0, 0, 1]], atol=1e-6)
    assert not got[4].any()  # of whom nothing is said


def test_a_manifest_file_stands_for_its_folder(tmp_path: Path):
    (tmp_path / "manifest.csv").touch()
    file = write(tmp_path / "teacher.npz", {"ann/1.wav": [1, 0], "bob/1.wav": [0, 1]})
    got = read_teacher(file, tmp_path / "manifest.csv", clips(tmp_path))
    assert np.count_nonzero(got.any(axis=1)) == 2


def test_what_is_no_teacher_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", path=np.array([{}], object), vector=np.zeros((1, 2)))
    strange = write(tmp_path / "strange.npz", {"zoe/1.wav": [1, 0]})
    for file in (
        tmp_path / "missing.npz",
        tmp_path / "text.npz",
        tmp_path / "other.npz",
        tmp_path / "pickled.npz",
        strange,
    ):
        with pytest.raises(FileError, match=r"examples/ask_teacher\.py") as caught:
            read_teacher(file, tmp_path, clips(tmp_path))
        assert "\n" not in str(caught.value)
