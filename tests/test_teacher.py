"""What other encoders hear in the clips: read, centred, cut to what was heard, refused when it is none of that."""

from pathlib import Path

import numpy as np
import pytest

from model.corpus import Clip
from model.teacher import Lessons, read_teacher
from stream.errors import FileError

HALF = np.sqrt(0.5)
CLIPS = [("a", "ann/1.wav"), ("a", "bob/1.wav"), ("b", "cid/1.wav"), ("b", "crowd/1.wav"), ("b", "eve/1.wav")]
SHORT = [(1, 100), (1, 90), (2, 100), (3, 100), (4, 100)]
# Of the feature store: clip, speed, shard, first row, rows, rows of the clip before them.
ENTRIES = np.array([(0, 100, 0, 0, 500, 20), *((clip, speed, 0, 0, 90, 0) for clip, speed in SHORT)])
VOICES = [np.array([i]) for i in range(len(ENTRIES))]

Said = list[tuple[int, int, float, list[float]]]  # clip, speed, start in seconds, what the teacher says


def write(file: Path, said: Said, **more: np.ndarray) -> Path:
    clip, speed, start, one = zip(*said, strict=True)
    np.savez(
        file, clips=[name for _, name in CLIPS], clip=clip, speed=speed, start=start, one=np.array(one, float), **more
    )
    return file


def read(file: Path, corpus: Path) -> Lessons:
    clips = [Clip(corpus / name, of, name.split("/")[0], "train") for of, name in CLIPS]
    return read_teacher(file, corpus, clips, ENTRIES, VOICES)


def test_every_voice_gets_its_own_vector_without_the_mean_of_its_corpus(tmp_path: Path):
    said: Said = [(1, 100, 0, [0, 1, 5]), (0, 100, 0, [1, 0, 5]), (2, 100, 0, [0, 0, 1]), (3, 100, 0, [0, 0, 3])]
    lessons = read(write(tmp_path / "teacher.npz", said), tmp_path)
    got = np.array([lessons.of(i, [(i, 0, 90)]) for i in range(6)])
    np.testing.assert_allclose(got[:2], [[HALF, -HALF, 0], [-HALF, HALF, 0]], atol=1e-3)
    np.testing.assert_allclose(got[3:5], [[0, 0, -1], [0, 0, 1]], atol=1e-3)
    assert not got[[2, 5]].any()  # of whom, or of whom at that speed, nothing is said


def test_half_of_a_lesson_is_what_was_heard_there_and_half_the_voice(tmp_path: Path):
    # Two windows of ann, from 0.2 and 2.7 s of her clip, which are rows 0 and 250 of what the store keeps of it.
    said: Said = [(0, 100, 2.7, [0, 2, 0]), (0, 100, 0.2, [2, 0, 0]), (1, 100, 0, [-1, -1, 0])]
    lessons = read(write(tmp_path / "teacher.npz", said), tmp_path)
    voice = np.array([HALF, HALF, 0])
    # Both voices on average are nothing here, so that what is heard is what was said.
    for heard, local in (
        ([(0, 0, 100)], [1, 0, 0]),
        ([(0, 300, 100)], [0, 1, 0]),
        ([(0, 150, 150)], [HALF, HALF, 0]),  # half a second of each, and between them of none
        ([(0, 460, 40)], [0, 1, 0]),  # beside both: the nearer
        ([(0, 0, 30), (0, 300, 60)], np.array([1, 2, 0]) / np.sqrt(5)),  # joined
    ):
        want = local + voice
        np.testing.assert_allclose(lessons.of(0, heard), want / np.linalg.norm(want), atol=1e-3)


def test_two_teachers_weigh_the_same_however_sure_they_are(tmp_path: Path):
    said: Said = [(0, 100, 0, [1, 0]), (1, 100, 0, [0, 1])]
    file = write(tmp_path / "teacher.npz", said, another=np.array([[0, 0, 100], [0, 100, 0]], np.float32))
    lessons = read(file, tmp_path)
    got = [lessons.of(i, [(i, 0, 90)]) for i in range(2)]
    np.testing.assert_allclose(got, [[0.5, -0.5, 0, -0.5, 0.5], [-0.5, 0.5, 0, 0.5, -0.5]], atol=1e-3)


def test_a_manifest_file_stands_for_its_folder(tmp_path: Path):
    (tmp_path / "manifest.csv").touch()
    file = write(tmp_path / "teacher.npz", [(2, 100, 0, [1, 0]), (3, 100, 0, [0, 1])])
    clips = [Clip(tmp_path / name, of, "", "train") for of, name in CLIPS]
    lessons = read_teacher(file, tmp_path / "manifest.csv", clips, ENTRIES, VOICES)
    assert [lessons.of(i, [(i, 0, 90)]).any() for i in range(6)] == [False, False, False, True, True, False]


def test_what_is_no_teacher_is_refused_in_one_line(tmp_path: Path):
    window = {"clips": ["ann/1.wav"], "clip": [0], "speed": [100], "start": [0.0]}
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", weights=np.zeros((3, 3)))
    np.savez(tmp_path / "silent.npz", **window)
    np.savez(tmp_path / "lost.npz", **window | {"clip": [7]}, one=np.zeros((1, 2)))
    np.savez(tmp_path / "pickled.npz", **window | {"clips": np.array([{}], object)}, one=np.zeros((1, 2)))
    np.savez(tmp_path / "strange.npz", **window | {"clips": ["zoe/1.wav"]}, one=np.zeros((1, 2)))
    write(tmp_path / "uneven.npz", [(0, 100, 0, [1, 0])], another=np.zeros((2, 2)))
    for name in ("missing", "text", "other", "silent", "lost", "pickled", "uneven", "strange"):
        with pytest.raises(FileError, match=r"examples/ask_teacher\.py") as caught:
            read(tmp_path / f"{name}.npz", tmp_path)
        assert "\n" not in str(caught.value)
