"""Whom `livespeaker evaluate identify` hears: people who are enrolled and strangers, from folders or a corpus."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.augment import add_noise, telephone
from model.corpus import Clip, people_in, read_audio, read_test_corpus
from model.encoder import Encoder, HopSums, Pooling, add_up
from model.enrol import Enrolment, References
from model.made_noise import KINDS, make_noise
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import EnrolmentError, FileError
from stream.records import Block
from stream.text import safe_text

__all__ = [
    "CONDITIONS",
    "Home",
    "Member",
    "hear_member",
    "last_session",
    "of_corpus",
    "of_folders",
    "split_member",
    "windows_of",
]

Floats = NDArray[np.float32]

NOISE_DB = 15.0
MIN_TEST_HOPS = 60  # of sound, for a speaker of a corpus to be in a household
MIN_SPEECH = 0.7  # mean probability of speech in a window that is judged
WINDOWS = 40  # of a speaker, a length and a condition, at most


def _noisy(samples: Floats, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    kind = KINDS[rng.integers(len(KINDS))]
    return add_noise(samples, make_noise(kind, seed=(seed, 1)), NOISE_DB, rng)


CONDITIONS: Mapping[str, Callable[[Floats, int], Floats]] = {
    "clean": lambda samples, _seed: samples,
    "noise": _noisy,
    "telephone": lambda samples, _seed: telephone(samples, "ULAW"),
}
"""What happens to the tested sound: nothing, made noise 15 dB below it, a telephone line."""


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """Somebody who is enrolled, or a stranger, who is not."""

    name: str
    enrolled: References | None
    tests: Mapping[str, list[list[HopSums]]]  # by condition, the hops of every recording that nothing was enrolled from


def hear_member(
    name: str,
    enrol: Sequence[Path],
    test: Sequence[Path],
    encoder: Encoder,
    *,
    conditions: Sequence[str] = ("clean",),
    seed: int = 0,
) -> Member:
    """Enrol somebody from some recordings and hear others.

    Args:
        name: whose recordings these are.
        enrol: files to enrol from; none for a stranger.
        test: files to test on.
        encoder: the network.
        conditions: what the tested sound goes through.
        seed: of noises.

    Raises:
        EnrolmentError: there is too little speech to enrol from.
        FileError: a recording cannot be read.
    """
    enrolment = Enrolment(encoder)
    for file in enrol:
        for _ in enrolment.listen([Block(0, read_audio(file))], SAMPLE_RATE):
            pass
    found = enrolment.finish() if enrol else None
    return Member(name, found, _tests([read_audio(file) for file in test], encoder, conditions, seed))


def split_member(
    name: str,
    clips: Sequence[Clip],
    encoder: Encoder,
    *,
    seconds: float,
    conditions: Sequence[str] = ("clean",),
    seed: int = 0,
) -> Member | None:
    """Enrol somebody from the first of their recordings, and hear the others; None where there is too little speech.

    Args:
        name: whose recordings these are.
        clips: in their order. Where they are of several sessions, the last one is only tested on, and alone.
        encoder: the network.
        seconds: of speech to enrol from.
        conditions: what the tested sound goes through.
        seed: of noises.

    Raises:
        EnrolmentError: the speech is clipped, or another voice is in it.
        FileError: a recording cannot be read.
    """
    last = last_session(clips)
    enrolment = Enrolment(encoder)
    rest: list[Floats] = []
    for clip in clips:
        samples = read_audio(clip.path)
        if clip.session != last and enrolment.progress.speech_s < seconds:
            blocks = [Block(at, samples[at : at + SAMPLE_RATE]) for at in range(0, len(samples), SAMPLE_RATE)]
            used = 0
            for progress in enrolment.listen(blocks, SAMPLE_RATE):
                used += SAMPLE_RATE
                if progress.speech_s >= seconds:
                    break
            samples = samples[used:]
            if last is None:
                rest.append(samples)
        elif last is None or clip.session == last:
            rest.append(samples)
    if enrolment.progress.speech_s < seconds:
        return None
    tests = _tests(rest, encoder, conditions, seed)
    enough = any(sum(map(len, recordings)) >= MIN_TEST_HOPS for recordings in tests.values())
    return Member(name, enrolment.finish(), tests) if enough else None


def last_session(clips: Sequence[Clip]) -> str | None:
    """The last session of a speaker's clips, which nobody is enrolled from; None where none is shared."""
    sessions = list(dict.fromkeys(clip.session for clip in clips))
    return sessions[-1] if 1 < len(sessions) < len(clips) else None


def _tests(
    recordings: Sequence[Floats], encoder: Encoder, conditions: Sequence[str], seed: int
) -> dict[str, list[list[HopSums]]]:
    return {
        condition: [
            encoder.hops(CONDITIONS[condition](samples, seed + i), sample_rate=SAMPLE_RATE)
            for i, samples in enumerate(recordings)
            if len(samples) >= HOP_SAMPLES
        ]
        for condition in conditions
    }


def windows_of(recordings: Sequence[Sequence[HopSums]], n: int, pooling: Pooling) -> tuple[Floats, Floats]:
    """Embeddings (m, d) and seconds of speech (m,) of windows of n hops, side by side and mostly speech.

    Recordings that are shorter are joined, without their silence.
    """
    found: list[NDArray[np.float64]] = []
    joined: list[HopSums] = []
    for hops in recordings:
        if len(hops) < n:
            joined += [hop for hop in hops if hop.speech >= MIN_SPEECH]
            continue
        for at in range(0, len(hops) - n + 1, n):
            window = hops[at : at + n]
            if np.mean([hop.speech for hop in window]) >= MIN_SPEECH:
                found.append(add_up(window))
    found += [add_up(joined[at : at + n]) for at in range(0, len(joined) - n + 1, n)]
    kept = found[:: max(1, len(found) // WINDOWS)][:WINDOWS]
    return pooling.embed(np.array(kept).reshape(-1, pooling.n_sums))


Home = tuple[Sequence[Member], Sequence[Member]]
"""The enrolled people of a household, and its strangers."""


def of_folders(
    people: Path,
    test: Path,
    strangers: Path | None,
    encoder: Encoder,
    conditions: Sequence[str],
    *,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Home:
    """One household, of folders of recordings: a folder per person in each.

    Args:
        people: whom to enrol, and from what.
        test: other recordings of the same people; whoever is in it alone is a stranger.
        strangers: more strangers.
        encoder: the network.
        conditions: what the tested sound goes through.
        on_done: called with (what, people done, people in all).

    Raises:
        EnrolmentError: somebody has too little speech to be enrolled.
        FileError: a folder or a recording cannot be read.
    """
    enrol, tests = people_in(people), people_in(test)
    others = people_in(strangers) if strangers else {}
    heard: list[tuple[str, Sequence[Path], Sequence[Path]]] = [
        (name, files, tests.get(name, [])) for name, files in enrol.items()
    ]
    heard += [(name, [], files) for name, files in tests.items() if name not in enrol]
    heard += [(name, [], files) for name, files in others.items()]
    members = []
    for i, (name, files, tested) in enumerate(heard):
        members.append(hear_member(name, files, tested, encoder, conditions=conditions, seed=1_000 * i))
        on_done("people", i + 1, len(heard))
    return members[: len(enrol)], members[len(enrol) :]


def of_corpus(
    corpus: Path,
    encoder: Encoder,
    conditions: Sequence[str],
    *,
    households: int,
    owners: int,
    strangers: int,
    seconds: float,
    seed: int,
    on_done: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    on_skip: Callable[[str], None] = lambda _: None,
) -> list[Home]:
    """Random households of the speakers of a corpus who have enough speech.

    Args:
        corpus: see `read_test_corpus`.
        encoder: the network.
        conditions: what the tested sound goes through.
        households: how many.
        owners: enrolled people in each.
        strangers: in each, at most.
        seconds: of speech to enrol from.
        seed: of the draw.
        on_done: called with (what, people done, people in all).
        on_skip: called with a line about everybody who cannot be enrolled or read.

    Raises:
        FileError: there are too few people.
    """
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in read_test_corpus(corpus):
        if clip.speaker:
            by_speaker[clip.speaker].append(clip)
    members = []
    for i, (name, clips) in enumerate(sorted(by_speaker.items())):
        try:
            member = split_member(name, clips, encoder, seconds=seconds, conditions=conditions, seed=1_000 * i)
            members += [member] if member else []
        except (FileError, EnrolmentError) as error:
            on_skip(f"{safe_text(name)} is left out: {error}")
        on_done("people", i + 1, len(by_speaker))
    if len(members) <= owners:
        raise FileError(
            f"expected more than {owners} people with {seconds:g} s of speech and more to test on in {corpus}, found "
            f"{len(members)}; give more recordings, or smaller --owners or --enrol-seconds"
        )
    rng = np.random.default_rng(seed)
    orders = [[members[i] for i in rng.permutation(len(members))] for _ in range(households)]
    return [(order[:owners], order[owners : owners + strangers]) for order in orders]
