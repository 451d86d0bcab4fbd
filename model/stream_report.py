"""What following conversations came to, for eyes: who, how soon, and what was heard where nobody speaks."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from model.stream_eval import StreamFigures
from stream.text import safe_text

__all__ = ["stream_tables"]

Column = tuple[str, Callable[[StreamFigures], str]]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _interval(f: StreamFigures) -> str:
    return "-" if f.error_low is None or f.error_high is None else f"{100 * f.error_low:.0f}-{100 * f.error_high:.0f}"


WHO: list[Column] = [
    ("N", lambda f: str(f.conversations)),
    ("IER %", lambda f: _percent(f.error_rate)),
    ("95 %", _interval),
    ("conf", lambda f: _percent(f.confusion)),
    ("miss", lambda f: _percent(f.missed)),
    ("FA", lambda f: _percent(f.false_alarm)),
    ("let in", lambda f: _percent(f.strangers_named)),
    ("prec", lambda f: _percent(f.precision)),
    ("rec", lambda f: _percent(f.recall)),
]
WHEN: list[Column] = [
    ("first s", lambda f: _seconds(f.first_p50_s)),
    ("p95", lambda f: _seconds(f.first_p95_s)),
    ("settled s", lambda f: _seconds(f.settled_p50_s)),
    ("p95", lambda f: _seconds(f.settled_p95_s)),
    ("never %", lambda f: _percent(f.never)),
    ("changes %", lambda f: _percent(f.changes_caught)),
]
TWO: list[Column] = [
    ("times", lambda f: str(f.overlaps)),
    ("marked %", lambda f: _percent(f.overlaps_marked)),
    ("marks", lambda f: str(f.marks)),
    ("right %", lambda f: _percent(f.marks_right)),
    ("names", lambda f: str(f.second_names)),
    ("right %", lambda f: _percent(f.second_names_right)),
]
QUIET: list[Column] = [
    ("hours", lambda f: f"{f.hours:.2f}"),
    ("names/h", lambda f: f"{f.false_names_per_hour:.1f}"),
    ("guesses/h", lambda f: f"{f.false_guesses_per_hour:.1f}"),
    ("unknown, s/h", lambda f: f"{f.false_alarm_per_hour_s:.0f}"),
]


def stream_tables(figures: Sequence[StreamFigures]) -> Iterator[Table]:
    """Who and how soon, for groups in which somebody speaks; false names, for those in which nobody does.

    `let in` is the share of strangers' time that gets a name, `never` the share of the enrolled's turns that never
    got theirs; `first` and `settled` are of those that did, the median and the 95th percentile. `marked` is the share
    of the times when two speak at once whose turn says so, `right` that of the turns that say so in which two do; of
    the `names`, turns that say who else speaks, that of those in which that person does.
    """
    spoken = [f for f in figures if f.error_rate is not None]
    quiet = [f for f in figures if f.false_names_per_hour is not None]
    both = [f for f in spoken if f.overlaps or f.marks]
    for title, columns, rows in (
        ("Who", WHO, spoken),
        ("How soon", WHEN, spoken),
        ("Two at once", TWO, both),
        ("Nobody speaks", QUIET, quiet),
    ):
        if rows:
            yield _table(title, columns, rows)


def _table(title: str, columns: Sequence[Column], figures: Sequence[StreamFigures]) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(title, no_wrap=True)
    shown.add_column("by", no_wrap=True)
    for name, _ in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    # What groups have in common stands above them: in one line it would be too wide for 80 columns.
    above = ""
    for f in figures:
        outer, _, name = f.group.rpartition("/")
        if outer != above:
            shown.add_row(safe_text(outer), style="bold")
            above = outer
        shown.add_row(safe_text(name), f.system, *(show(f) for _, show in columns))
    return shown
