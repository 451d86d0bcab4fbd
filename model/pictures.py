"""What an evaluation came to, for eyes: pictures in files."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.evaluate import Verification
from model.identify import Figures, confusion
from model.metrics import detection_curve
from model.reliability import BINS
from model.report import length_name
from model.verify import Trials
from stream.errors import OutputError
from stream.records import UNKNOWN
from stream.text import safe_text, system_reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_confusion", "draw_identification", "draw_verification"]

DET_RATES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # marked on both axes
DOTS_PER_INCH = 110


@contextmanager
def _pictures(folder: Path) -> Iterator[Any]:
    # matplotlib's pyplot, without a screen, and a folder to write into.
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # Names in scripts that the font does not have become boxes; the tables tell them.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            yield pyplot
    except OSError as error:
        raise OutputError(
            f"expected to write pictures into {safe_text(str(folder))}, got: {system_reason(error)}; "
            "give another folder"
        ) from error
    finally:
        pyplot.close("all")


def draw_verification(verification: Verification, folder: Path) -> list[Path]:
    """A DET curve (Martin et al., 1997) and a histogram of the scores for each length; the files.

    Raises:
        OutputError: the folder cannot be written.
    """
    by_length: dict[float, dict[tuple[str, str], Trials]] = defaultdict(dict)
    for (system, corpus, seconds), trials in verification.trials.items():
        by_length[seconds][system, corpus] = trials
    written = []
    with _pictures(folder) as pyplot:
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
            figure.savefig(written[-1], dpi=DOTS_PER_INCH)
            pyplot.close(figure)
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


def draw_identification(found: Sequence[Figures], folder: Path) -> list[Path]:
    """For each condition how reliable the percentages are, and for each length who was taken for whom; the files.

    Raises:
        OutputError: the folder cannot be written.
    """
    by_condition: dict[str, dict[float, dict[str, Figures]]] = defaultdict(lambda: defaultdict(dict))
    for one in found:
        by_condition[one.condition][one.seconds][one.system] = one
    written = []
    for condition, by_length in by_condition.items():
        written.append(_draw_reliability(condition, by_length, folder))
        for seconds, systems in sorted(by_length.items()):
            length = length_name(seconds)
            matrices = {}
            for system, one in systems.items():
                names, matrices[f"{system}, {length}, {condition}"] = confusion(one)
            file = folder / f"confusion-{condition}-{length.replace(' ', '')}.png"
            draw_confusion(names, matrices, file)
            written.append(file)
    return written


def _draw_reliability(condition: str, by_length: Mapping[float, Mapping[str, Figures]], folder: Path) -> Path:
    # Above, how often decisions were right, against what they claimed; below, how many there were.
    n, width = len(by_length), 0.8 / max(map(len, by_length.values())) / BINS
    with _pictures(folder) as pyplot:
        figure, axes = pyplot.subplots(
            2, n, figsize=(1 + 4.2 * n, 6), layout="constrained", height_ratios=(3, 1), squeeze=False, sharex=True
        )
        for (seconds, systems), above, below in zip(sorted(by_length.items()), *axes, strict=True):
            above.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="as claimed")
            for i, (system, one) in enumerate(systems.items()):
                at, right, counts = (
                    np.array([getattr(b, field) for b in one.reliability]) for field in ("confidence", "right", "n")
                )
                low, high = np.array([b.interval for b in one.reliability]).T
                label = f"{system}: {one.windows + one.strangers:,} windows, ECE {100 * one.calibration_error:.1f} %"
                shift = (i - (len(systems) - 1) / 2) * width
                above.errorbar(
                    at, right, yerr=np.maximum([right - low, high - right], 0), label=label, color=f"C{i}",
                    marker="o", markersize=4, linewidth=1.2, elinewidth=0.8, capsize=2,
                )  # fmt: skip
                middle = (np.minimum((at * BINS).astype(int), BINS - 1) + 0.5) / BINS
                below.bar(middle + shift, counts, width, color=f"C{i}")
            above.set(title=f"windows of {length_name(seconds)}, {condition}", ylim=(-0.02, 1.02), xlim=(0, 1))
            above.legend(fontsize="small", loc="lower right")
            below.set(yscale="log", ylim=(0.7, None), xlabel="probability that was claimed")
            for each in (above, below):
                each.grid(alpha=0.3)
        axes[0, 0].set_ylabel("share that was right")
        axes[1, 0].set_ylabel("windows")
        file = folder / f"reliability-{condition}.png"
        figure.savefig(file, dpi=DOTS_PER_INCH)
    return file


def draw_confusion(names: Sequence[str], matrices: Mapping[str, NDArray[np.int64]], file: Path) -> None:
    """Confusion matrices side by side, in per cent of each row.

    Args:
        names: n people.
        matrices: by title, (n + 1, n + 1) windows of whom (rows) were given which name (columns); last are strangers
            and "unknown". Everybody has the same windows in all of them.
        file: the picture.

    Raises:
        OutputError: the file cannot be written.
    """
    shown = [safe_text(name) for name in names]
    size = max(2.2, 0.36 * (len(names) + 1))  # inches of a matrix
    around = 0.8 + 0.085 * max(map(len, (*shown, "strangers (1234)")))  # and of the names beside it
    with _pictures(file.parent) as pyplot:
        figure, axes = pyplot.subplots(
            1,
            len(matrices),
            figsize=((size + 0.2) * len(matrices) + around, size + around + 0.6),
            layout="constrained",
            squeeze=False,
            sharey=True,
        )
        for each, (title, windows) in zip(axes[0], matrices.items(), strict=True):
            counts = windows.sum(axis=1)
            rows = windows / np.maximum(counts, 1)[:, None]
            each.imshow(rows, cmap="Blues", vmin=0, vmax=1)
            for (i, j), share in np.ndenumerate(rows):
                if share:
                    color = "white" if share > 0.5 else "black"
                    said = "<1" if share < 0.005 else ">99" if 0.995 < share < 1 else f"{100 * share:.0f}"
                    each.text(j, i, said, ha="center", va="center", color=color, fontsize="x-small")
            for line in np.arange(0.5, len(rows) - 1):
                each.axhline(line, color="lightgrey", linewidth=0.4)
                each.axvline(line, color="lightgrey", linewidth=0.4)
            each.set(title=f"{title}, %", xlabel="given the name")
            each.set_xticks(range(len(rows)), [*shown, UNKNOWN], rotation=90, parse_math=False)
            labels = [f"{name} ({n})" for name, n in zip([*shown, "strangers"], counts, strict=True)]
            each.set_yticks(range(len(rows)), labels, parse_math=False)
        axes[0, 0].set_ylabel("who spoke (windows)")
        figure.savefig(file, dpi=DOTS_PER_INCH, bbox_inches="tight")
