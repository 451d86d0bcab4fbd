"""The recipe, from a folder of recordings to weights that `Encoder.load` reads, whatever happens on the way.

Six people are made of the three that the demo's synthesiser read for it: as recorded, and played faster.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from model.augment import change_speed
from model.corpus import read_audio
from model.encoder import Encoder
from model.feature_store import FeatureStore, StoreConfig
from model.network import NetworkConfig
from model.pretrain import PretrainConfig
from model.recipe import pretrain
from model.trained import Trained, write_trained
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, LivespeakerError, OutputError, UsageError, WeightsError
from stream.mfcc import MfccConfig
from stream.training_screen import PLAIN_EVERY_S, TrainingScreen
from tests.sound import one_line

ROOT = Path(__file__).parents[1]
ENROL = ROOT / "stream" / "demo" / "enrol"
CLIP_S = 2.6

STORE = StoreConfig(mfcc=MfccConfig(n_mels=24, n_mfcc=20), speeds=(1.0,), copies=2, rooms=1, made_noises=1)
EPOCHS, STEPS = 3, 12
NETWORK = NetworkConfig(n_mfcc=20, channels=16, pooled=24, dilations=(2,), embedding=16)
HOW = {
    "network": NETWORK,
    "epochs": EPOCHS,
    "steps_per_epoch": STEPS,
    "batch_size": 8,
    "crop_frames": (40, 60),
    "learning_rate": 1e-2,
    "scale": 10.0,
    "margin": 0.05,  # it grows with the epochs, and the loss with it
    "gain_db": 3.0,
    "seed": 1,
}


class Told:
    """A screen that keeps what it is told, and can end a run as Ctrl-C does."""

    def __init__(self, stop_after_epoch: int | None = None, stop_at: str | None = None) -> None:
        self.parts: list[tuple[str, int, int]] = []
        self.losses: list[float] = []
        self.epochs: list[tuple[int, float, dict[str, float]]] = []
        self.skipped: list[str] = []
        self.said: list[str] = []
        self._stop_after_epoch, self._stop_at = stop_after_epoch, stop_at

    def progress(self, what: str, done: int, total: int, loss: float | None = None) -> None:
        self.parts.append((what, done, total))
        if loss is not None:
            self.losses.append(loss)
        if what == self._stop_at:
            raise KeyboardInterrupt

    def epoch(self, number: int, total: int, loss: float, seconds: float, eer: Mapping[str, float]) -> None:
        assert total == EPOCHS
        assert seconds > 0
        self.epochs.append((number, loss, dict(eer)))
        if number == self._stop_after_epoch:
            raise KeyboardInterrupt

    def skip(self, line: str) -> None:
        self.skipped.append(line)

    def say(self, line: str) -> None:
        self.said.append(line)


def run(
    corpus: Path,
    folder: Path,
    screen: Told,
    *,
    noise: Path | None = None,
    teacher: Path | None = None,
    trained: Path | None = None,
    store: StoreConfig = STORE,
    **changed,
) -> Told:
    pretrain(
        corpus,
        folder / "out",
        folder / "work",
        noise,
        HOW | changed,
        screen=screen,
        teacher=teacher,
        network=trained,
        store=store,
        processes=1,
    )
    return screen


def history(folder: Path) -> list[dict]:
    reports = json.loads((folder / "work" / "checkpoint" / "progress.json").read_text())["history"]
    return [{key: value for key, value in report.items() if key != "seconds"} for report in reports]


def network(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "out" / "network.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers, mixed rates and channels, noise, and files that are no sound."""
    folder = tmp_path_factory.mktemp("corpus") / "people"
    for speed in (1.0, 1.2):
        for file in sorted(ENROL.glob("*.opus")):
            speaker = folder / f"{speed}-{file.stem}"
            speaker.mkdir(parents=True)
            samples = change_speed(read_audio(file), speed)
            for i, start in enumerate(range(0, len(samples) - int(CLIP_S * SAMPLE_RATE), int(CLIP_S * SAMPLE_RATE))):
                clip, rate, name = samples[start : start + int(CLIP_S * SAMPLE_RATE)], SAMPLE_RATE, f"{i}.wav"
                if i == 1:
                    clip, rate, name = soxr.resample(clip, rate, 44_100), 44_100, "1.flac"
                    clip = np.stack([clip, 0.5 * clip], axis=1)
                if i == 2:
                    clip, rate = soxr.resample(clip, rate, 8_000), 8_000
                soundfile.write(speaker / name, clip, rate)
    (folder / "1.0-Angus" / "broken.wav").write_bytes(b"RIFF, it says")
    (folder / "1.0-Rob" / "empty.flac").touch()
    soundfile.write(folder / "1.0-Rob" / "nan.wav", np.full(SAMPLE_RATE, np.nan, np.float32), SAMPLE_RATE, "FLOAT")
    soundfile.write(folder / "1.0-Rob" / "silent.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (folder / "1.0-Rob" / "notes.txt").write_text("no audio, and not taken for it")
    (folder / "noise").mkdir()
    hiss = np.random.default_rng(0).normal(0.0, 0.1, SAMPLE_RATE)
    soundfile.write(folder / "noise" / "hiss.wav", hiss, SAMPLE_RATE)
    (folder / "noise" / "broken.ogg").write_bytes(b"OggS")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, run(corpus, folder, Told())


def features_of(folder: Path, to: Path) -> Path:
    """A folder to work in that has features already."""
    shutil.copytree(folder / "work" / "features", to / "work" / "features")
    shutil.copyfile(folder / "work" / "dev.npz", to / "work" / "dev.npz")
    return to


def test_a_corpus_becomes_weights_that_embed(uninterrupted: tuple[Path, Told], corpus: Path):
    folder, told = uninterrupted
    encoder = Encoder.load(folder / "out")
    vector = encoder.embed(read_audio(corpus / "1.0-Angus" / "0.wav"), sample_rate=SAMPLE_RATE)
    assert vector.shape == (16,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    calibration = encoder.weights.calibration
    assert len(calibration["seconds"]) == len(calibration["slope"]) >= 3
    assert [number for number, _, _ in told.epochs] == [1, 2, 3]
    assert told.losses[-1] < told.losses[0]
    assert told.epochs[-1][1] < told.epochs[0][1]
    for _, _, eer in told.epochs:
        assert set(eer) == {"people"}
        assert 0 <= eer["people"] <= 1


def test_progress_goes_on_to_the_end_of_every_part(uninterrupted: tuple[Path, Told]):
    _, told = uninterrupted
    parts = list(dict.fromkeys(what for what, _, _ in told.parts))
    assert parts == ["features", "dev", "training"]
    for part in parts:
        steps = [(done, total) for what, done, total in told.parts if what == part]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
    assert told.parts[-1] == ("training", EPOCHS * STEPS, EPOCHS * STEPS)


def test_files_that_are_no_sound_are_named_and_left_out(uninterrupted: tuple[Path, Told]):
    _, told = uninterrupted
    names = ("broken.wav", "empty.flac", "nan.wav", "broken.ogg")
    for name in names:
        assert sum(name in line for line in told.skipped) == 1, name
    assert len(told.skipped) == len(names)
    assert all("\n" not in line and "remove the file" in line for line in told.skipped)


def test_the_card_says_what_the_weights_come_from(uninterrupted: tuple[Path, Told]):
    folder, told = uninterrupted
    card = Encoder.load(folder / "out").weights.card
    people = card["trained_on"]["people"]
    clips = len(list((folder / "work" / "features").glob("shard-*")))  # a shard holds more than there are here
    assert clips == 1
    assert people["speakers"] == 4
    # As many seconds as were cut, less the silence at the ends of a clip; a speaker gave 5 to 7 clips.
    assert 20 <= people["clips"] <= 28
    assert 0.8 * CLIP_S * people["clips"] / 3600 < people["hours"] <= CLIP_S * people["clips"] / 3600 + 1e-3
    assert card["attribution"] == {"people": "see the corpus"}
    assert (card["epochs"], card["steps_per_epoch"], card["seed"], card["noise_files"]) == (EPOCHS, STEPS, 1, 2 + 1)
    measured = card["eer_2s"]["people"]
    assert measured["eer"] == pytest.approx(told.epochs[-1][2]["people"], abs=1e-4)
    assert measured["speakers"] == 2
    assert measured["trials"] > measured["targets"] > 0
    assert set(card["versions"]) == {"keras", "numpy"}
    assert card["parameters"] > 1000


def test_stopped_after_an_epoch_it_goes_on_to_exactly_the_same_weights(
    uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path
):
    folder, whole = uninterrupted
    features_of(folder, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path, Told(stop_after_epoch=1))
    assert len(history(tmp_path)) == 1
    assert not (tmp_path / "out" / "manifest.json").exists()
    rest = run(corpus, tmp_path, Told())
    assert [number for number, _, _ in rest.epochs] == [2, 3]
    assert rest.skipped == whole.skipped
    # Every random number is drawn from the seed, the epoch and the step, and one thread adds in one order.
    assert history(tmp_path) == history(folder)
    for name, array in network(folder).items():
        np.testing.assert_array_equal(network(tmp_path)[name], array)


def teacher(file: Path, clips: list[str]) -> Path:
    """What two encoders might say of these clips, each of them one window."""
    rng, n = np.random.default_rng(0), len(clips)
    said = {"one": rng.standard_normal((n, 8)), "another": rng.standard_normal((n, 5))}
    np.savez(file, clips=np.array(clips), clip=np.arange(n), speed=np.full(n, 100), start=np.zeros(n), **said)
    return file


def test_a_teacher_is_learned_from(uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path):
    alone, _ = uninterrupted
    clips = [file.relative_to(corpus).as_posix() for file in sorted(corpus.glob("1.*/?.*"))]
    told = run(corpus, features_of(alone, tmp_path), Told(), teacher=teacher(tmp_path / "teacher.npz", clips))
    assert told.losses[0] > history(alone)[0]["loss"]  # the lesson is part of it
    assert told.losses[-1] < told.losses[0]
    assert any(np.any(network(tmp_path)[key] != network(alone)[key]) for key in network(alone))


def test_voices_without_a_name_are_learned_from_through_a_teacher_alone(corpus: Path, tmp_path: Path):
    few = people(tmp_path / "few", corpus, "1.0-Sally", "1.2-Rob")
    rows = [f"{f.relative_to(few)},{f.parent.name},train" for f in sorted(few.rglob("*.wav"))]
    nameless = people(tmp_path / "few" / "crowd", corpus, "1.0-Angus")
    rows += [f"{f.relative_to(few)},,train" for f in sorted(nameless.rglob("?.wav"))]
    (few / "manifest.csv").write_text("path,speaker,split\n" + "\n".join(rows) + "\n")
    told, file = Told(), teacher(tmp_path / "teacher.npz", [row.split(",")[0] for row in rows])
    with pytest.raises(FileError, match="expected dev speakers"):  # trained, not calibrated
        run(few, tmp_path, told, teacher=file)
    assert told.losses[-1] < told.losses[0]
    assert any("2 voices" in line for line in told.said)
    heard = set(FeatureStore(tmp_path / "work" / "features").entries[:, 0].tolist())
    assert len(heard) > len(list(few.glob("1.*/?.*")))  # the crowd's clips are among the features


def given(folder: Path, file: Path, card: Mapping[str, object]) -> Path:
    """The network of a run, as if it had been trained elsewhere."""
    write_trained(file, Trained(network(folder), NETWORK, STORE.mfcc, card))
    return file


def test_a_network_that_was_trained_elsewhere_is_only_shipped_and_as_its_own_is(
    uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path
):
    folder, _ = uninterrupted
    file = given(folder, tmp_path / "network.npz", {"date": "2026-01-02", "how": "on a GPU"})
    told = run(corpus, tmp_path, Told(), trained=file)
    assert (told.parts, told.epochs, told.skipped) == ([], [], [])
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"lock", "noise"}
    own, shipped = (json.loads((where / "out" / "manifest.json").read_text()) for where in (folder, tmp_path))
    card = shipped.pop("card")
    assert card == {
        "name": "livespeaker",
        "parameters": own.pop("card")["parameters"],
        "date": "2026-01-02",
        "how": "on a GPU",
        "attribution": {"people": "see the corpus"},
    }
    # Archives hold the time at which they were made, and LiteRT the order in which layers were.
    ours, theirs = shipped.pop("sha256"), own.pop("sha256")
    assert ours["cohort.npy"] == theirs["cohort.npy"]
    assert shipped == own  # the calibration above all
    for name, array in network(folder).items():
        np.testing.assert_array_equal(network(tmp_path)[name], array)


def test_what_is_no_network_is_refused_before_anything_is_done(corpus: Path, tmp_path: Path):
    (tmp_path / "network.npz").write_text("no arrays")
    with pytest.raises(WeightsError, match="expected a trained network") as caught:
        run(corpus, tmp_path / "run", Told(), trained=tmp_path / "network.npz")
    one_line(caught)
    with pytest.raises(UsageError, match="leave one out") as caught:
        run(corpus, tmp_path / "run", Told(), trained=tmp_path / "network.npz", teacher=tmp_path / "teacher.npz")
    one_line(caught)
    assert not (tmp_path / "run").exists()


def test_stopped_while_features_are_made_it_leaves_no_torn_shard(corpus: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path, Told(stop_at="features"))
    assert not list((tmp_path / "work" / "features").glob("shard-*"))
    assert (tmp_path / "work" / "features" / "store.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_it_loses_no_finished_epoch(
    kill: signal.Signals, uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path
):
    folder, _ = uninterrupted
    features_of(folder, tmp_path)
    program = (
        "import sys, time; from pathlib import Path; from stream.training_screen import TrainingScreen\n"
        "from tests.test_pretrain import run\n"
        "class Slow(TrainingScreen):\n"
        "    def epoch(self, *report): super().epoch(*report); time.sleep(1)  # the epochs are over in no time\n"
        "with Slow(stopped='Run again.') as screen: run(Path(sys.argv[1]), Path(sys.argv[2]), screen)"
    )
    command = [sys.executable, "-c", program, str(corpus), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("epoch 1 of 3") and lines.count(line) == 1:  # rich, interrupted, may write one again
                process.send_signal(kill)
        assert process.wait(60) != 0, "".join(lines)
    finished = len({line for line in lines if line.startswith("epoch ")})
    assert 1 <= finished <= len(history(tmp_path)) < EPOCHS, "".join(lines)
    assert history(tmp_path) == history(folder)[: len(history(tmp_path))]
    if kill == signal.SIGINT:
        assert sum(line == "Stopped. Run again.\n" for line in lines) == 1, "".join(lines)
        assert any(line.startswith("Left out: 4 files") for line in lines)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"seed": 2}, WeightsError, "those of other clips, noises or settings"),
        ({"store": dataclasses.replace(STORE, copies=1)}, WeightsError, "another --work folder"),
        ({"epochs": EPOCHS + 1}, WeightsError, "expected a checkpoint of this configuration"),
        ({"margin": 0.3}, WeightsError, "give the same options"),
        (
            {"network": dataclasses.replace(NETWORK, n_mfcc=30)},
            UsageError,
            "got 30; give both the same n_mfcc",
        ),
    ],
)
def test_what_was_made_with_other_settings_is_refused(
    changed: dict, error: type[LivespeakerError], words: str, uninterrupted: tuple[Path, Told], corpus: Path
):
    folder, _ = uninterrupted
    before = {file: file.read_bytes() for file in (folder / "out").iterdir()}
    with pytest.raises(error) as caught:
        run(corpus, folder, Told(), **changed)
    assert words in one_line(caught)
    assert {file: file.read_bytes() for file in (folder / "out").iterdir()} == before


def test_a_checkpoint_from_before_a_setting_existed_goes_on(
    uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path
):
    folder, _ = uninterrupted
    shutil.copytree(folder / "work", tmp_path / "work")
    progress = tmp_path / "work" / "checkpoint" / "progress.json"
    saved = json.loads(progress.read_text())
    del saved["config"]["weight_decay"]  # it has its default here
    progress.write_text(json.dumps(saved))
    assert run(corpus, tmp_path, Told()).epochs == []  # nothing is left to train: the same weights are written again
    assert history(tmp_path) == history(folder)
    for name, array in network(folder).items():
        np.testing.assert_array_equal(network(tmp_path)[name], array)


def test_a_damaged_checkpoint_is_refused(uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path):
    folder, _ = uninterrupted
    shutil.copytree(folder / "work", tmp_path / "work")
    weights = tmp_path / "work" / "checkpoint" / "checkpoint.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="expected a checkpoint of 4 voices"):
        run(corpus, tmp_path, Told())


def test_another_run_in_the_same_folder_is_refused(uninterrupted: tuple[Path, Told], corpus: Path):
    from filelock import FileLock

    folder, _ = uninterrupted
    with FileLock(folder / "work" / "lock"), pytest.raises(UsageError, match="another run works there"):
        run(corpus, folder, Told())


def people(folder: Path, corpus: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(corpus / name, folder / name)
    return folder


def test_without_dev_speakers_it_trains_and_waits_for_some(corpus: Path, tmp_path: Path):
    few = people(tmp_path / "few", corpus, "1.0-Sally", "1.2-Rob")
    (few / "manifest.csv").write_text(
        "path,corpus,speaker\n"
        + "".join(f"{f.relative_to(few)},few,{f.parent.name}\n" for f in sorted(few.rglob("?.*")))
    )
    told, short = Told(), {"steps_per_epoch": 2, "store": dataclasses.replace(STORE, copies=1)}
    with pytest.raises(FileError, match="expected dev speakers") as caught:
        run(few, tmp_path, told, **short)
    assert "the trained network is kept" in one_line(caught)
    assert any(line.startswith("Nobody to measure on") for line in told.said)
    assert [eer for _, _, eer in told.epochs] == [{}] * EPOCHS
    assert not list((tmp_path / "out").iterdir())  # nothing that looks calibrated
    # Once there are dev speakers, nothing is trained again.
    with (few / "manifest.csv").open("a") as file:
        for name in ("1.0-Rob", "1.2-Angus"):
            people(few, corpus, name)
            file.writelines(f"{f.relative_to(few)},few,{name},dev\n" for f in sorted((few / name).glob("?.*")))
    text = (few / "manifest.csv").read_text().replace("path,corpus,speaker\n", "path,corpus,speaker,split\n")
    (few / "manifest.csv").write_text(text)
    again = run(few, tmp_path, Told(), **short)
    assert again.epochs == []
    assert Encoder.load(tmp_path / "out").weights.card["eer_2s"]["few"]["speakers"] == 2


def test_a_corpus_without_speech_is_refused(tmp_path: Path):
    for speaker in "ab":
        (tmp_path / "mute" / speaker).mkdir(parents=True)
        soundfile.write(tmp_path / "mute" / speaker / "1.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    with pytest.raises(FileError, match="expected at least two training speakers with speech") as caught:
        run(tmp_path / "mute", tmp_path, Told(), store=dataclasses.replace(STORE, rooms=0))
    one_line(caught)


def test_noise_that_is_not_there_is_refused(corpus: Path, tmp_path: Path):
    (tmp_path / "quiet").mkdir()
    for folder in ("quiet", "nowhere"):
        with pytest.raises(FileError, match="expected recordings of noise") as caught:
            run(corpus, tmp_path, Told(), noise=tmp_path / folder)
        one_line(caught)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_done(corpus: Path, tmp_path: Path):
    (tmp_path / "out").write_text("a file where the weights should go")
    with pytest.raises(OutputError, match="give another folder") as caught:
        run(corpus, tmp_path, Told())
    one_line(caught)
    assert not (tmp_path / "work").exists()


def test_batches_that_do_not_fit_into_memory_are_refused(
    uninterrupted: tuple[Path, Told], corpus: Path, tmp_path: Path
):
    folder, _ = uninterrupted
    with pytest.raises(UsageError, match="give a smaller --batch") as caught:
        run(corpus, features_of(folder, tmp_path), Told(), batch_size=10**14)
    one_line(caught)


@pytest.mark.parametrize(
    "changed", [{"epochs": 0}, {"crop_frames": ()}, {"batch_size": 0}, {"crop_frames": (100, 0)}, {"precision": "int4"}]
)
def test_a_training_of_nothing_is_refused(changed: dict):
    with pytest.raises(UsageError) as caught:
        PretrainConfig(**HOW | changed)
    one_line(caught)


@pytest.mark.parametrize("changed", [{"speeds": ()}, {"speeds": (1.0, 0.0)}, {"copies": 0}, {"rooms": -1}])
def test_a_store_of_nothing_is_refused(changed: dict):
    with pytest.raises(UsageError) as caught:
        dataclasses.replace(STORE, **changed)
    one_line(caught)


def test_features_hold_every_copy_at_every_speed(uninterrupted: tuple[Path, Told]):
    folder, _ = uninterrupted
    store = FeatureStore(folder / "work" / "features")
    clips, counts = np.unique(store.entries[:, 0], return_counts=True)
    assert set(counts) == {2}
    rows, speech = store.read(0, 5, 10)
    assert rows.shape == (10, 20)
    assert ((speech >= 0) & (speech <= 1)).all()
    assert len(store.read(0, int(store.entries[0, 4]) - 3, 10)[0]) == 3
    plain, spoilt = (store.read(entry, 0, 50)[0] for entry in np.flatnonzero(store.entries[:, 0] == clips[0]))
    assert not np.array_equal(plain, spoilt)


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert not out  # standard output is for others
    return err.splitlines()


def test_without_a_terminal_the_screen_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]):
    now = 0.0
    with TrainingScreen(plain=True, clock=lambda: now) as screen:
        for step in range(1, 1001):
            now += PLAIN_EVERY_S / 100
            screen.progress("training", step, 1000, 1.0)
        screen.epoch(1, 2, 3.25, 61.0, {"a": 0.125, "b\x1b[2J": 0.5})
        screen.epoch(2, 2, 3.25, 61.0, {})
        screen.skip("expected audio in x.wav, got none; remove the file")
    lines = shown(capsys)
    assert 10 <= sum(line.startswith("training") for line in lines) <= 13
    assert "training 1000 of 1000, loss 1.000" in lines
    assert lines[-4:] == [
        "epoch 1 of 2: loss 3.250, 61 s, equal error rate at 2 s: a 12.5 %, b\ufffd[2J 50.0 %",
        "epoch 2 of 2: loss 3.250, 61 s",
        "expected audio in x.wav, got none; remove the file",
        "Left out: 1 file, named above.",
    ]


def test_in_a_terminal_the_screen_is_a_bar_for_every_part(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with contextlib.suppress(KeyboardInterrupt), TrainingScreen(plain=False, stopped="Go on.") as screen:
        screen.progress("features", 2, 2)
        screen.progress("training", 5, 10, 2.5)
        screen.say("a line above the bars")
        raise KeyboardInterrupt
    text = "\n".join(shown(capsys))
    for words in ("features", "2/2", "training", "5/10", "loss 2.500", "a line above the bars", "Stopped. Go on."):
        assert words in text
