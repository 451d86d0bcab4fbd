"""`livespeaker pretrain`: from a corpus to a folder of weights, each part kept so that a killed run goes on.

work/noise        sounds that are no voice, made
work/features     the feature store, shard by shard
work/dev.npz      features of the dev speakers, on whom every epoch is measured
work/checkpoint   the network after the last finished epoch
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from filelock import FileLock, Timeout

from model.corpus import NOISE, Clip, learned_from, noise_files, read_corpus
from model.feature_store import FeatureStore, StoreConfig, build_store
from model.made_noise import write_noises
from model.teacher import read_teacher
from model.verify import Piece, cut_pieces, dev_frames, make_trials
from stream.clock import SAMPLE_RATE
from stream.errors import FileError, OutputError, UsageError
from stream.quiet import quiet_stderr
from stream.text import one_line, system_reason

if TYPE_CHECKING:
    from model.pretrain import Pretraining
    from model.trained import Trained

__all__ = ["Screen", "pretrain"]

DEV_FRAMES = 200  # of the pieces that every epoch is measured on: 2 s

ATTRIBUTION = {
    "alphanumeric": "MIT",
    "arabic_commands": "CC BY 4.0",
    "common_voice": "CC0 (Common Voice 6.1)",
    "dspspeech20": "MIT",
    "librispeech": "CC BY 4.0, LibriSpeech (Panayotov et al., 2015)",
    "librispeech_dev": "CC BY 4.0, LibriSpeech (Panayotov et al., 2015)",
    "speech_commands": "CC BY 4.0, Speech Commands (Warden, 2018)",
    "speech_to_intent": "Apache-2.0 (Picovoice's speech-to-intent benchmark)",
    "speechocean762": "free for commercial and non-commercial use, speechocean762 (Zhang et al., 2021)",
    "wake_word": "Apache-2.0 (Picovoice's wake-word benchmark)",
}
"""Licences of the corpora that the shipped weights come from; the name alone says nothing about another's."""


class Screen(Protocol):
    """Who is told how far it has come."""

    def progress(self, what: str, done: int, total: int, loss: float | None = None) -> None:
        """So much of one part is done; `loss` is the training's, of the epoch so far."""

    def epoch(self, number: int, total: int, loss: float, seconds: float, eer: Mapping[str, float]) -> None:
        """An epoch is done and kept; `eer` is by corpus, in [0, 1]."""

    def skip(self, line: str) -> None:
        """A file is left out, and why."""

    def say(self, line: str) -> None:
        """Something else to know."""


def pretrain(
    corpus: Path,
    out: Path,
    work: Path,
    noise: Path | None,
    how: Mapping[str, Any],
    *,
    screen: Screen,
    teacher: Path | None = None,
    network: Path | None = None,
    store: StoreConfig | None = None,
    processes: int | None = None,
) -> None:
    """Train, convert, calibrate and describe; a run with the same arguments goes on where the last one stopped.

    Args:
        corpus: see `read_corpus`.
        out: where the weights go.
        work: where features and checkpoints are kept meanwhile.
        noise: a folder of noise recordings; `noise` in the corpus, if it is there, unless told.
        how: settings of `PretrainConfig` that are not its defaults, by name.
        screen: who is told.
        teacher: a file of other encoders' embeddings to learn from beside; see `model.teacher`.
        network: one that was trained elsewhere, which nothing is left to do with but the rest; see `model.trained`.
        store: what features to make; the seed of `how` goes before its own.
        processes: how many make features at once; one per core unless told.

    Raises:
        FileError: the corpus or the noise is not there or not enough.
        OutputError: a folder cannot be written.
        UsageError: settings that do not fit together or into memory, or another run works in the same folder.
        WeightsError: `work` holds what was made from another corpus or with other settings, `network` is none, or the
            conversion needs another backend.
    """
    if teacher and network:
        raise UsageError("expected a teacher to learn from or a network that has learned, got both; leave one out")
    corpus = corpus.resolve()  # features remember their clips: the folder that we are called from must not matter
    clips = read_corpus(corpus)
    # Voices without a name are learned from only through what a teacher says of them.
    train = [clip for clip in clips if clip.split == "train" and (clip.speaker or teacher or network)]
    dev = [clip for clip in clips if clip.split == "dev" and clip.speaker]
    noises = learned_from(_noises(corpus, noise))  # the rest is for measuring, as the last speakers are
    # Read when TensorFlow is imported, which is here: it writes to the screen otherwise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with quiet_stderr():  # some of it comes before TensorFlow has read that
        from model.network import fused_weights
        from model.pretrain import PretrainConfig, Pretraining
        from model.ship import ROOMS, ship
        from model.trained import Trained, read_trained

    config = PretrainConfig(**how)
    store = replace(store or StoreConfig(), seed=config.seed)
    if config.network.n_mfcc != store.mfcc.n_mfcc:
        raise UsageError(
            f"expected a network of {store.mfcc.n_mfcc} coefficients, as the features have, got "
            f"{config.network.n_mfcc}; give both the same n_mfcc"
        )
    trained = read_trained(network) if network else None
    for folder in (out, work):
        _make_folder(folder)
    try:
        with FileLock(work / "lock", timeout=0):
            noises += write_noises(work / "noise", store.made_noises, seed=config.seed)
            train += [Clip(path, NOISE, "", "train") for path in noises]  # to learn what no voice is
            if trained is None:
                features = _features(work / "features", train, noises, store, processes, screen)
                heard = _heard(features, train, store)
                pieces = _dev_pieces(work / "dev.npz", dev, store, screen)
                ask = partial(read_teacher, teacher, corpus, train, features.entries) if teacher else None
                training = Pretraining(config, features, train, pieces, work / "checkpoint", ask)
                _train(training, screen)
                weights = fused_weights(training.encoder, training.geometry)
                trained = Trained(weights, config.network, store.mfcc, _facts(training, heard, len(noises)))
            screen.say("Converting and calibrating")
            card = _card(trained, [*train, *dev])
            shape, rooms = trained.network, min(ROOMS, store.rooms)
            try:
                ship(trained.weights, shape, trained.mfcc, train, dev, card, out, rooms=rooms)
            except FileError as error:
                kept = network or work
                raise FileError(f"{error}; run again to finish, the trained network is kept in {kept}") from error
    except Timeout as error:
        raise UsageError(
            f"expected to be alone in {work}, another run works there; wait for it or give another --work folder"
        ) from error
    except MemoryError as error:
        raise UsageError(
            f"expected memory for batches of {config.batch_size}, got: {one_line(error)}; "
            "give a smaller --batch; what is finished is kept"
        ) from error
    except OSError as error:
        raise OutputError(
            f"expected to work in {work} and to write {out}, got: {system_reason(error)}; "
            "make room or give other folders; what is finished is kept"
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"expected to write into {folder}, got: {system_reason(error)}; give another folder"
        ) from error


def _noises(corpus: Path, noise: Path | None) -> list[Path]:
    found = noise_files(corpus, noise.resolve() if noise else None)
    if noise and not found:
        raise FileError(
            f"expected recordings of noise in {noise}, found none; give a folder of audio files, or leave --noise out"
        )
    return found


def _features(
    folder: Path,
    clips: list[Clip],
    noises: list[Path],
    config: StoreConfig,
    processes: int | None,
    screen: Screen,
) -> FeatureStore:
    # Closed at once, and not when it is collected: it has processes to end.
    with closing(build_store(folder, clips, noises, config, processes=processes)) as building:
        for done, total, skipped in building:
            for line in skipped:
                screen.skip(line)
            screen.progress("features", done, total)
    return FeatureStore(folder)


def _dev_pieces(cache: Path, dev: list[Clip], config: StoreConfig, screen: Screen) -> list[Piece]:
    frames = dev_frames(dev, config.mfcc, cache, lambda done: screen.progress("dev", done, len(dev)), screen.skip)
    pieces = cut_pieces(frames, DEV_FRAMES)
    if not make_trials(pieces, np.zeros((len(pieces), 1))):
        screen.say(
            "Nobody to measure on: no dev corpus has two speakers with two clips of 2 s each. The training "
            "goes on without error rates, but the weights cannot be calibrated before there are some."
        )
    return pieces


def _heard(features: FeatureStore, clips: list[Clip], config: StoreConfig) -> dict[str, dict[str, float]]:
    """Clips, speakers and hours of speech by corpus, as far as they could be used."""
    copies = config.copies * len(config.speeds)
    seconds: dict[Clip, float] = defaultdict(float)
    for clip, speed, _, _, rows, _ in features.entries:
        # Every copy is a recording in itself; the hours are those of the corpus.
        seconds[clips[clip]] += rows * speed / 100 * config.mfcc.hop_length / SAMPLE_RATE / copies
    speakers: dict[str, set[str]] = defaultdict(set)
    for clip in seconds:
        if clip.corpus != NOISE:
            speakers[clip.corpus].add(clip.speaker)
    if len(set().union(*speakers.values()) - {""}) < 2:
        raise FileError(
            "expected at least two training speakers with speech, found fewer; "
            "give recordings with at least 0.3 s of speech each"
        )
    return {
        corpus: {
            "clips": sum(clip.corpus == corpus for clip in seconds),
            "speakers": len(names - {""}),
            "hours": round(sum(s for clip, s in seconds.items() if clip.corpus == corpus) / 3600, 3),
        }
        for corpus, names in sorted(speakers.items())
    }


def _train(training: "Pretraining", screen: Screen) -> None:
    config = training.config
    total = config.epochs * config.steps_per_epoch
    screen.say(f"{training.parameters:,} parameters, {training.classes} voices (speakers at every speed)")
    screen.progress("training", len(training.history) * config.steps_per_epoch, total)
    training.run(
        lambda done, loss: screen.progress("training", done, total, loss),
        lambda report: screen.epoch(report.epoch, config.epochs, report.loss, report.seconds, report.eer),
    )


def _facts(training: "Pretraining", heard: dict[str, dict[str, float]], noises: int) -> dict[str, Any]:
    """How a network was trained, on what, and how it fares, for its card."""
    return {
        "date": date.today().isoformat(),
        "epochs": training.config.epochs,
        "steps_per_epoch": training.config.steps_per_epoch,
        "seed": training.config.seed,
        "loss": training.history[-1].loss,
        "trained_on": heard,
        "noise_files": noises,
        "eer_2s": {t.corpus: t.figures() for t in training.trials()},
        "versions": {name: version(name) for name in ("keras", "numpy")},
    }


def _card(trained: "Trained", clips: list[Clip]) -> dict[str, Any]:
    """What the weights are and what they come from, for their manifest."""
    corpora = sorted({clip.corpus for clip in clips} - {NOISE})
    attribution = {corpus: ATTRIBUTION.get(corpus, "see the corpus") for corpus in corpora}
    return {"name": "livespeaker", "parameters": trained.parameters, **trained.card, "attribution": attribution}
