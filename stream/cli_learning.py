"""The commands that train and measure: `pretrain` and `evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_shared import JsonOption, check_results, say, write_text
from stream.cli_stream import stream

__all__ = ["evaluate", "pretrain"]

MOST_COLUMNS = 12  # people in a matrix of 80 columns


def pretrain(
    corpus: Annotated[Path, typer.Option("--corpus", metavar="DIR", help="A folder per speaker, or a manifest.csv.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the weights go.")],
    work: Annotated[Path, typer.Option("--work", metavar="DIR", help="Features and checkpoints; run again to go on.")],
    noise: Annotated[
        Path | None, typer.Option("--noise", metavar="DIR", help="Noise recordings. [default: CORPUS/noise, if there]")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", metavar="FILE", help="Learn from other encoders' embeddings too."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option("--network", metavar="FILE", help="Trained elsewhere: only convert, calibrate and describe it."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times that --steps batches are seen.")] = 35,
    steps: Annotated[int, typer.Option(min=1, help="Batches in an epoch.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a batch.")] = 128,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 where that is faster: on a GPU, or a processor with AMX.")
    ] = "float32",
) -> None:
    """Train the network from a corpus of speech; killed, it goes on where it was."""
    from model.recipe import pretrain as run
    from stream.training_screen import TrainingScreen

    how = {"epochs": epochs, "steps_per_epoch": steps, "batch_size": batch, "seed": seed, "precision": precision}
    with TrainingScreen(stopped="What is finished is kept: run the same command again to go on.") as screen:
        run(corpus, out, work, noise, how, screen=screen, teacher=teacher, network=network)
    say(f"The weights are in {out}. Read manifest.json for what they can do.")


evaluate = typer.Typer(help="Measure on recordings of your own.", no_args_is_help=True)
evaluate.command()(stream)


@evaluate.command()
def verify(
    corpus: Annotated[Path, typer.Argument(help="A folder per speaker, or a manifest.csv, of which `dev` is taken.")],
    seconds: Annotated[list[float], typer.Option("--seconds", min=0.2, help="Length of the crops; several add up.")] = [  # noqa: B006 - Typer copies it
        1.0,
        2.0,
        3.0,
    ],
    whole: Annotated[bool, typer.Option(help="Compare whole clips as well.")] = True,
    per_speaker: Annotated[int, typer.Option(min=2, help="Crops of a speaker and a length, at most.")] = 40,
    weights: Annotated[Path | None, typer.Option(metavar="DIR", help="Other weights than the shipped ones.")] = None,
    peer: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Ask Resemblyzer too: the Python of where it is installed.")
    ] = None,
    json_file: JsonOption = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="DET curves and histograms, as PNG.")] = None,
    seed: Annotated[int, typer.Option(help="Of the crops and the intervals.")] = 0,
) -> None:
    """Tell voices apart by crops of speech: equal error rate, detection cost and Cllr, per corpus."""
    from rich.console import Console

    from model.corpus import read_test_corpus
    from model.encoder import Encoder
    from model.evaluate import WHOLE, cut_crops, to_json
    from model.evaluate import verify as run
    from model.pictures import draw_verification
    from model.report import table
    from stream.training_screen import TrainingScreen

    check_results(json_file, plots)
    encoder = Encoder.load(weights) if weights else Encoder.load()
    clips = read_test_corpus(corpus)
    lengths = [*dict.fromkeys(seconds), *([WHOLE] if whole else [])]
    named = sum(bool(clip.speaker) for clip in clips)
    with TrainingScreen() as screen:
        crops = cut_crops(
            clips,
            lengths,
            encoder,
            per_speaker=per_speaker,
            seed=seed,
            on_done=lambda done: screen.progress("crops", done, named),
            on_skip=screen.skip,
        )
        found = run(crops, encoder, peer_python=peer, seed=seed, on_done=screen.progress)
    if json_file:
        about = {"weights": encoder.weights.sha256, "seed": seed, "per_speaker": per_speaker}
        text = to_json(found, about) + "\n"
        write_text(json_file, text)
    if json_file != "-":
        Console(markup=False, highlight=False).print(table(found.figures))
    for picture in draw_verification(found, plots) if plots else ():
        say(f"Drawn: {picture}")


@evaluate.command()
def identify(
    people: Annotated[
        Path,
        typer.Argument(help="A folder per person to enrol from; without --test, a corpus to draw households from."),
    ],
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="DIR", help="More recordings of them, a folder per person."),
    ] = None,
    strangers: Annotated[
        Path | None, typer.Option("--strangers", metavar="DIR", help="Recordings of others, a folder per person.")
    ] = None,
    homes: Annotated[int, typer.Option("--households", min=1, help="Drawn from a corpus.")] = 10,
    owners: Annotated[int, typer.Option("--owners", min=1, help="Enrolled in each of them.")] = 5,
    guests: Annotated[int, typer.Option("--guests", min=1, help="Strangers to each of them.")] = 10,
    enrol_s: Annotated[float, typer.Option("--enrol-seconds", min=2.0, help="Of speech to enrol from.")] = 20.0,
    seconds: Annotated[list[float], typer.Option("--seconds", min=0.5, help="Of the windows; several add up.")] = [  # noqa: B006 - Typer copies it
        1.0,
        2.0,
        3.0,
    ],
    tune: Annotated[bool, typer.Option(help="Also after fine-tuning.")] = True,
    spoilt: Annotated[bool, typer.Option("--spoilt", help="Also in noise and over a telephone line.")] = False,
    json_file: JsonOption = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Who was taken for whom, and reliability, as PNG.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the households.")] = 0,
) -> None:
    """Are people given their own names, and strangers none: per window, before and after fine-tuning."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from model.encoder import Encoder
    from model.identify import confusion, figures
    from model.identify import identify as run
    from model.members import CONDITIONS, of_corpus, of_folders
    from model.pictures import draw_identification
    from model.report import confusion_table, identification_table, mistakes_table
    from stream.training_screen import TrainingScreen

    check_results(json_file, plots)
    encoder = Encoder.load()
    conditions = [*CONDITIONS] if spoilt else ["clean"]
    with TrainingScreen() as screen:
        if test:
            drawn = [of_folders(people, test, strangers, encoder, conditions, on_done=screen.progress)]
        else:
            drawn = of_corpus(
                people,
                encoder,
                conditions,
                households=homes,
                owners=owners,
                strangers=guests,
                seconds=enrol_s,
                seed=seed,
                on_done=screen.progress,
                on_skip=screen.skip,
            )
        judged = run(
            drawn, encoder, lengths=seconds, tune=tune, on_done=lambda done: screen.progress("homes", done, len(drawn))
        )
    found = figures(judged)
    if json_file:
        about = {"format": 1, "weights": encoder.weights.sha256, "seed": seed}
        write_text(json_file, json.dumps(about | {"figures": [asdict(f) for f in found]}, indent=2) + "\n")
    if json_file != "-":
        console = Console(markup=False, highlight=False)
        console.print(identification_table(found))
        middle = sorted(set(seconds))[len(set(seconds)) // 2]
        looked_at = [f for f in found if (f.condition, f.seconds) == ("clean", middle)]
        names = confusion(looked_at[0])[0]
        console.print(f"Who was taken for whom in {middle:g} s, by {' > '.join(f.system for f in looked_at)}:")
        show = confusion_table if len(names) <= MOST_COLUMNS else mistakes_table
        console.print(show(names, confusion(looked_at[0])[1], confusion(looked_at[-1])[1]))
    for picture in draw_identification(found, plots) if plots else ():
        say(f"Drawn: {picture}")
