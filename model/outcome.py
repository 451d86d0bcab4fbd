"""What decides whether a fine-tuned head is taken: how two ways of scoring fare on the same held-out windows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.calibration import posterior
from model.fitting import fair_weights
from model.scoring import UNKNOWN_PRIOR

__all__ = ["Compared", "Outcome", "outcome_of"]

CHANCE = 1
"""Windows, of the twenty or so of a person, by which two ways may differ without one being the worse."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a way of scoring fares on what was held out. Rows and columns: the people in order, then "unknown"."""

    confusion: NDArray[np.int64]  # (n + 1, n + 1) windows of whom (rows), given which name (columns)
    loss: float  # mean cross-entropy of the right name, in nats; people and strangers weigh the same

    @property
    def accuracy(self) -> float:
        """Share of the people's windows that get the right name, in [0, 1]."""
        own = self.confusion[:-1]
        return float(np.trace(own) / max(1, own.sum()))

    @property
    def accepted(self) -> float:
        """Share of strangers' windows that get a name, in [0, 1]."""
        strangers = self.confusion[-1]
        return float(strangers[:-1].sum() / max(1, strangers.sum()))

    @property
    def wrong(self) -> NDArray[np.int64]:
        """(n,) windows of each person that get another name or none."""
        own = self.confusion[:-1]
        return np.asarray(own.sum(axis=1) - np.diag(own))


class Compared:
    """Whether what was learned is to be used.

    It is compared with the cohort alone, not with a head that is in use: that one has learned from everything in the
    end, from what is held out now as well, and would look better on it than it is. With five dev speakers and four
    seeds, the loss of the very head that is tried falls from 0.08-0.35 to 0.05-0.17 once it has learned from
    everything: no later head could beat that.
    """

    __slots__ = ()
    before: Outcome
    after: Outcome

    @property
    def worse(self) -> list[int]:
        """The people, by number, who are recognised less often than before, by more than `CHANCE` windows."""
        return [int(i) for i in np.flatnonzero(self.after.wrong > self.before.wrong + CHANCE)]

    @property
    def better(self) -> bool:
        """Nobody is recognised less often, strangers get no more names, and all in all it is surer of what is right."""
        more = self.after.confusion[-1, :-1].sum() - self.before.confusion[-1, :-1].sum()  # of strangers' windows
        return not self.worse and bool(more <= CHANCE) and self.after.loss < self.before.loss

    @property
    def figures(self) -> str:
        """After and before, for a message."""
        new, old = self.after, self.before
        return (
            f"right names {100 * new.accuracy:.1f} %, before {100 * old.accuracy:.1f} %; strangers named "
            f"{100 * new.accepted:.1f} %, before {100 * old.accepted:.1f} %; loss {new.loss:.4f}, before {old.loss:.4f}"
        )


def outcome_of(llr: NDArray[np.floating], labels: NDArray[np.integer]) -> Outcome:
    """What each window would be called, and how sure that is.

    Args:
        llr: (m, n) log likelihood ratios of windows and people.
        labels: (m,) whose each window is, n for a stranger's.
    """
    chances = np.stack([posterior(row, UNKNOWN_PRIOR) for row in llr])
    n = chances.shape[1]
    confusion = np.zeros((n, n), np.int64)
    np.add.at(confusion, (labels, chances.argmax(axis=1)), 1)
    right = np.maximum(chances[np.arange(len(labels)), labels], 1e-12)
    loss = float(np.average(-np.log(right), weights=fair_weights(labels, n - 1)))
    return Outcome(confusion, loss)
