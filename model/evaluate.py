"""`livespeaker evaluate verify`: how well the encoder tells voices apart, on crops of a second or more.

Every figure is one corpus's own, on pairs of crops of one length. A peer is asked about the same crops in the
same run.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from model import peer
from model.corpus import Clip, read_audio
from model.encoder import Encoder
from model.enrol import embed_references
from model.metrics import bootstrap_eer, cllr, equal_error_rate, fit_llr, min_dcf
from model.other_python import other_python
from model.scoring import SNorm
from model.verify import Spoken, Trials, cosine, cut_stretches, make_trials
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import FileError

__all__ = [
    "PEER",
    "WHOLE",
    "Crop",
    "Figures",
    "Verification",
    "ask_peer",
    "cut_crops",
    "ratio_to_peer",
    "to_json",
    "verify",
]

# Ours as it scores live, against its cohort; its embeddings alone, for programs; and the peer.
OURS, COSINE, PEER = "livespeaker", "cosines", "resemblyzer"
WHOLE = 0.0  # stands for a whole clip where a length is wanted
MIN_WHOLE_S = 1.0  # of speech, for a clip to be tested as a whole
LONGEST_WHOLE_S = 30.0


@dataclass(frozen=True, eq=False, slots=True)
class Crop(Spoken):
    """A stretch of speech of one length, as sound."""

    samples: NDArray[np.float32]  # (n,), mono at 16 kHz


@dataclass(frozen=True, slots=True)
class Figures:
    """What one system came to on one corpus at one length."""

    system: str
    corpus: str
    seconds: float  # of a crop, or WHOLE
    speakers: int
    trials: int
    targets: int
    eer: float  # in [0, 1]
    eer_low: float  # of its 95 % interval over speakers
    eer_high: float
    min_dcf: float  # at a target probability of 0.01
    cllr: float  # in bits, calibrated on the other half of the speakers; 1 where that cannot be


@dataclass(frozen=True, eq=False, slots=True)
class Verification:
    """All figures, and the scores that they come from."""

    figures: list[Figures]
    trials: Mapping[tuple[str, str, float], Trials]  # by system, corpus and seconds


def cut_crops(
    clips: Sequence[Clip],
    lengths: Sequence[float],
    encoder: Encoder,
    *,
    per_speaker: int = 40,
    seed: int = 0,
    on_done: Callable[[int], None] = lambda _: None,
    on_skip: Callable[[str], None] = lambda _: None,
) -> dict[float, list[Crop]]:
    """Crops of every length, as `cut_stretches` finds them.

    Args:
        clips: by any speakers; one without a name is left out.
        lengths: in seconds, or WHOLE.
        encoder: hears where there is speech.
        per_speaker: at most so many crops of a speaker and a length, drawn at random.
        seed: of that draw.
        on_done: called with the number of clips that are done.
        on_skip: called with a line about every clip that cannot be read or is a copy of another.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.speaker:
            by_speaker[clip.corpus, clip.speaker].append(clip)
    crops: dict[float, list[Crop]] = {length: [] for length in lengths}
    copies: dict[bytes, Path] = {}
    done = 0
    for (corpus, speaker), spoken in sorted(by_speaker.items(), key=lambda item: item[0]):
        heard: _Heard = []
        for clip in spoken:
            try:
                samples = read_audio(clip.path)
                first = copies.setdefault(hashlib.sha256(samples.tobytes()).digest(), clip.path)
                if first == clip.path:
                    heard.append((clip.session, samples, _speech(encoder, samples)))
                else:  # a recording compared with itself is like itself
                    on_skip(f"expected every recording once, {clip.path} is a copy of {first}; remove one of them")
            except FileError as error:
                on_skip(str(error))
            done += 1
            on_done(done)
        for length in lengths:
            found = list(_whole(heard) if length == WHOLE else _cut(heard, round(length * SAMPLE_RATE)))
            for i in sorted(rng.permutation(len(found))[:per_speaker]):
                sessions, samples = found[i]
                crops[length].append(Crop(corpus, speaker, sessions, samples.copy()))
    return crops


def _speech(encoder: Encoder, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.array([hop.speech for hop in encoder.hops(samples, sample_rate=SAMPLE_RATE)], np.float32)


_Heard = list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]
_Found = Iterator[tuple[frozenset[str], NDArray[np.float32]]]


def _cut(heard: _Heard, n: int) -> _Found:
    lengths = [(len(samples), speech) for _, samples, speech in heard]
    for stretch in cut_stretches(lengths, n, unit=HOP_SAMPLES):
        sessions = frozenset(heard[clip][0] for clip, _ in stretch)
        yield sessions, np.concatenate([heard[clip][1][cut] for clip, cut in stretch])


def _whole(heard: _Heard) -> _Found:
    for session, samples, speech in heard:
        if speech.sum() * HOP_SAMPLES >= MIN_WHOLE_S * SAMPLE_RATE:
            yield frozenset([session]), samples[: round(LONGEST_WHOLE_S * SAMPLE_RATE)]


def verify(
    crops: Mapping[float, Sequence[Crop]],
    encoder: Encoder,
    *,
    peer_python: Path | None = None,
    seed: int = 0,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Verification:
    """Score every pair of crops of a length within a corpus.

    Args:
        crops: by length, as `cut_crops` gives them.
        encoder: the network.
        peer_python: the Python of an environment that has Resemblyzer, to ask it as well.
        seed: of the bootstrap.
        on_done: called with (system, crops done, crops in all).

    Raises:
        FileError: there is no pair of two speakers and none of one.
        UsageError: the peer cannot be asked.
    """
    every = [crop for of_length in crops.values() for crop in of_length]
    ours = list(_ours(every, encoder, lambda done: on_done(OURS, done, len(every))))

    def against_cohort(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
        return SNorm(vectors, encoder.weights.cohort)(vectors.astype(np.float32))

    systems: dict[str, tuple[list[NDArray[np.float32]], Callable[[NDArray[np.floating]], NDArray[np.floating]]]]
    systems = {OURS: (ours, against_cohort), COSINE: (ours, cosine)}
    if peer_python is not None:
        crops_heard = [crop.samples for crop in every]
        theirs = ask_peer(crops_heard, peer_python, lambda done: on_done(PEER, done, len(every)))
        systems[PEER] = theirs, cosine
    figures, trials = [], {}
    for system, (vectors, score) in systems.items():
        at = 0
        for length, of_length in crops.items():
            here = np.stack(vectors[at : at + len(of_length)]) if of_length else np.empty((0, 1))
            at += len(of_length)
            for scored in make_trials(of_length, here, score):
                trials[system, scored.corpus, length] = scored
                figures.append(_figures(system, length, scored, seed))
    if not figures:
        raise FileError(
            "expected two speakers with two recordings of enough speech each, found fewer; "
            "give more recordings, or shorter --seconds"
        )
    order = list(systems)
    return Verification(sorted(figures, key=lambda f: (f.corpus, f.seconds or np.inf, order.index(f.system))), trials)


def _ours(crops: Sequence[Crop], encoder: Encoder, on_done: Callable[[int], None]) -> Iterator[NDArray[np.float32]]:
    for i, crop in enumerate(crops):
        vectors, _ = embed_references(encoder, crop.samples)
        on_done(i + 1)
        yield vectors[0]  # all zeros where no speech was heard: as like to one as to another


def ask_peer(
    crops: Sequence[NDArray[np.float32]], python: Path, on_done: Callable[[int], None] = lambda _: None
) -> list[NDArray[np.float32]]:
    """What Resemblyzer makes of some sound: (256,) of unit length for each.

    Args:
        crops: (n,) each, mono at 16 kHz.
        python: of an environment that has it.
        on_done: called with the number of crops that are done.

    Raises:
        UsageError: it cannot be asked.
    """
    with TemporaryDirectory(prefix="livespeaker-peer-") as folder:
        asked, said = Path(folder, "crops.npz"), Path(folder, "vectors.npz")
        np.savez(asked, samples=np.concatenate(crops), lengths=[len(crop) for crop in crops])
        # -I: else the names of this package's files would hide those of the standard library.
        with other_python(python, ["-I", str(peer.__file__), str(asked), str(said)], "Resemblyzer") as process:
            for line in process.stdout or ():
                on_done(int(line) if line.strip().isdecimal() else 0)
        with np.load(said, allow_pickle=False) as arrays:
            on_done(len(crops))
            return list(arrays["vectors"])


def _figures(system: str, seconds: float, trials: Trials, seed: int) -> Figures:
    low, high = bootstrap_eer(trials.scores, trials.target, trials.pair, seed=seed)
    return Figures(
        system,
        trials.corpus,
        seconds,
        trials.speakers,
        len(trials.scores),
        int(trials.target.sum()),
        equal_error_rate(trials.scores, trials.target),
        low,
        high,
        min_dcf(trials.scores, trials.target),
        _fair_cllr(trials, seed),
    )


def _fair_cllr(trials: Trials, seed: int) -> float:
    # Calibrated on one half of the speakers and judged on the other, both ways.
    half = np.random.default_rng(seed).permutation(trials.speakers) < trials.speakers // 2
    sides = [(half[trials.pair] == side).all(axis=1) for side in (False, True)]
    costs = []
    for learn, judge in (sides, sides[::-1]):
        if any(len(set(trials.target[side])) < 2 for side in (learn, judge)):
            return 1.0
        slope, offset = fit_llr(trials.scores[learn], trials.target[learn])
        costs.append(cllr(slope * trials.scores[judge] + offset, trials.target[judge]))
    return float(np.mean(costs))


def ratio_to_peer(figures: Sequence[Figures]) -> dict[str, float]:
    """EER of ours over the peer's, the geometric mean over lengths but whole clips, by corpus; "" is over all.

    An error rate below half a trial is taken for half a trial: two perfect systems are alike.
    """
    by_key = {(f.system, f.corpus, f.seconds): f for f in figures}
    logs: dict[str, list[float]] = defaultdict(list)
    for (system, corpus, seconds), ours in by_key.items():
        theirs = by_key.get((PEER, corpus, seconds))
        if system == OURS and theirs and seconds != WHOLE:
            least = 0.5 / ours.targets
            logs[corpus].append(float(np.log(max(ours.eer, least) / max(theirs.eer, least))))
    ratios = {corpus: float(np.exp(np.mean(of))) for corpus, of in logs.items()}
    return ratios | ({"": float(np.exp(np.mean([x for of in logs.values() for x in of])))} if logs else {})


def to_json(verification: Verification, about: Mapping[str, object]) -> str:
    """Everything but the scores, as JSON."""
    figures = [asdict(f) | {"seconds": f.seconds or None} for f in verification.figures]
    ratios = {corpus or "all": round(ratio, 4) for corpus, ratio in ratio_to_peer(verification.figures).items()}
    return json.dumps({"format": 1, **about, "figures": figures, "eer_over_peer": ratios}, indent=2)
