"""The command that measures: `bench`."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli_shared import JsonOption, check_results, open_profile, write_text
from stream.errors import UsageError

if TYPE_CHECKING:
    from model.encoder import Encoder
    from model.profile import Profile
    from stream.bench import Growth, OnDone, Sound
    from stream.race import Way
    from stream.recognizer import Stages
    from stream.stopwatch import Stopwatch

__all__ = ["bench"]

PEOPLE = 1, 10, 100, 1_000
WINDOW_HOPS = 5, 10, 20, 40, 80, 160  # 0.5 to 16 s


def bench(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A recording of speech. [default: the demo's conversation]")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of sound, for each measurement.")] = 120.0,
    hours: Annotated[float, typer.Option("--hours", min=0.001, help="Of sound in a row, for memory and drift.")] = 1.0,
    peer: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Race Resemblyzer: the Python of where it is installed.")
    ] = None,
    naive: Annotated[
        bool, typer.Option("--naive", help="Race librosa's MFCC and the Keras network, computed for every window.")
    ] = False,
    json_file: JsonOption = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", metavar="DIR", help="The people to know. [default: the demo's]")
    ] = None,
) -> None:
    """What recognizing costs on this machine, by stage, people, window and length; against other ways."""
    from rich.console import Console

    from model.joined import stages_of
    from stream.bench import Sound, by_stage, many_streams
    from stream.bench_report import Bench, lines_and_tables, this_machine, to_json
    from stream.demonstration import CONVERSATION
    from stream.fresh_process import fresh_process
    from stream.soak import soak
    from stream.training_screen import TrainingScreen

    check_results(json_file, None)
    if str(file) == "-":
        raise UsageError("expected a file that can be heard again and again, got standard input; give a file's name")
    machine, heard = this_machine(), file or CONVERSATION
    sound = Sound(heard)
    with TemporaryDirectory(prefix="livespeaker-bench-") as folder:
        encoder, known = _people(profile, Path(folder) / "profile")
        with TrainingScreen(stopped="Nothing was kept.") as screen:
            done = screen.progress
            found = Bench(
                machine=machine,
                source=sound.name,
                rate=sound.rate,
                people=len(known.voices),
                ways=_ways(encoder, known, sound, seconds, peer, naive=naive, on_done=done),
                stages=by_stage(lambda watch: _watched(encoder, known, watch), sound, seconds, done),
                streams=many_streams(lambda: stages_of(encoder, known), sound, seconds / 4, done),
                growth=(*_by_people(encoder, sound, seconds, done), *_by_window(encoder, sound, seconds, done)),
                fresh=fresh_process(heard, profile or Path(folder) / "profile", done),
                soak=soak(lambda: stages_of(encoder, known), sound, hours * 3_600, done),
            )
    if json_file:
        write_text(json_file, to_json(found) + "\n")
    if json_file != "-":
        console = Console(markup=False, highlight=False, soft_wrap=True)
        for each in lines_and_tables(found):
            console.print(each)


def _people(profile: Path | None, folder: Path) -> "tuple[Encoder, Profile]":
    """The user's, or those of the demo, learned into a new profile in `folder`."""
    from model.joined import learn_voice
    from stream.demonstration import ENROLMENT
    from stream.replay import open_source

    encoder, known = open_profile(profile or folder)
    for name, file in ENROLMENT.items() if profile is None else ():
        found = learn_voice(encoder, open_source(file, None))
        known.add(name, found.vectors, found.speech_s)
    return encoder, known


def _watched(encoder: "Encoder", known: "Profile", watch: "Stopwatch") -> "Stages":
    """The stages of a session, each under its name."""
    from dataclasses import replace

    from model.encoder import FrameLayers, Pooling, StreamingEncoder
    from model.joined import stages_of

    plain, weights = stages_of(encoder, known), encoder.weights

    def watched(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *told, **named: watch.timed(name, make(*told, **named))

    def encode() -> StreamingEncoder:
        layers, pooling = (
            watched("frame layers", FrameLayers)(weights),
            watched("pooling, last layer", Pooling)(weights, speech=plain.decide().config.speech),
        )
        return StreamingEncoder(layers, pooling)

    return replace(
        plain,
        resampler=watched("resampling", plain.resampler),
        mfcc=watched("MFCC", plain.mfcc),
        encoder=encode,
        scorer=watched("scores", plain.scorer),
        decide=watched("decisions", plain.decide),
        confirm=plain.confirm and watched("whole turns", plain.confirm),
        guests=plain.guests and watched("guests", plain.guests),
        overlaps=plain.overlaps and watched("overlap", plain.overlaps),
    )


def _by_people(encoder: "Encoder", sound: "Sound", seconds: float, on_done: "OnDone") -> "tuple[Growth, ...]":
    """A hop with so many people, who are made up."""
    from itertools import islice

    import numpy as np

    from model.joined import stages_of
    from model.voices import Voice
    from stream.bench import grow, hops_of
    from stream.recognizer import Recognizer

    drawn = np.random.default_rng(0).normal(size=(max(PEOPLE), 1, encoder.size)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    voices = [
        Voice(f"person {i}", vectors, np.ones(1, np.float32), "", has_audio=False) for i, vectors in enumerate(drawn)
    ]

    def recognizer(n: int) -> Recognizer:
        return Recognizer(stages_of(encoder, voices[:n]), sound.name, sound.rate)

    hops = [*islice(sound.blocks(), hops_of(seconds))]
    return grow("people enrolled", {n: recognizer(n).push for n in PEOPLE}, hops, on_done)


def _by_window(encoder: "Encoder", sound: "Sound", seconds: float, on_done: "OnDone") -> "tuple[Growth, ...]":
    """What follows the frame layers, with one window of a length."""
    from model.encoder import Pooling
    from stream.bench import HOP_MS, grow, hops_of

    once = encoder.hops(sound.samples, sample_rate=sound.rate)
    hops = (once * (hops_of(seconds) // len(once) + 1))[: hops_of(seconds)]
    pooling = {n * HOP_MS / 1e3: Pooling(encoder.weights, (n,)).push for n in WINDOW_HOPS}
    return grow("window, s: pooling and last layer", pooling, hops, on_done)


def _ways(
    encoder: "Encoder",
    known: "Profile",
    sound: "Sound",
    seconds: float,
    peer: Path | None,
    *,
    naive: bool,
    on_done: "OnDone",
) -> "tuple[Way, ...]":
    """Ours against the others that were asked for."""
    import numpy as np

    from model.joined import stages_of
    from model.rival import open_rivals
    from stream.bench import hops_of
    from stream.clock import SAMPLE_RATE
    from stream.race import race
    from stream.recognizer import Recognizer
    from stream.records import Block
    from stream.resample import Resampler

    if peer is None and not naive:
        return ()
    resampler = Resampler(sound.rate)
    heard = [*resampler.push(Block(0, sound.samples, sound.rate)), *resampler.flush()]
    samples = np.concatenate([block.samples for block in heard])
    recognizer = Recognizer(stages_of(encoder, known), sound.name, SAMPLE_RATE)
    with open_rivals(samples, peer, naive=naive) as rivals:
        return race(recognizer.push, rivals, samples, hops_of(seconds), on_done)
