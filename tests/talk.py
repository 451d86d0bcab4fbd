"""The demo's people for the tests of the whole: what they say, a profile of them, and the command line."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile as sf

from model.confirm import Confirm
from model.encoder import Encoder
from model.enrol import Enrolment, References
from model.guests import Guests
from model.introduce import Introduce
from model.profile import BaseModel, Profile, Voice
from model.scoring import Scorer
from model.weights import Weights
from stream.clock import SAMPLE_RATE, seconds_to_samples
from stream.decide import Decide
from stream.demonstration import CONVERSATION, ENROLMENT
from stream.recognizer import Recognizer, Stages
from stream.records import Block, Gap, Turn

ROOT = Path(__file__).parents[1]
NAMES = tuple(ENROLMENT)


@functools.cache
def encoder() -> Encoder:
    return Encoder.load()


@functools.cache
def base() -> BaseModel:
    return BaseModel(encoder().weights.sha256, asdict(encoder().weights.mfcc))


def weights() -> Weights:
    return encoder().weights


@functools.cache
def _read(path: Path) -> np.ndarray:
    samples: np.ndarray
    samples, rate = sf.read(path, dtype="float32")
    assert rate == SAMPLE_RATE
    samples.flags.writeable = False
    return samples


def conversation(from_s: float = 0.0, to_s: float | None = None) -> np.ndarray:
    """Sally until 5.3 s, Rob from 5.9 to 10.3 s, Angus from 10.8 to 14.8 s, and so on."""
    return _read(CONVERSATION)[seconds_to_samples(from_s) : None if to_s is None else seconds_to_samples(to_s)]


def reading(name: str) -> np.ndarray:
    """What one of them reads to be enrolled: some 18 s."""
    return _read(ENROLMENT[name])


@functools.cache
def _learned(name: str) -> References:
    enrolment = Enrolment(encoder())
    for _ in enrolment.listen([Block(0, reading(name))], SAMPLE_RATE):
        pass
    return enrolment.finish()


def kept_speech() -> dict[str, list[np.ndarray]]:
    """By name, the recordings behind the references of all three."""
    return {name: _learned(name).audio for name in NAMES}


@functools.cache
def _enrolled(name: str) -> Voice:
    found = _learned(name)
    return Voice(name, found.vectors, found.speech_s, "2025-11-23T09:30:00+00:00", has_audio=False)


def voices() -> list[Voice]:
    return [_enrolled(name) for name in NAMES]


def write_profile(folder: Path) -> Path:
    """A new profile of all three, without their sound."""
    profile = Profile(folder, base())
    for voice in voices():
        profile.add(voice.name, voice.vectors, voice.speech_s)
    return folder


def stages(
    people: Sequence[Voice] | None = None, decide: Callable[[], Decide] = Decide, guests: Guests | None = None
) -> Stages:
    """Strangers are told apart only where there is somebody to remember them."""
    known = voices() if people is None else people
    introduce = (lambda: Introduce(guests, known, weights())) if guests else None
    return Stages(
        encoder().mfcc,
        encoder().stream,
        lambda: Scorer(known, weights()),
        decide,
        lambda: Confirm(known, weights(), guests=guests),
        introduce,
    )


def blocks(samples: np.ndarray, size: int, start: int = 0, rate: int = SAMPLE_RATE) -> Iterator[Block]:
    for at in range(0, len(samples), size):
        yield Block(start + at, samples[at : at + size], rate)


def recognize(sound: Iterable[Block], rate: int = SAMPLE_RATE, made_of: Stages | None = None) -> list[Turn | Gap]:
    """All events of a fresh recognizer, flushed."""
    recognizer = Recognizer(made_of or stages(), "test", rate)
    events = [event for block in sound for event in recognizer.push(block)]
    return events + recognizer.flush()


def final(events: Iterable[Turn | Gap]) -> list[Turn]:
    return [event for event in events if isinstance(event, Turn) and event.final]


def order(names: Iterable[str]) -> list[str]:
    """Who follows whom: a name that comes twice in a row counts once."""
    return [name for name, _ in groupby(names)]


def command(*arguments: str | Path) -> list[str]:
    """The command line, by the Python that runs the tests."""
    return [sys.executable, "-c", "from stream.cli import main; main()", *map(str, arguments)]


def livespeaker(
    *arguments: str | Path, env: dict[str, str] | None = None, stdin: bytes | None = None, timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, to its end; standard input is empty unless given."""
    done = subprocess.run(
        command(*arguments), env=os.environ | (env or {}), input=stdin or b"", capture_output=True, timeout=timeout
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, to see that nothing of it was lost or changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
