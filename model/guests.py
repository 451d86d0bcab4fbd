"""The strangers of one session, told apart: whoever speaks several times is `guest-1`, `guest-2`, ...

A voice is first only remembered, and speaks against names from then on (see `confirm.py`). It becomes a guest, with a
number, once it has been heard in several turns that are all more probably one voice's than two, by the likelihood ratio
that compares enrolled people too. Less than 2 s of speech teaches nothing, neither does what is likelier an enrolled
person's, and a voice that may be one's gets no number.

Settings were chosen on conversations with even numbers of `model/simulate.py` and measured on the odd ones: 3 minutes,
turns of 1.5 to 8 s, a half in 15 dB of noise, a half in a room. `few`: 32 conversations, 8 from each of
librispeech_dev, speechocean762, arabic_commands and dspspeech20, two to four people enrolled and two strangers. `many`:
16, 8 from each of the first two, one or two enrolled and five strangers. The share of strangers with one guest, with
none, with more; of a guest's time, how much is its stranger's (purity); of a stranger's time, how much goes under the
guest's name, from the beginning and from the guest's first turn on; in per cent, and how many guests were enrolled:

            one   none   more   purity   named   named, once known   enrolled
    few     72    27     2      96       39      89                  0 of 48
    many    84    16     0      92       59      94                  0 of 67

Of the time of the enrolled people 0.2 and 0.7 % goes under a guest's name. On the even half no guest was enrolled
either, of 47 and 70. The settings but `known_llr` and `guest_llr` were chosen with the weights of 2026-11-24.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.alike import VOICE_S
from model.calibration import posterior
from model.encoder import Pooling
from model.scoring import Judge, centroid, mean_vector
from model.voices import Voice
from model.weights import Weights
from stream.errors import UsageError
from stream.records import Embedding, guest_name

__all__ = ["GuestConfig", "Guests", "Named", "sums_of"]

SOMEBODY_NEW = 0.5
"""How probably a stranger is no guest so far, before the voice is heard."""


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """When a stranger is somebody. Ratios are natural-log likelihood ratios of "the same voice" against "another"."""

    least_s: float = 2.0  # seconds of speech in a stretch, below which nothing is learned from it
    turns: int = 2  # of one voice, before it is a guest
    speech_s: float = 5.0  # seconds of speech of one voice, before it is a guest
    same_llr: float = 0.0  # with a stretch, above which a voice is its
    known_llr: float = 1.0  # by which somebody enrolled may be likelier than every stranger, while something is learned
    guest_llr: float = -2.0  # with every enrolled person, below which a voice may become a guest
    most_guests: int = 12  # in a session; whoever comes after them stays unknown
    most_waiting: int = 6  # voices that are no guests yet; of more, the one that was heard least lately is forgotten
    references: int = 5  # kept of a voice, those with the most speech

    def __post_init__(self) -> None:
        counts = self.turns, self.most_guests, self.most_waiting, self.references
        if min(counts) < 1 or self.least_s <= 0:
            raise UsageError(
                f"expected counts of at least 1 and more than 0 s, got {', '.join(map(str, counts))} and "
                f"{self.least_s:g} s; leave them at their defaults"
            )


@dataclass(frozen=True, eq=False, slots=True)
class _Reference:
    vector: NDArray[np.float32]  # (d,) unit length
    speech_s: float  # seconds of speech behind it


@dataclass(frozen=True, eq=False, slots=True)
class _Stranger:
    number: int  # 0: not a guest yet
    references: tuple[_Reference, ...]
    mean: NDArray[np.float32]  # (d,) of the references, unit length
    turns: int  # that were learned from
    speech_s: float  # in these
    last: int  # the stretch, by its number, that was learned from last


@dataclass(frozen=True, slots=True)
class Named:
    """What a stretch of one unknown voice is called."""

    name: str | None  # a guest, or None
    probability: float  # of that guest among all strangers, or of being no guest so far, in [0, 1]


class Guests:
    """Remembers the strangers of one session, through gaps and changes of the enrolled people.

    What it holds is replaced, never changed: another thread may ask for the names at any time.

    Args:
        weights: the network, its cohort and its calibration.
        config: when a stranger is somebody.
    """

    def __init__(self, weights: Weights, config: GuestConfig | None = None) -> None:
        self.config = config or GuestConfig()
        self._weights, self._pooling = weights, Pooling(weights)
        self._strangers: tuple[_Stranger, ...] = ()
        self._minted = 0
        self._heard = 0  # stretches
        self._means = np.empty((0, weights.cohort.shape[1]), np.float32)  # of the strangers, in their order
        self._judge: Judge | None = None  # of these
        self._enrolled: Judge | None = None
        self._people: tuple[Voice, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The guests so far, by their numbers, without those who were enrolled meanwhile."""
        return tuple(guest_name(number) for number in sorted(one.number for one in self._strangers if one.number))

    def meet(self, people: Sequence[Voice]) -> None:
        """Know who is enrolled from now on. A guest who has been enrolled is a guest no longer."""
        if self._people == (people := tuple(people)):
            return
        self._people = people
        self._enrolled = Judge(np.stack([centroid(one) for one in people]), self._weights) if people else None
        self._remember([one for one in self._strangers if self._known(one.mean) < 0])

    def hear(self, stretch: Sequence[Embedding]) -> Named:
        """Name a stretch of one unknown voice, and learn from it.

        Args:
            stretch: its hops of speech, at least one, with their sums.
        """
        vector, speech_s = self.embed(stretch)
        llr, known = self._compare(vector, speech_s)
        self._heard += 1
        if speech_s < self.config.least_s or known - llr.max(initial=0.0) >= self.config.known_llr:
            return self._named(llr, known)
        if len(llr) and llr.max() > self.config.same_llr:
            at = int(llr.argmax())
            own = self._strangers[at]
        else:
            at, own = len(self._strangers), _Stranger(0, (), vector, 0, 0.0, 0)
        better = self._learned(own, _Reference(vector, speech_s))
        self._remember([*self._strangers[:at], better, *self._strangers[at + 1 :]])
        return self._named(*self._compare(vector, speech_s)) if better.number else Named(None, 1.0)

    def guess(self, stretch: Sequence[Embedding]) -> Named:
        """Name a stretch of an unknown voice that may go on; nothing is learned."""
        return self._named(*self._compare(*self.embed(stretch)))

    def embed(self, stretch: Sequence[Embedding]) -> tuple[NDArray[np.float32], float]:
        """(d,) the embedding of some hops, and their seconds of speech."""
        vectors, speech_s = self._pooling.embed(np.sum(sums_of(stretch), axis=0)[None])
        return vectors[0], float(speech_s[0])

    @property
    def strangers(self) -> NDArray[np.float32]:
        """(n, d) unit length, the strangers who are remembered, guests or not: another array when that has changed."""
        return self._means

    def stranger_llr(self, llr: NDArray[np.floating]) -> float:
        """Natural-log likelihood ratio of "one of these strangers or a new one" against "anybody".

        Whoever had more turns is likelier to have the next, and a new one as likely as after one turn: the Chinese
        restaurant process (Aldous, 1985).

        Args:
            llr: (n,) of a voice with each of `strangers`.
        """
        turns = np.array([1, *(one.turns for one in self._strangers)])
        return float(np.logaddexp.reduce(np.append(0.0, llr) + np.log(turns / turns.sum())))

    def _known(self, vector: NDArray[np.float32], speech_s: float = VOICE_S) -> float:
        # The highest ratio with somebody enrolled.
        return float(self._enrolled.llr(vector[None], np.array([speech_s])).max()) if self._enrolled else -np.inf

    def _compare(self, vector: NDArray[np.float32], speech_s: float) -> tuple[NDArray[np.float64], float]:
        # Ratios with every stranger, and the highest with somebody enrolled.
        llr = self._judge.llr(vector[None], np.array([speech_s]))[0] if self._judge else np.empty(0)
        return llr, self._known(vector, speech_s)

    def _named(self, llr: NDArray[np.float64], known: float) -> Named:
        guests = [i for i, one in enumerate(self._strangers) if one.number]
        if not guests:
            return Named(None, 1.0)
        chances = posterior(llr[guests], SOMEBODY_NEW)
        at = int(llr[guests].argmax())
        if llr[guests][at] <= max(self.config.same_llr, known) or llr[guests][at] < llr.max():
            return Named(None, 1.0)
        return Named(guest_name(self._strangers[guests[at]].number), float(chances[at]))

    def _learned(self, own: _Stranger, new: _Reference) -> _Stranger:
        most = sorted([*own.references, new], key=lambda reference: -reference.speech_s)
        references = tuple(most[: self.config.references])
        speech_s = np.array([reference.speech_s for reference in references])
        better = _Stranger(
            number=own.number,
            references=references,
            mean=mean_vector(np.stack([reference.vector for reference in references]), speech_s),
            turns=own.turns + 1,
            speech_s=own.speech_s + new.speech_s,
            last=self._heard,
        )
        enough = better.turns >= self.config.turns and better.speech_s >= self.config.speech_s
        full = self._minted == self.config.most_guests
        if better.number or not enough or full or self._known(better.mean) >= self.config.guest_llr:
            return better
        self._minted += 1
        return replace(better, number=self._minted)

    def _remember(self, strangers: Sequence[_Stranger]) -> None:
        waiting = sorted((one for one in strangers if not one.number), key=lambda one: one.last)
        forgotten = waiting[: max(0, len(waiting) - self.config.most_waiting)]
        self._strangers = tuple(one for one in strangers if one not in forgotten)
        self._means = np.array([one.mean for one in self._strangers]).reshape(-1, self._means.shape[1])
        self._judge = Judge(self._means, self._weights) if self._strangers else None


def sums_of(stretch: Sequence[Embedding]) -> NDArray[np.float64]:
    """(n, n_sums) of its hops, at least one.

    Raises:
        ValueError: an embedding came without.
    """
    sums = [hop.sums for hop in stretch if hop.sums is not None]
    if len(sums) < len(stretch):
        raise ValueError("wanted embeddings with the sums of their hops, got some without")
    return np.stack(sums)
