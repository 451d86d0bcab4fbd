"""The command line: parse, open, call, print, exit code. Only here and in `cli_*.py` does `stream` meet `model`.

Imports that cost time are made by the command that needs them: `--help` is there at once.
"""

import gc
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stream.cli_adopt import adopt
from stream.cli_bench import bench
from stream.cli_config import config_path, defaults_for, read_config
from stream.cli_keys import abilities
from stream.cli_learning import evaluate, pretrain
from stream.cli_outputs import Shown, run_shown, shown_options
from stream.cli_people import enrol, enroll, export, fine_tune, speakers
from stream.cli_shared import (
    DeviceOption,
    ProfileOption,
    SpeechOption,
    SpeedOption,
    UnknownOption,
    called,
    can_draw,
    device_of,
    hush,
    open_closed_streams,
    open_profile,
    say,
    speed_of,
)
from stream.errors import LivespeakerError, ReaderGoneError
from stream.text import safe_text

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Who is speaking, live from the microphone, on your own machine.",
    epilog="Begin with: livespeaker demo",
)


def main() -> NoReturn:
    """Run the command line; errors of the user's or the data's end with one line and exit code 1."""
    open_closed_streams()
    # For products as small as a hop's, a second thread costs more than it brings. NumPy reads this when it is imported,
    # which is later: by OpenBLAS, and by Accelerate on macOS.
    for library in ("OPENBLAS", "VECLIB_MAXIMUM"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    try:
        app(default_map=_defaults())
    except ReaderGoneError:
        sys.exit(0)  # whoever read our output has enough
    except LivespeakerError as error:
        print(f"livespeaker: {error}", file=sys.stderr)  # noqa: T201 - a command line talks
        sys.exit(1)
    finally:
        gc.freeze()  # at its exit Python would look for cycles in all of TensorFlow, for 2 s
    sys.exit(0)


def _defaults() -> dict[str, object]:
    asks = {"--help", "--version", "--show-completion", "--install-completion"}  # a bad file must not keep help away
    if asks.intersection(sys.argv) or "_LIVESPEAKER_COMPLETE" in os.environ:
        return {}
    return defaults_for(typer.main.get_command(app), read_config(config_path()))


def _tell_version(wanted: bool) -> None:
    if not wanted:
        return
    import model

    manifest = json.loads((Path(model.__file__).parent / "weights" / "manifest.json").read_text(encoding="utf-8"))
    sys.stdout.write(f"livespeaker {version('livespeaker')}, weights {manifest['sha256']['network.npz'][:12]}\n")
    raise typer.Exit


@app.callback()
def everywhere(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Nothing on standard error but what went wrong.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Of the program and the weights.")
    ] = False,
) -> None:
    """Who is speaking, live from the microphone, on your own machine."""
    if quiet:
        hush()


@app.command()
@shown_options
def demo(
    *,
    speed: Annotated[
        str | None, typer.Option("--speed", metavar="1|N|max", help="[default: 1 with a dashboard, max without]")
    ] = None,
    shown: Shown,
) -> None:
    """A bundled (synthetic) conversation through the whole path; no microphone, nothing to prepare."""
    import tempfile

    from model.joined import stages_of
    from stream.demonstration import CONVERSATION, ENROLMENT, Collect, report
    from stream.replay import open_source

    screen = shown.dashboard
    with tempfile.TemporaryDirectory(prefix="livespeaker-demo-") as folder:
        encoder, profile = open_profile(Path(folder) / "profile")
        for name, file in ENROLMENT.items():
            say(f"Enrolling {name} from {file.name}")
            enrol(encoder, profile, name, [open_source(file, None)])
        say("Four synthetic voices talk for about a minute. One of them was never enrolled.\n")
        collect = Collect()
        pace = speed_of(speed or ("1" if screen else "max"))
        run_shown(
            lambda: open_source(CONVERSATION, pace),
            stages_of(encoder, profile),
            shown,
            collect,
            able=lambda source: abilities(encoder, Path(folder) / "profile", source),
        )
    for line in report(collect, called()):
        say(line)


@app.command()
def devices(
    levels: Annotated[
        bool | None, typer.Option("--levels/--plain", help="How loud each of them is now. [default: in a terminal]")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The sound inputs, the default marked with *, and how loud each is now: speak, and see which one moves."""
    from rich.console import Console
    from rich.table import Table

    from stream.devices import list_inputs

    inputs = list_inputs()
    if json_output:
        # Schema 1: as that of `speakers list`.
        found = [
            {"index": d.index, "name": d.name, "host": d.host_api, "channels": d.channels, "rate": d.rate}
            | {"default": d.is_default}
            for d in inputs
        ]
        sys.stdout.write(json.dumps({"schema": 1, "devices": found}) + "\n")
        return
    console = Console(markup=False, highlight=False)
    if levels or (levels is None and can_draw()):
        from stream.device_screen import watch_devices

        watch_devices(inputs, console)
        return
    table = Table("", "N", "Name", "Host", "Channels", "Rate", box=None, pad_edge=False)
    for device in inputs:
        table.add_row(
            "*" if device.is_default else "",
            str(device.index),
            safe_text(device.name),
            device.host_api,
            str(device.channels),
            f"{device.rate:.0f} Hz",
        )
    console.print(table)


app.command()(enroll)
app.command("fine-tune")(fine_tune)


@app.command()
@shown_options
def live(
    *,
    device: DeviceOption = None,
    profile: ProfileOption = None,
    unknown: UnknownOption = 0.65,
    speech: SpeechOption = 0.5,
    shown: Shown,
) -> None:
    """Who is speaking into the microphone, until Ctrl-C."""
    from model.joined import stages_of
    from stream.decide import DecisionConfig
    from stream.steady_microphone import SteadyMicrophone

    encoder, known = open_profile(profile, needed=True)
    run_shown(
        lambda: SteadyMicrophone(device_of(device)),
        stages_of(encoder, known, DecisionConfig(unknown_prior=unknown, speech=speech)),
        shown,
        waits=False,
        able=lambda source: abilities(encoder, profile, source),
    )


@app.command()
@shown_options
def replay(
    *,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="A recording; - is raw s16le 16 kHz or WAV on standard input.")
    ],
    speed: SpeedOption = "1",
    profile: ProfileOption = None,
    unknown: UnknownOption = 0.65,
    speech: SpeechOption = 0.5,
    shown: Shown,
) -> None:
    """The same path from a recording, as if it were live."""
    from model.joined import stages_of
    from stream.decide import DecisionConfig
    from stream.replay import open_source

    pace = speed_of(speed)
    shown.keep(file)
    encoder, known = open_profile(profile, needed=True)
    run_shown(
        lambda: open_source(file, pace),
        stages_of(encoder, known, DecisionConfig(unknown_prior=unknown, speech=speech)),
        shown,
        able=lambda source: abilities(encoder, profile, source),
    )


speakers.command()(adopt)
app.add_typer(speakers, name="speakers")
app.command()(pretrain)
app.add_typer(evaluate, name="evaluate")
app.command()(export)
app.command()(bench)
