"""Conversations made from clips of single people: who speaks when is known to the sample.

Some of the speakers of a corpus are enrolled, from clips that the conversation does not hold, of other sessions where
there are any; others are strangers. They take turns, with pauses and some overlap, each at a level of their own. By its
number a conversation is clean or in noise, dry or in a room. Everything is drawn from one seed.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve  # type: ignore[import-untyped] # ships no types

from model.augment import add_noise, simulate_room
from model.corpus import Clip, read_audio
from model.made_noise import KINDS, make_noise
from model.members import last_session
from model.spoken_track import Said, SpokenTrack
from stream.clock import SAMPLE_RATE, seconds_to_samples
from stream.errors import FileError, UsageError
from stream.records import Turn

__all__ = ["Conversation", "SimulationConfig", "condition", "simulate", "speakers_of", "speech_free"]

Floats = NDArray[np.float32]

PAUSES_S = ((0.5, 0.1, 0.6), (0.3, 0.6, 1.5), (0.15, 0.0, 0.1), (0.05, 1.5, 4.0))
"""How long nobody speaks between two turns: (share, least, most)."""
OVERLAPS_S = (0.2, 1.0)
REFERENCE_PAUSE = SAMPLE_RATE // 2  # the reference bridges a shorter silence within a turn
SPEECH_DB = -26.0  # mean level of speech, relative to full scale
HISS = 1e-4  # amplitude of what a microphone hears in silence
LEAST_TALK_S = 12.0  # of speech, besides what was enrolled: three turns or more


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What conversations are like."""

    people: int = 4  # enrolled
    strangers: int = 2
    seconds: float = 180.0  # at most; shorter where its speakers have no more to say
    enrol_seconds: float = 20.0  # of speech
    turn_seconds: tuple[float, float] = (1.5, 8.0)  # shortest and longest turn
    overlap: float = 0.1  # share of the turns that begin before the last has ended
    level_db: float = 10.0  # between the loudest person and the quietest, at most
    snr_db: float = 15.0  # speech to noise, where there is noise
    rooms: bool = True  # half of the conversations are in a simulated room
    seed: int = 0

    def __post_init__(self) -> None:
        shortest, longest = self.turn_seconds
        if self.people < 1 or self.strangers < 0 or self.people + self.strangers < 2:
            raise UsageError(
                f"expected one person or more and two speakers in all, got {self.people} and {self.strangers} strangers"
            )
        if not (0.5 <= shortest <= longest <= self.seconds and 0 <= self.overlap <= 1 and self.enrol_seconds >= 2):
            raise UsageError(
                "expected turns of 0.5 s or more within the conversation, an overlap from 0 to 1 and 2 s or more to "
                f"enrol from, got {shortest:g} to {longest:g} s of {self.seconds:g} s, {self.overlap:g} and "
                f"{self.enrol_seconds:g} s; leave them at their defaults"
            )


@dataclass(frozen=True, eq=False, slots=True)
class Conversation:
    """Sound, who speaks in it, and what the people who are known are enrolled from."""

    samples: Floats  # (n,) mono at 16 kHz
    turns: list[Turn]  # the reference, ordered by start; strangers have names of their own
    enrol: Mapping[str, list[Floats]]  # by name, clips of whoever is enrolled


def condition(number: int, *, rooms: bool = True) -> str:
    """What conversation `number` goes through. Two in a row are alike, an even one to tune on and an odd one to report.

    >>> [condition(n) for n in (0, 1, 2, 3, 4, 6, 8)]
    ['clean', 'clean', 'noise', 'noise', 'room', 'noise-room', 'clean']
    """
    noisy, room = number // 2 % 2, rooms and number // 4 % 2
    return "-".join([*(["noise"] if noisy else []), *(["room"] if room else [])]) or "clean"


def speakers_of(clips: Sequence[Clip]) -> dict[str, dict[str, list[Clip]]]:
    """Clips by corpus and speaker; those without a speaker are left out."""
    found: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        if clip.speaker:
            found[clip.corpus][clip.speaker].append(clip)
    return {corpus: dict(speakers) for corpus, speakers in sorted(found.items())}


def simulate(
    corpus: str,
    speakers: Mapping[str, Sequence[Clip]],
    number: int,
    config: SimulationConfig,
    noises: Sequence[Floats] = (),
) -> Conversation:
    """Conversation `number` of a corpus.

    Args:
        corpus: its name, which the draw depends on.
        speakers: their clips, by name; all of one corpus, so that nobody is known by the channel.
        number: of the conversation; says what it goes through, see `condition`.
        config: what it is like.
        noises: recordings at 16 kHz that noise is drawn from; made ones without any.

    Raises:
        FileError: too few speakers have enough speech, or a clip cannot be read.
        UsageError: it is in a room, and pyroomacoustics is not installed.
    """
    rng = np.random.default_rng([config.seed, number, zlib.crc32(corpus.encode())])
    enrol, tracks = _cast(corpus, speakers, config, rng)
    where = condition(number, rooms=config.rooms)
    lines, turns = _talk(tracks, config, rng)
    if "room" in where:
        responses = simulate_room(len(tracks), rng)
        lines = [oaconvolve(line, room)[: len(line)] for line, room in zip(lines, responses, strict=True)]
    samples = np.sum(lines, axis=0).astype(np.float32)
    if "noise" in where:
        spoken = sum(end - start for start, end in _covered(turns)) / len(samples)
        noise = _noise(len(samples), noises, rng)
        # The level of speech is that of its own time, without the pauses.
        samples = add_noise(samples, noise, config.snr_db + 10 * float(np.log10(spoken)), rng)
    samples = samples + rng.normal(0.0, HISS, len(samples)).astype(np.float32)
    loudest = float(np.abs(samples).max())
    return Conversation(samples * np.float32(min(1.0, 0.95 / loudest)), turns, enrol)


def speech_free(
    corpus: str,
    speakers: Mapping[str, Sequence[Clip]],
    number: int,
    config: SimulationConfig,
    noises: Sequence[Floats] = (),
) -> Conversation:
    """People who are enrolled, and sound in which nobody speaks: recorded noise and made sounds, music above all.

    The arguments and errors are those of `simulate`.
    """
    rng = np.random.default_rng([config.seed, number, zlib.crc32(corpus.encode()), 1])
    enrol, _ = _cast(corpus, speakers, replace(config, strangers=max(1, config.strangers)), rng)
    pieces: list[Floats] = []
    order: list[int] = []
    wanted, at = seconds_to_samples(config.seconds), 0
    while at < wanted:
        if noises and len(pieces) % 2:
            order = order or [int(i) for i in rng.permutation(len(noises))]
            piece = noises[order.pop()]
        else:
            piece = make_noise(KINDS[rng.integers(len(KINDS))], seed=(int(rng.integers(2**31)),))
        pieces.append(_at_level(piece, rng.uniform(-45.0, -20.0)))
        at += len(piece)
    samples = np.concatenate(pieces)[:wanted] + rng.normal(0.0, HISS, wanted).astype(np.float32)
    return Conversation(np.clip(samples, -1, 1).astype(np.float32), [], enrol)


def _cast(
    corpus: str, speakers: Mapping[str, Sequence[Clip]], config: SimulationConfig, rng: np.random.Generator
) -> tuple[dict[str, list[Floats]], dict[str, SpokenTrack]]:
    # Who is in it, drawn among those with enough to say: what they are enrolled from, and what they say.
    wanted = config.people + config.strangers
    talk_s = max(LEAST_TALK_S, 2.0 * config.seconds / wanted)
    enrol: dict[str, list[Floats]] = {}
    tracks: dict[str, SpokenTrack] = {}
    names = sorted(speakers)
    for name in (names[i] for i in rng.permutation(len(names))):
        heard, track = _divide(speakers[name], config.enrol_seconds if len(enrol) < config.people else 0.0, talk_s, rng)
        if heard is None or track.left < LEAST_TALK_S * SAMPLE_RATE:
            continue
        if heard:
            enrol[name] = heard
        tracks[name] = track
        if len(tracks) == wanted:
            return enrol, tracks
    raise FileError(
        f"expected {wanted} speakers in {corpus} with {config.enrol_seconds:g} s of speech to enrol from and "
        f"{LEAST_TALK_S:g} s more, found {len(tracks)}; give more recordings, or fewer people"
    )


def _divide(
    clips: Sequence[Clip], enrol_s: float, talk_s: float, rng: np.random.Generator
) -> tuple[list[Floats] | None, SpokenTrack]:
    # Sessions, and clips within them, in a drawn order; None where there is too little to enrol from.
    sessions = list(dict.fromkeys(clip.session for clip in clips))
    rank = {sessions[i]: n for n, i in enumerate(rng.permutation(len(sessions)))}
    shuffled = [clips[i] for i in rng.permutation(len(clips))]
    ordered = sorted(shuffled, key=lambda clip: rank[clip.session])
    kept_apart = last_session(ordered)
    enrolled: list[Floats] = []
    used: set[str] = set()
    heard, track = SpokenTrack(), SpokenTrack()
    for clip in ordered:
        if heard.left < enrol_s * SAMPLE_RATE:
            if clip.session == kept_apart:
                return None, track
            samples = read_audio(clip.path)
            heard.add(samples)
            enrolled.append(samples)
            used.add(clip.session)
        elif (kept_apart is None or clip.session not in used) and track.left < talk_s * SAMPLE_RATE:
            track.add(read_audio(clip.path))
    return (enrolled if heard.left >= enrol_s * SAMPLE_RATE else None), track


def _talk(
    tracks: Mapping[str, SpokenTrack], config: SimulationConfig, rng: np.random.Generator
) -> tuple[list[Floats], list[Turn]]:
    # Everybody's sound, as long as the conversation, and the reference.
    levels = rng.uniform(-config.level_db / 2, config.level_db / 2, len(tracks))
    gains = {
        name: 10 ** ((SPEECH_DB + level) / 20) / track.power**0.5
        for (name, track), level in zip(tracks.items(), levels, strict=True)
    }
    said = list(_turns(tracks, config, rng))
    length = max(start + len(words.samples) for start, _, words in said) + SAMPLE_RATE
    lines = {name: np.zeros(length, np.float32) for name in tracks}
    turns: list[Turn] = []
    for start, name, words in said:
        lines[name][start : start + len(words.samples)] += np.float32(gains[name]) * words.samples
        turns += [Turn(start + a, start + b, name, 1.0, final=True) for a, b in _bridged(words.speech)]
    return list(lines.values()), sorted(turns, key=lambda turn: (turn.start, turn.end))


def _turns(
    tracks: Mapping[str, SpokenTrack], config: SimulationConfig, rng: np.random.Generator
) -> Iterator[tuple[int, str, Said]]:
    shortest, longest = (seconds_to_samples(s) for s in config.turn_seconds)
    at, floor, last = SAMPLE_RATE, 0, ""  # where the next turn may begin; nobody talks over two others
    counts = dict.fromkeys(tracks, 0)
    while True:
        able = [name for name, track in tracks.items() if name != last and track.left >= shortest]
        if not able:
            return
        # Mostly by how much each has to say; now and then whoever has said least, so that all take part.
        weights = np.array([tracks[name].left for name in able], np.float64)
        drawn = able[rng.choice(len(able), p=weights / weights.sum())]
        name = min(able, key=lambda name: counts[name]) if rng.random() < 0.35 else drawn
        words = tracks[name].take(int(rng.integers(shortest, longest + 1)), shortest)
        if words is None:
            return
        start = at
        if last and rng.random() < config.overlap:
            start = max(floor, at - seconds_to_samples(rng.uniform(*OVERLAPS_S)))
        elif last:
            shares = [share for share, _, _ in PAUSES_S]
            _, least, most = PAUSES_S[rng.choice(len(PAUSES_S), p=shares)]
            start = at + seconds_to_samples(rng.uniform(least, most))
        if start + len(words.samples) > seconds_to_samples(config.seconds) - SAMPLE_RATE:
            return
        yield start, name, words
        counts[name] += 1
        floor, at, last = at, max(at, start + len(words.samples)), name


def _bridged(speech: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    cuts = [i for i, (a, b) in enumerate(pairwise(speech), 1) if b[0] - a[1] >= REFERENCE_PAUSE]
    for first, end in pairwise([0, *cuts, len(speech)]):
        yield speech[first][0], speech[end - 1][1]


def _covered(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    covered: list[tuple[int, int]] = []
    for turn in turns:
        if covered and turn.start <= covered[-1][1]:
            covered[-1] = covered[-1][0], max(covered[-1][1], turn.end)
        else:
            covered.append((turn.start, turn.end))
    return covered


def _noise(n: int, noises: Sequence[Floats], rng: np.random.Generator) -> Floats:
    # One sound after the other, all alike in level.
    pieces: list[Floats] = []
    while sum(map(len, pieces)) < n:
        made = make_noise(KINDS[rng.integers(len(KINDS))], seed=(int(rng.integers(2**31)),))
        pieces.append(_at_level(noises[int(rng.integers(len(noises)))] if noises else made, -30.0))
    return np.concatenate(pieces)[:n]


def _at_level(samples: Floats, level_db: float) -> Floats:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return samples * np.float32(10 ** (level_db / 20) / max(power, 1e-12) ** 0.5)
