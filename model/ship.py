"""From a trained, fused network to a folder of weights: converted, given a cohort, calibrated, described."""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from model.calibration import Calibration, Fusion, fit_calibration
from model.cohort import embed_cohort, embed_strangers
from model.corpus import Clip, read_audio
from model.encoder import Encoder, HopSums, Pooling, add_up
from model.enrol import references
from model.feature_store import mel_filter_bank
from model.fusion import fit_on_households, no_fusion
from model.members import CONDITIONS, Member, split_member
from model.network import NetworkConfig, build_step, load_weights
from model.scoring import SNorm, mean_vector
from model.weights import FILES, load_weights_folder, write_manifest
from stream.clock import SAMPLE_RATE
from stream.errors import EnrolmentError, FileError, WeightsError
from stream.mfcc import MfccConfig

__all__ = ["calibrate", "export_step", "ship", "write_draft"]

CALIBRATED_HOPS = (3, 5, 10, 20, 40)  # lengths of tested windows
ENROLMENT_S = 15.0  # of speech behind a person in calibration, if there is as much
MIN_ENROLMENT_S = 4.0
ROOMS = 40  # simulated, that spoil some of the strangers
NOTHING = Calibration((1.0,), (1.0,), (0.0,))  # before there is one
TRIALS_PER_CORPUS = 4_000  # of each kind, so that no corpus drowns the others

Hops = list[tuple[Clip, list[HopSums]]]


def ship(
    weights: Mapping[str, NDArray[np.floating]],
    network: NetworkConfig,
    mfcc: MfccConfig,
    train: list[Clip],
    dev: list[Clip],
    card: dict[str, Any],
    folder: Path,
    *,
    rooms: int = ROOMS,
) -> None:
    """Write a folder of weights that `Encoder.load(folder)` reads.

    Args:
        weights: of the trained network, as `fused_weights` gives them.
        network: its shape.
        mfcc: the feature settings it was trained with.
        train: clips that it was trained on, for the cohort and the strangers.
        dev: clips by speakers it was not trained on, for the calibration.
        card: what it was trained on, figures, licence and attribution.
        folder: where to; weights that it holds are replaced, once these are whole.
        rooms: simulated rooms that some of the strangers are heard in.

    Raises:
        FileError: `dev` has too little speech to calibrate on.
        WeightsError: this backend cannot convert.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The cohort and the calibration are made through the weights as they are shipped, so these are described
    # before they are whole: elsewhere, where nobody takes them for finished ones.
    with TemporaryDirectory(prefix="livespeaker-ship-", ignore_cleanup_errors=True) as elsewhere:
        draft = Path(elsewhere)
        write_draft(weights, network, mfcc, card, draft)
        encoder_as_shipped = Encoder(load_weights_folder(draft))
        np.save(draft / "cohort.npy", embed_cohort(encoder_as_shipped, train))
        vectors, speech_s = embed_strangers(encoder_as_shipped, train, rooms=rooms)
        np.savez(draft / "strangers.npz", vectors=vectors, speech_s=speech_s)
        write_manifest(draft, mfcc, asdict(network), asdict(NOTHING), asdict(no_fusion(NOTHING)), card)
        calibration, fusion = calibrate(Encoder(load_weights_folder(draft)), dev)
        for name in FILES:  # killed here, the old manifest no longer fits: the folder is refused
            shutil.copyfile(draft / name, folder / name)
        write_manifest(folder, mfcc, asdict(network), asdict(calibration), asdict(fusion), card)


def write_draft(
    weights: Mapping[str, NDArray[np.floating]],
    network: NetworkConfig,
    mfcc: MfccConfig,
    card: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write a folder of weights that only embeds: its cohort, its strangers and its calibration say nothing.

    Args:
        weights: see `ship`, as are the others.
        network: the shape.
        mfcc: the feature settings.
        card: what it was trained on.
        folder: where to; it is there.

    Raises:
        WeightsError: this backend cannot convert.
    """
    np.savez(folder / "network.npz", **weights)  # type: ignore[arg-type] # numpy takes arrays by name
    np.save(folder / "mel.npy", mel_filter_bank(mfcc))
    export_step(network, weights, folder / "step.tflite")
    np.save(folder / "cohort.npy", np.ones((1, network.embedding), np.float16))
    np.savez(folder / "strangers.npz", vectors=np.ones((1, network.embedding), np.float16), speech_s=np.ones(1))
    write_manifest(folder, mfcc, asdict(network), asdict(NOTHING), asdict(no_fusion(NOTHING)), card)


def export_step(
    network: NetworkConfig, weights: Mapping[str, NDArray[np.floating]], path: Path, *, exact: bool = False
) -> None:
    """Convert the frame layers to LiteRT, through Keras's own export.

    Args:
        network: their shape.
        weights: see `fused_weights`.
        path: where to.
        exact: with 32 bits throughout. Unless told, matrices have 8 bits, and what is multiplied by one too: a third
            of the time, half the size, and embeddings whose cosine to the exact ones is 0.9993 on average.
    """
    if keras.backend.backend() != "tensorflow":
        raise WeightsError(
            f"expected the TensorFlow backend for the conversion to LiteRT, got {keras.backend.backend()}; "
            "train where you like, then run `livespeaker pretrain` again with KERAS_BACKEND=tensorflow to finish"
        )
    import tensorflow as tf

    step = build_step(network)
    load_weights(step, weights)
    step.export(
        path,
        format="litert",
        verbose=False,
        # Every size is known. Unless told, Keras leaves the first one open: two thirds of the operations count rows.
        input_signature=[{each.name: tf.TensorSpec(each.shape, name=each.name) for each in step.inputs}],
        optimizations=[] if exact else [tf.lite.Optimize.DEFAULT],
    )


def _clip_hops(encoder: Encoder, clips: list[Clip]) -> Hops:
    # The pooling sums of every clip that can be read.
    hops: Hops = []
    for clip in clips:
        try:
            hops.append((clip, encoder.hops(read_audio(clip.path), sample_rate=SAMPLE_RATE)))
        except FileError:
            continue
    return hops


def calibrate(encoder: Encoder, dev: list[Clip], *, seed: int = 0) -> tuple[Calibration, Fusion]:
    """Fit scores to log likelihood ratios on people who were enrolled as people are, and heard again.

    Each dev speaker is enrolled from one session (or some clips) and tested on windows from the others,
    and so is everybody else of the same corpus against them.
    """
    rng = np.random.default_rng(seed)
    people, passers_by = _dev_people(encoder, dev)
    scores: dict[int, list[NDArray[np.float32]]] = defaultdict(list)
    targets: dict[int, list[NDArray[np.bool_]]] = defaultdict(list)
    heard_s: dict[int, list[NDArray[np.float32]]] = defaultdict(list)
    for corpus in sorted({person.corpus for person in people}):
        known = [person for person in people if person.corpus == corpus]
        if len(known) < 2:
            continue
        score = SNorm(np.stack([person.centroid for person in known]), encoder.weights.cohort)
        heard = [*known, *(person for person in passers_by if person.corpus == corpus)]
        for n in CALIBRATED_HOPS:
            vectors, seconds = (np.concatenate(part) for part in zip(*(p.tests[n] for p in heard), strict=True))
            if not len(vectors):
                continue
            who = np.repeat(np.arange(len(heard)), [len(p.tests[n][0]) for p in heard])
            same = who[:, None] == np.arange(len(known))[None, :]
            scored = score(vectors)
            for kind in (same, ~same):
                chosen = rng.permutation(np.flatnonzero(kind))[:TRIALS_PER_CORPUS]
                scores[n].append(scored.ravel()[chosen])
                targets[n].append(same.ravel()[chosen])
            heard_s[n].append(seconds)
    lengths = [n for n in CALIBRATED_HOPS if n in scores and np.concatenate(targets[n]).any()]
    if not lengths:
        raise FileError(
            "expected dev speakers with at least 4 s of speech in one clip and more in another, found none; "
            "give a corpus with more speech per speaker"
        )
    calibration = fit_calibration(
        tuple(float(np.mean(np.concatenate(heard_s[n]))) for n in lengths),
        [np.concatenate(scores[n]) for n in lengths],
        [np.concatenate(targets[n]) for n in lengths],
    )
    fusion = fit_on_households(_dev_members(encoder, dev), encoder, CALIBRATED_HOPS, seed=seed)
    return calibration, fusion or no_fusion(calibration)


@dataclass(frozen=True, eq=False, slots=True)
class _Person:
    """A dev speaker, enrolled and heard again."""

    corpus: str
    centroid: NDArray[np.float32]  # (d,) unit length
    tests: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]  # by hops: embeddings (n, d), seconds (n,)


def _dev_members(encoder: Encoder, dev: list[Clip]) -> dict[str, list[Member]]:
    # By corpus, those with enough speech for a household, heard clean and spoilt.
    by_speaker: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in dev:
        by_speaker[clip.corpus, clip.speaker].append(clip)
    members: dict[str, list[Member]] = defaultdict(list)
    for i, ((corpus, name), clips) in enumerate(sorted(by_speaker.items(), key=lambda item: item[0])):
        with suppress(FileError, EnrolmentError):  # those that cannot be read were named before
            member = split_member(
                f"{corpus}/{name}", clips, encoder, seconds=ENROLMENT_S, conditions=[*CONDITIONS], seed=1_000 * i
            )
            members[corpus] += [member] if member else []
    return members


def _dev_people(encoder: Encoder, dev: list[Clip]) -> tuple[list[_Person], list[_Person]]:
    # Those who could be enrolled, and those who are only heard.
    pooling = Pooling(encoder.weights)
    by_speaker: dict[tuple[str, str], Hops] = defaultdict(list)
    for clip, hops in _clip_hops(encoder, dev):
        by_speaker[clip.corpus, clip.speaker].append((clip, hops))
    people: list[_Person] = []
    passers_by: list[_Person] = []
    for (corpus, _), clips in sorted(by_speaker.items(), key=lambda item: item[0]):
        enrolled, rest = _split(clips)
        _, vectors, speech_s = references((hop for hops in enrolled for hop in hops), pooling)
        enough = speech_s.sum() >= MIN_ENROLMENT_S
        centroid = mean_vector(vectors, speech_s) if enough else np.zeros(pooling.size, np.float32)
        tests = {n: _windows(rest, n, pooling) for n in CALIBRATED_HOPS}
        (people if enough else passers_by).append(_Person(corpus, centroid, tests))
    return people, passers_by


def _split(clips: Hops) -> tuple[list[list[HopSums]], list[list[HopSums]]]:
    # The first sessions to enrol from, until there is enough speech; the rest, at least the last, to test on.
    sessions: dict[str, list[list[HopSums]]] = defaultdict(list)
    for clip, hops in clips:
        sessions[clip.session].append(hops)
    *first, last = sessions.values()
    enrolled: list[list[HopSums]] = []
    rest = list(last)
    speech_s = 0.0
    for hops in (hops for session in first for hops in session):
        if speech_s < ENROLMENT_S:
            enrolled.append(hops)
            speech_s += sum(hop.speech for hop in hops) / 10
        else:
            rest.append(hops)
    return enrolled, rest


def _windows(clips: list[list[HopSums]], n: int, pooling: Pooling) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    # Embeddings and seconds of windows of n hops that are mostly speech, at most 50.
    found = [
        add_up(hops[at : at + n])
        for hops in clips
        for at in range(0, len(hops) - n + 1, n)
        if np.mean([hop.speech for hop in hops[at : at + n]]) > 0.7
    ]
    kept = found[:: max(1, len(found) // 50)][:50]
    return pooling.embed(np.array(kept).reshape(-1, pooling.n_sums))
