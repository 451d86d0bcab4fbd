"""Identification measured: whom a household hears, what is counted, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from model.augment import change_speed
from model.identify import AFTER, BEFORE, Judged, confusion, figures, identify
from model.members import CONDITIONS, of_corpus, of_folders
from stream.clock import SAMPLE_RATE
from stream.errors import FileError
from tests.sound import one_line
from tests.talk import NAMES, content, conversation, encoder, livespeaker, reading

SAID = {"Sally": (0.3, 5.3), "Rob": (6.0, 10.2), "Angus": (10.9, 14.7)}


def judged(right: int, wrong: int, unknown: int, let_in: int, kept_out: int, household: int = 0) -> Judged:
    """So many windows of the enrolled and of strangers, all of them judged at a confidence of 0.75."""
    own, strangers = right + wrong + unknown, let_in + kept_out
    n = own + strangers
    named = np.array([True] * (right + wrong) + [False] * unknown + [True] * let_in + [False] * kept_out)
    is_right = np.array([True] * right + [False] * (wrong + unknown + let_in) + [True] * kept_out)
    return Judged(
        household=np.full(n, household, np.int32),
        stranger=np.arange(n) >= own,
        best=np.array([True] * right + [False] * wrong + [True] * unknown + [False] * strangers),
        llr=np.where(named, 3.0, -3.0),
        named=named,
        right=is_right,
        confidence=np.full(n, 0.75),
        who=np.array(["Ann"] * own + [""] * strangers),
        given=np.array(["Ann"] * right + ["Bo"] * wrong + [""] * unknown + ["Ann"] * let_in + [""] * kept_out),
        same=np.full(own, 50.0),
        other=np.full(n, -50.0),
    )


def test_rates_are_what_they_say() -> None:
    [found] = figures({(BEFORE, "clean", 2.0): judged(right=14, wrong=2, unknown=4, let_in=1, kept_out=9)})
    assert (found.windows, found.strangers, found.households) == (20, 10, 1)
    assert found.accuracy[0] == pytest.approx(18 / 20)
    assert found.wrong == pytest.approx(2 / 20)
    assert found.rejected[0] == pytest.approx(4 / 20)
    assert found.accepted[0] == pytest.approx(1 / 10)
    assert found.cllr == pytest.approx(0.0, abs=1e-6)
    assert found.calibration_error == pytest.approx(abs(0.75 - 23 / 30))
    [only] = found.reliability
    assert (only.confidence, only.right, only.n) == (pytest.approx(0.75), pytest.approx(23 / 30), 30)
    names, windows = confusion(found)
    assert names == ["Ann", "Bo"]
    np.testing.assert_array_equal(windows, [[14, 2, 4], [0, 0, 0], [1, 0, 9]])
    # One stranger in ten passes at 3: at the threshold that 1 % pass, nobody at 3 does.
    assert found.dir_at_1 == 0.0


def test_an_interval_over_households_holds_the_rate_and_shrinks_with_them() -> None:
    def several(n: int) -> Judged:
        homes = [judged(10 + i % 3, 0, 2 - i % 3, 0, 10, household=i) for i in range(n)]
        joined = {name: np.concatenate([getattr(home, name) for home in homes]) for name in Judged.__dataclass_fields__}
        return Judged(**joined)

    [few], [many] = (figures({(BEFORE, "clean", 2.0): several(n)}) for n in (3, 60))
    for found in (few, many):
        rate, low, high = found.rejected
        assert low <= rate <= high
    assert many.rejected[2] - many.rejected[1] < few.rejected[2] - few.rejected[1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sally and Rob are enrolled; Angus, and Sally played a fifth faster, are strangers."""
    root = tmp_path_factory.mktemp("people")
    sounds = {f"enrol/{name}": reading(name) for name in ("Sally", "Rob")}
    sounds |= {f"test/{name}": conversation(*SAID[name]) for name in NAMES}
    sounds["strangers/Fast"] = change_speed(conversation(*SAID["Sally"]), 1.25)
    for name, samples in sounds.items():
        (root / name).mkdir(parents=True)
        sf.write(root / name / "a.wav", samples, SAMPLE_RATE)
    return {name: root / name for name in ("enrol", "test", "strangers")}


def test_whoever_was_not_enrolled_is_a_stranger(folders: dict[str, Path]) -> None:
    owners, strangers = of_folders(folders["enrol"], folders["test"], folders["strangers"], encoder(), ["clean"])
    assert [member.name for member in owners] == ["Rob", "Sally"]
    assert [member.name for member in strangers] == ["Angus", "Fast"]
    assert all(member.enrolled for member in owners)
    assert not any(member.enrolled for member in strangers)


def test_people_get_their_names_before_and_after_fine_tuning(folders: dict[str, Path]) -> None:
    home = of_folders(folders["enrol"], folders["test"], None, encoder(), [*CONDITIONS])
    found = figures(identify([home], encoder(), lengths=[1.0, 2.0]))
    assert {(f.system, f.condition, f.seconds) for f in found} == {
        (system, condition, seconds) for system in (BEFORE, AFTER) for condition in CONDITIONS for seconds in (1.0, 2.0)
    }
    for f in found:
        names, windows = confusion(f)
        assert set(names) == {"Rob", "Sally"}
        assert windows[:-1].sum() == f.windows
        assert windows[-1].sum() == f.strangers
        assert windows[:-1, -1].sum() == pytest.approx(f.rejected[0] * f.windows)
        assert windows[-1, :-1].sum() == pytest.approx(f.accepted[0] * f.strangers)
        assert sum(one.n for one in f.reliability) == f.windows + f.strangers
        if f.condition == "clean":
            assert f.accuracy[0] == 1.0
            assert f.windows >= 3
            assert f.accepted[0] == 0.0


def test_households_of_a_corpus_hold_nobody_twice_and_test_on_what_was_not_enrolled(tmp_path: Path) -> None:
    speeds = (1.0, 0.85)
    for name in NAMES:
        for speed in speeds:
            folder = tmp_path / f"{name}-{speed}"
            folder.mkdir()
            said = change_speed(reading(name), speed)
            for i in range(3):
                piece = said[i * len(said) // 3 : (i + 1) * len(said) // 3]
                sf.write(folder / f"{i}.wav", piece, SAMPLE_RATE)
    drawn = of_corpus(tmp_path, encoder(), ["clean"], households=4, owners=2, strangers=3, seconds=5.0, seed=1)
    assert len(drawn) == 4
    for owners, strangers in drawn:
        names = [member.name for member in (*owners, *strangers)]
        assert len(names) == len(set(names)) == 5
        for owner in owners:
            assert owner.enrolled is not None
            assert 5.0 <= owner.enrolled.speech_s.sum() < 8.0
            heard = sum(len(hops) for hops in owner.tests["clean"])
            assert 60 <= heard < 16 * 10 / min(speeds)
    with pytest.raises(FileError, match="more than 6 people") as error:
        of_corpus(tmp_path, encoder(), ["clean"], households=1, owners=6, strangers=1, seconds=5.0, seed=1)
    one_line(error)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("evaluate identify nowhere --plots", "expected to write pictures into"),
        ("evaluate verify nowhere --plots", "expected to write pictures into"),
        ("fine-tune --plots", "expected to write pictures into"),
        ("evaluate identify nowhere --json", "expected a file that can be written"),
        ("evaluate verify nowhere --json", "expected a file that can be written"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_measured(
    command: str, wanted: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    refused = livespeaker(*command.split(), tmp_path / "file" / "in")
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert wanted in line
    assert (tmp_path / "file").read_text() == "mine"


def test_the_command_measures_and_says_what_is_missing(folders: dict[str, Path], tmp_path: Path) -> None:
    done = livespeaker(
        "evaluate", "identify", folders["enrol"], "--test", folders["test"], "--strangers", folders["strangers"],
        "--seconds", "2", "--json", tmp_path / "found.json", "--plots", tmp_path / "pictures",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = json.loads((tmp_path / "found.json").read_text())["figures"]
    assert (before["system"], before["seconds"], before["accuracy"][0]) == (BEFORE, 2.0, 1.0)
    assert after["system"] == AFTER
    for found in before, after:
        assert sum(n for _, _, n in found["confusion"]) == found["windows"] + found["strangers"]
        assert sum(one["n"] for one in found["reliability"]) == found["windows"] + found["strangers"]
    assert "Let in" in done.stdout
    assert "Who was taken for whom in 2 s, by cohort > fine-tuned:" in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines() if line[:2] in ("1 ", "2 ")] == ["Rob", "Sally"]
    pictures = content(tmp_path / "pictures")
    assert set(pictures) == {"confusion-clean-2s.png", "reliability-clean.png"}
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())
    missing = livespeaker("evaluate", "identify", folders["enrol"], "--test", tmp_path / "nothing")
    assert missing.returncode == 1
    [line] = missing.stderr.splitlines()
    assert "expected a folder per person" in line
