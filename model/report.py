"""What an evaluation came to, for eyes: tables in the terminal."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from model.evaluate import WHOLE, Figures, ratio_to_peer
from model.identify import Figures as Identified
from model.members import CONDITIONS
from model.outcome import Outcome
from stream.records import UNKNOWN
from stream.text import safe_text

__all__ = ["confusion_table", "identification_table", "length_name", "mistakes_table", "outcomes_table", "table"]


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
    """Before and after fine-tuning: how many windows of each person get the right name, and of strangers any name."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("Held out", no_wrap=True)
    for column in ("Windows", "Before", "After"):
        shown.add_column(column, justify="right", no_wrap=True)
    both = before, after
    for i, name in enumerate(names):
        rows = [outcome.confusion[i] for outcome in both]
        rates = [f"{100 * row[i] / max(1, row.sum()):.1f} %" for row in rows]
        shown.add_row(f"{safe_text(name)}, right", str(rows[0].sum()), *rates)
    windows = before.confusion.sum(axis=1)
    shown.add_row("everybody, right", str(windows[:-1].sum()), *(f"{100 * one.accuracy:.1f} %" for one in both))
    shown.add_row("strangers, named", str(windows[-1]), *(f"{100 * one.accepted:.1f} %" for one in both))
    shown.add_row("loss, in nats", "", *(f"{one.loss:.4f}" for one in both))
    return shown


Windows = NDArray[np.int64]  # (n + 1, n + 1) of whom (rows) were given which name (columns); last strangers, "unknown"


def confusion_table(names: Sequence[str], before: Windows, after: Windows) -> Table:
    """Who (rows) was given which name (columns, by number as the rows are), in windows: "8>9" is 8 before, 9 after."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("Who spoke", no_wrap=True)
    for i in range(1, len(names) + 1):
        shown.add_column(str(i), justify="right", no_wrap=True)
    shown.add_column(UNKNOWN, justify="right", no_wrap=True)
    for i, name in enumerate([*names, "strangers"]):
        cells = [
            (str(new) if new else ".") if old == new else f"{old}>{new}"
            for old, new in zip(before[i], after[i], strict=True)
        ]
        shown.add_row((f"{i + 1} " if i < len(names) else "") + safe_text(name), *cells)
    return shown


def mistakes_table(names: Sequence[str], before: Windows, after: Windows, at_most: int = 15) -> Table:
    """What is beside the diagonal of the same, the most frequent first: for more people than a terminal has columns."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("Who spoke", "Taken for"):
        shown.add_column(column, no_wrap=True)
    for column in ("Windows", "Before", "After"):
        shown.add_column(column, justify="right", no_wrap=True)
    both = before + after
    np.fill_diagonal(both, 0)
    order = np.argsort(-both, axis=None, kind="stable")[:at_most]
    for i, j in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[i, j]:
            who, given = (safe_text([*names, last][at]) for at, last in ((i, "strangers"), (j, UNKNOWN)))
            shown.add_row(who, given, str(before[i].sum()), str(before[i, j]), str(after[i, j]))
    return shown
