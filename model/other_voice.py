"""Another voice that breaks into an enrolment: which half seconds of speech are not the person's.

Two seconds of speech slide, half a second at a time, over all that was heard. Each is judged, by the calibrated
likelihood ratio, against all the other speech that passes for the person's. What is much more probably somebody
else's no longer passes, and the next half second begins with what passed so far: an intruder who goes on and on
does not become part of what he is measured against. Whoever has more of the speech is the person.
"""

import numpy as np
from numpy.typing import NDArray

from model.encoder import HopSums, Pooling
from model.scoring import Judge
from model.weights import Weights

__all__ = ["OtherVoice"]

PIECE_HOPS = 5  # hops of speech that are the person's or not, together: 0.5 s
WINDOW_PIECES = 4  # judged together: 2 s
REST_PIECES = 6  # speech that must be there to be judged against: 3 s
MOST_ROUNDS = 5  # it nearly always settles in two

OTHER_LLR = -1.0
"""Natural-log likelihood ratio below which two seconds of speech are another voice's.

On 39 dev speakers: somebody alone for 20 s of speech, at the end: 0 of 78 enrolments lose anything; on the way, the
advice appears wrongly in 2.6 %. Within 15 s of somebody's speech, of 78 intruders each of 2, 3, 5 and 8 s, of the
same corpus, at least half is left out in 88, 93, 88 and 85 %, with 5 % of the person's own speech; the advice appears
in 88, 93, 95 and 95 %. At -2 it is 80, 86, 84 and 82 %, and the advice is wrong in 1.3 %. Two voices of 3 s each are
too short to be told apart by this.
"""


class OtherVoice:
    """Hears the hops of speech of one enrolment and says which are another voice's.

    Args:
        weights: the network, its cohort and its calibration.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights, self._pooling = weights, Pooling(weights)
        self._pieces: list[NDArray[np.float64]] = []  # (n_sums,) each
        self._other = np.zeros(0, np.bool_)  # of every piece
        self._hops: list[NDArray[np.float64]] = []  # that do not fill a piece yet

    @property
    def now(self) -> bool:
        """The newest half second is another voice's."""
        return bool(self._other[-1:].any())

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n,) of every hop so far, whether it is another voice's; a rest is what the piece before it is."""
        rest = np.full(len(self._hops), self.now)
        return np.concatenate([np.repeat(self._other, PIECE_HOPS), rest])

    def push(self, hop: HopSums) -> bool:
        """Hear one hop of speech; whether something may have changed."""
        self._hops.append(hop.sums)
        if len(self._hops) < PIECE_HOPS:
            return False
        self._pieces.append(np.sum(self._hops, axis=0))
        self._hops = []
        self._other = self._judged(np.append(self._other, False))
        return True

    def settle(self) -> None:
        """Judge again what was heard early, against all that came later, until nothing changes."""
        for _ in range(MOST_ROUNDS):
            judged = self._judged(self._other)
            if np.array_equal(judged, self._other):
                return
            self._other = judged

    def _judged(self, other: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(p,) which pieces are another voice's, when those in `other` (p,) are no part of the person's."""
        n = len(other)
        if n < WINDOW_PIECES + REST_PIECES:
            return np.zeros(n, np.bool_)
        first = np.arange(n - WINDOW_PIECES + 1)[:, None]
        spans = (np.arange(n) >= first) & (np.arange(n) < first + WINDOW_PIECES)  # (windows, pieces)
        rests = ~spans & ~other
        pieces = np.stack(self._pieces)
        vectors, speech_s = self._pooling.embed(spans @ pieces)
        against, _ = self._pooling.embed(rests @ pieces)
        llr = np.diagonal(Judge(against, self._weights).llr(vectors, speech_s))
        found: NDArray[np.bool_] = spans[(llr < OTHER_LLR) & (rests.sum(1) >= REST_PIECES)].any(0)
        return ~found if 2 * found.sum() > n else found
