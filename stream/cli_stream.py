"""The command `evaluate stream`: conversations with a reference, recorded or simulated, through the whole path."""

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_shared import JsonOption, check_results, write_text
from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model.encoder import Encoder
    from model.head import Head
    from model.replays import Listen
    from model.voices import Voice

__all__ = ["stream"]

HALVES = {"all": slice(None), "tune": slice(0, None, 2), "report": slice(1, None, 2)}


def stream(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Households: enrol/NAME/ with recordings of each person; TALK.wav, TALK.rttm beside it."),
    ] = None,
    simulate: Annotated[
        Path | None,
        typer.Option("--simulate", metavar="CORPUS", help="Make conversations, of a folder per speaker or a manifest."),
    ] = None,
    conversations: Annotated[int, typer.Option(min=1, help="To make, of each corpus.")] = 16,
    half: Annotated[str, typer.Option(metavar="all|tune|report", help="The even ones, or the odd ones.")] = "all",
    no_speech: Annotated[
        float, typer.Option("--no-speech", metavar="MINUTES", min=0.0, help="Sound without speech to make, besides.")
    ] = 0.0,
    people: Annotated[int, typer.Option(min=1, help="Enrolled in each.")] = 4,
    strangers: Annotated[int, typer.Option(min=0, help="Not enrolled, in each.")] = 2,
    seconds: Annotated[float, typer.Option(min=10.0, help="Of each, at most.")] = 180.0,
    enrol_s: Annotated[float, typer.Option("--enrol-seconds", min=2.0, help="Of speech to enrol from.")] = 20.0,
    rooms: Annotated[bool, typer.Option(help="Half of them in simulated rooms.")] = True,
    noise: Annotated[
        Path | None, typer.Option("--noise", metavar="DIR", help="Noise recordings. [default: CORPUS/noise, if there]")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep what was made, as households.")
    ] = None,
    tune: Annotated[bool, typer.Option("--fine-tune", help="Also after fine-tuning.")] = False,
    peer: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Ask Resemblyzer too: the Python of where it is installed.")
    ] = None,
    json_file: JsonOption = None,
    seed: Annotated[int, typer.Option(help="Of what is made.")] = 0,
) -> None:
    """Follow conversations: who, how soon, and what is named that should not be, over a folder of them."""
    if (folder is None) == (simulate is None):
        raise UsageError("expected a folder of households or --simulate CORPUS, got both or neither; give one of them")
    if half not in HALVES:
        raise UsageError(f"expected --half to be all, tune or report, got {half!r}; leave it out for all")
    check_results(json_file, None)
    import json
    from dataclasses import asdict

    from rich.console import Console

    from model.encoder import Encoder
    from model.households import read_households, simulate_corpus
    from model.replays import Replays
    from model.simulate import SimulationConfig
    from model.stream_eval import COLLAR_S
    from model.stream_report import stream_tables
    from stream.training_screen import TrainingScreen

    encoder = Encoder.load()
    with TrainingScreen() as screen, tempfile.TemporaryDirectory(prefix="livespeaker-stream-") as made:
        replays = Replays(encoder, _listener(encoder), tune=tune, peer_python=peer, on_skip=screen.skip)
        if simulate:
            numbers = range(conversations)[HALVES[half]]
            quiet = range(math.ceil(no_speech * 60 / seconds))[HALVES[half]]
            config = SimulationConfig(people, strangers, seconds, enrol_s, rooms=rooms, seed=seed)
            done: Counter[str] = Counter()
            for household in simulate_corpus(
                simulate,
                config,
                keep or Path(made),
                numbers=numbers,
                quiet=quiet,
                noise=noise,
                on_skip=screen.skip,
            ):
                replays.hear(household)
                corpus = household.group.partition("/")[0]
                done[corpus] += 1
                screen.progress(corpus, done[corpus], len(numbers) + len(quiet))
                if not keep:
                    shutil.rmtree(household.folder)
        elif folder:
            households = read_households(folder)
            for i, household in enumerate(households):
                replays.hear(household)
                screen.progress("households", i + 1, len(households))
        figures = list(replays.figures())
    if json_file:
        about = {"format": 1, "weights": encoder.weights.sha256, "collar_s": COLLAR_S, "seed": seed}
        write_text(json_file, json.dumps(about | {"figures": [asdict(f) for f in figures]}, indent=2) + "\n")
    if json_file != "-":
        console = Console(markup=False, highlight=False)
        for table in stream_tables(figures):
            console.print(table)
        if tune:
            console.print(f"Fine-tuned heads that were taken: {replays.heads_taken} of {replays.heads}.")


def _listener(encoder: "Encoder") -> "Listen":
    # A recognizer over a whole conversation, and what the screen showed after every hop.
    from model.joined import stages_of
    from model.stream_eval import Heard
    from stream.recognizer import Recognizer
    from stream.records import Block, Turn

    def listen(people: "Sequence[Voice]", head: "Head | None", samples: "NDArray[np.float32]") -> Heard:
        recognizer = Recognizer(stages_of(encoder, people, head=head), "", SAMPLE_RATE)
        # Cut where a hop is complete, so that what it changes is seen at once.
        first = recognizer.latency_samples % HOP_SAMPLES
        events, shown = [], []
        for start, end in pairwise(dict.fromkeys([0, *range(first, len(samples), HOP_SAMPLES), len(samples)])):
            events += recognizer.push(Block(start, samples[start:end]))
            shown.append((end, recognizer.snapshot.current))
        events += recognizer.flush()
        return Heard([event for event in events if isinstance(event, Turn) and event.final], shown)

    return listen
