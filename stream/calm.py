"""What the screen shows of numbers that jump ten times a second: bars that glide, a warning that stays to be read.

It follows the stream's clock and not the machine's, so a recording looks the same at every speed.
"""

import math
from dataclasses import replace

from stream.clock import SAMPLE_RATE
from stream.records import Snapshot

__all__ = ["Calm"]

_GLIDE_S = 0.3  # time constant of the probabilities: a new voice is seen at once, and single hops do not twitch
_FALL_DB_PER_S = 20.0  # a meter rises at once and falls as slowly as IEC 60268-10 asks of a peak meter, or nearly
_WARN_S = 2.0


class Calm:
    """Takes the newest snapshot, gives the one to draw. What is decided, and every count, stays as it is.

    A pure follower: the same snapshots give the same pictures.
    """

    def __init__(self) -> None:
        self._before: Snapshot | None = None  # as drawn
        self._clipped_at: int | None = None  # stream time, at 16 kHz, of the last clipped hop

    def __call__(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot to draw; `clipped` is that of the last two seconds."""
        if snapshot.clipped:
            self._clipped_at = snapshot.now
        held = self._clipped_at is not None and snapshot.now - self._clipped_at < _WARN_S * SAMPLE_RATE
        shown = replace(snapshot, clipped=max(snapshot.clipped, int(held)))
        before = self._before
        if before is not None and not snapshot.done:
            passed_s = max(snapshot.now - before.now, 0) / SAMPLE_RATE
            shown = replace(shown, level_db=_fallen(before.level_db, snapshot.level_db, passed_s))
            if before.names == snapshot.names and len(before.probabilities) == len(snapshot.probabilities):
                share = 1 - math.exp(-passed_s / _GLIDE_S)
                pairs = zip(before.probabilities, snapshot.probabilities, strict=True)
                shown = replace(shown, probabilities=tuple(_glided(old, new, share) for old, new in pairs))
        self._before = shown
        return shown


def _fallen(before_db: float, now_db: float, passed_s: float) -> float:
    if not now_db > -math.inf or not math.isfinite(before_db):  # digital silence is told at once: it is no low level
        return now_db
    return max(now_db, before_db - _FALL_DB_PER_S * passed_s)


def _glided(before: float, now: float, share: float) -> float:
    return before + (now - before) * share if math.isfinite(before) else now
