"""What an evaluation came to, for eyes: a table in the terminal, pictures in files."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from model.evaluate import WHOLE, Figures, Verification, ratio_to_peer
from model.identify import Figures as Identified
from model.members import CONDITIONS
from model.metrics import detection_curve
from model.outcome import Outcome
from model.verify import Trials
from stream.errors import OutputError
from stream.records import UNKNOWN
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_table", "draw", "draw_confusion", "identification_table", "outcomes_table", "table"]

DET_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # marked on both axes


def length_name(seconds: float) -> str:
    """A length of crop in words.

    >>> length_name(1.0), length_name(WHOLE)
    ('1 s', 'whole')
    """
    return "whole" if seconds == WHOLE else f"{seconds:g} s"


def table(figures: Sequence[Figures]) -> Table:
    """A line for each corpus, length and system, and last the ratios to the peer, if there is one.

    `Same` counts the trials of one speaker, `DCF` is the least detection cost at a target probability of 0.01.
    """
    # Narrow enough for 80 columns with corpora of 15 letters: what is cut off cannot be read.
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("Corpus", "Length", "System"):
        shown.add_column(column, no_wrap=True)
    for column in ("Spk", "Trials", "Same", "EER %", "95 %", "DCF", "Cllr"):
        shown.add_column(column, justify="right", no_wrap=True)
    for f in figures:
        shown.add_row(
            safe_text(f.corpus),
            length_name(f.seconds),
            f.system,
            str(f.speakers),
            str(f.trials),
            str(f.targets),
            f"{100 * f.eer:.1f}",
            f"{100 * f.eer_low:.1f}-{100 * f.eer_high:.1f}",
            f"{f.min_dcf:.2f}",
            f"{f.cllr:.2f}",
        )
    for corpus, ratio in ratio_to_peer(figures).items():
        name = safe_text(corpus) or "all corpora"
        shown.add_row(name, "crops", "ratio", "", "", "", f"{ratio:.2f}", style="bold" if not corpus else "")
    return shown


def draw(verification: Verification, folder: Path) -> list[Path]:
    """A DET curve (Martin et al., 1997) and a histogram of the scores for each length; the files.

    Raises:
        OutputError: the folder cannot be written.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    by_length: dict[float, dict[tuple[str, str], Trials]] = defaultdict(dict)
    for (system, corpus, seconds), trials in verification.trials.items():
        by_length[seconds][system, corpus] = trials
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for seconds, of_length in sorted(by_length.items(), key=lambda item: item[0] or np.inf):
            systems = list(dict.fromkeys(system for system, _ in of_length))
            corpora = sorted({corpus for _, corpus in of_length})
            figure, (det, *histograms) = pyplot.subplots(
                1,
                1 + len(systems),
                figsize=(4 * (2 + len(systems)), 7),
                layout="constrained",
                width_ratios=(2, *[1] * len(systems)),
            )
            for system, line, axes in zip(systems, ("-", "--", ":"), histograms, strict=False):
                for i, corpus in enumerate(corpora):
                    if trials_here := of_length.get((system, corpus)):
                        label = f"{corpus}, {system}: {100 * trials_here.eer:.1f} %"
                        _draw_curve(det, trials_here, label, f"C{i}", line)
                        _draw_scores(axes, trials_here, corpus, f"C{i}")
                axes.set(title=f"{system}: same voice strong, others pale", xlabel="score", yticks=[])
                axes.legend(fontsize="small")
            _draw_scales(det, f"DET, crops of {length_name(seconds)}; EER in the legend")
            det.legend(fontsize="small", ncols=len(systems), loc="upper center", bbox_to_anchor=(0.5, -0.12))
            written.append(folder / f"verify-{length_name(seconds).replace(' ', '')}.png")
            figure.savefig(written[-1], dpi=110)
            pyplot.close(figure)
    except OSError as error:
        raise OutputError(
            f"expected to write pictures into {folder}, got: {system_reason(error)}; give another folder"
        ) from error
    return written


def _draw_curve(det: "Axes", trials: Trials, label: str, color: str, line: str) -> None:
    misses, alarms = detection_curve(trials.scores, trials.target)
    keep = (misses > 0) & (alarms > 0) & (misses < 1) & (alarms < 1)
    det.plot(_deviate(alarms[keep]), _deviate(misses[keep]), label=label, color=color, linestyle=line)


def _draw_scores(axes: "Axes", trials: Trials, corpus: str, color: str) -> None:
    for same, alpha, label in ((True, 1.0, corpus), (False, 0.4, None)):
        scores = trials.scores[trials.target == same]
        axes.hist(scores, bins=40, density=True, histtype="step", color=color, alpha=alpha, label=label)


def _draw_scales(det: "Axes", title: str) -> None:
    ticks = _deviate(np.array(DET_RATES))
    names = [f"{100 * rate:g}" for rate in DET_RATES]
    limits = (float(ticks[0]), float(ticks[-1]))
    det.set(title=title, xlabel="false alarms, %", ylabel="misses, %", xlim=limits, ylim=limits)
    det.set_xticks(ticks, names)
    det.set_yticks(ticks, names)
    det.axline((0, 0), slope=1, color="grey", linewidth=0.5)
    det.grid(alpha=0.3)


def _deviate(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    # On these axes the curve of two normal kinds is a straight line.
    from scipy.stats import norm  # type: ignore[import-untyped] # ships no types

    deviates: NDArray[np.float64] = norm.ppf(rates)
    return deviates


def identification_table(figures: Sequence[Identified]) -> Table:
    """A line for each condition, length and way of scoring; rates in per cent, with 95 % intervals over households.

    `Right` is among the enrolled alone, `Let in` are the strangers who get a name.
    """
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("Heard", "Length", "Scored by"):
        shown.add_column(column, no_wrap=True)
    for column in ("Right", "DIR 1 %", "Wrong", "Rejected", "Let in", "Cllr", "ECE"):
        shown.add_column(column, justify="right", no_wrap=True)
    for f in sorted(figures, key=lambda f: (list(CONDITIONS).index(f.condition), f.seconds)):
        rejected, accepted = (
            f"{100 * rate:.1f} ({100 * low:.0f}-{100 * high:.0f})" for rate, low, high in (f.rejected, f.accepted)
        )
        shown.add_row(
            f.condition,
            f"{f.seconds:g} s",
            f.system,
            f"{100 * f.accuracy[0]:.1f}",
            f"{100 * f.dir_at_1:.1f}",
            f"{100 * f.wrong:.1f}",
            rejected,
            accepted,
            f"{f.cllr:.2f}",
            f"{100 * f.calibration_error:.1f}",
        )
    return shown


def outcomes_table(names: Sequence[str], before: Outcome, after: Outcome) -> Table:
    """Before and after fine-tuning: how many windows of each person, and of strangers, get the right name."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("Held out", no_wrap=True)
    for column in ("Windows", "Right before", "Right after"):
        shown.add_column(column, justify="right", no_wrap=True)
    for i, name in enumerate([*names, "strangers"]):
        own = [outcome.confusion[i] for outcome in (before, after)]
        right = [f"{100 * row[i] / max(1, row.sum()):.1f} %" for row in own]
        shown.add_row(safe_text(name), str(own[0].sum()), *right)
    shown.add_row("loss, in nats", "", f"{before.loss:.4f}", f"{after.loss:.4f}")
    return shown


def confusion_table(names: Sequence[str], outcome: Outcome) -> Table:
    """Who (rows) was given which name (columns, by number as the rows are), in windows."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("Who spoke", no_wrap=True)
    for i in range(1, len(names) + 1):
        shown.add_column(str(i), justify="right")
    shown.add_column(UNKNOWN, justify="right")
    for i, (name, row) in enumerate(zip([*names, "strangers"], outcome.confusion, strict=True), 1):
        number = f"{i} " if i <= len(names) else ""
        shown.add_row(number + safe_text(name), *(str(n) if n else "." for n in row))
    return shown


def draw_confusion(names: Sequence[str], before: Outcome, after: Outcome, file: Path) -> None:
    """The two confusion matrices side by side, in per cent of each row.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    size = 2 + 0.5 * len(names)
    figure, both = pyplot.subplots(1, 2, figsize=(2 * size + 1, size + 1), layout="constrained")
    try:
        for axes, outcome, title in zip(both, (before, after), ("before", "after"), strict=True):
            rows = outcome.confusion / np.maximum(outcome.confusion.sum(axis=1, keepdims=True), 1)
            axes.imshow(rows, cmap="Blues", vmin=0, vmax=1)
            for (i, j), share in np.ndenumerate(rows):
                if share:
                    color = "white" if share > 0.5 else "black"
                    axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize="small")
            axes.set(title=f"{title} fine-tuning, %", xlabel="given the name", ylabel="who spoke")
            axes.set_xticks(range(len(rows)), [*names, UNKNOWN], rotation=90, parse_math=False)
            axes.set_yticks(range(len(rows)), [*names, "strangers"], parse_math=False)
        figure.savefig(file, dpi=110)
    except OSError as error:
        raise OutputError(
            f"expected to write the picture {file}, got: {system_reason(error)}; give another file"
        ) from error
    finally:
        pyplot.close(figure)
