"""The way from sound to turns: the one place that knows the order of the stages."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.decide import Decide
from stream.hop_sound import HopSound
from stream.latency import Stamp
from stream.mfcc import Mfcc
from stream.records import Block, Embedding, Frames, Gap, Loss, Notice, Scores, Snapshot, Turn
from stream.resample import Resampler

__all__ = ["Recognizer", "Stages"]

# Final turns that the screen can look back on.
SHOWN_TURNS = 100
# Hops between two looks at whether the people have changed.
LOOK_HOPS = 10
# Weight of the newest hop in the mean time that a hop takes.
HOP_MS_SHARE = 0.05
# Of full scale: what stands there was cut off by the converter.
CLIPPED = 0.985


class EncoderStage(Protocol):
    """`Frames` in, `Embedding` out."""

    @property
    def latency_samples(self) -> int:
        """Samples that a record waits for."""

    def push(self, rows: Frames) -> list[Embedding]:
        """What is ready now."""

    def flush(self) -> list[Embedding]:
        """The rest."""


class ScorerStage(Protocol):
    """`Embedding` in, `Scores` out."""

    names: tuple[str, ...]  # the enrolled people, then UNKNOWN
    needs_sound: bool  # whether an embedding must bring the sound of its hop
    latency_samples: int  # samples that a record waits for

    def push(self, embedding: Embedding) -> list[Scores]:
        """What is ready now."""

    def flush(self) -> list[Scores]:
        """The rest."""


class TurnStage(Protocol):
    """`Turn` in, `Turn` out: what was decided, heard again as a whole."""

    @property
    def current(self) -> Turn | None:
        """Who speaks now, under the name that is shown."""

    def push(self, embedding: Embedding, turns: Sequence[Turn], current: Turn | None) -> list[Turn]:
        """What was decided with a hop, and who speaks now, as they go out."""

    def flush(self, turns: Sequence[Turn]) -> list[Turn]:
        """The rest, as it goes out."""


class GuestStage(TurnStage, Protocol):
    """Strangers who speak several times get names of their own."""

    @property
    def names(self) -> tuple[str, ...]:
        """The guests so far."""


@dataclass(frozen=True, slots=True)
class Stages:
    """How to make the stages that need weights or voices. Called at the start, after every gap and every change."""

    mfcc: Callable[[], Mfcc]
    encoder: Callable[[], EncoderStage]
    scorer: Callable[[], ScorerStage]
    decide: Callable[[], Decide] = Decide
    confirm: Callable[[], TurnStage] | None = None  # None: a name is what the decisions say
    guests: Callable[[], GuestStage] | None = None  # None: every stranger is unknown
    overlaps: Callable[[], TurnStage] | None = None  # None: no turn is marked as one of two voices
    changed: Callable[[], bool] = lambda: False  # whether a new scorer would know other people, or know them better
    resampler: Callable[[int], Resampler] = Resampler  # from samples a second


class _Chain:
    """One unbroken stretch of sound: fresh stages, in their order."""

    def __init__(self, stages: Stages, rate: int) -> None:
        self.resampler = stages.resampler(rate)
        self.mfcc = stages.mfcc()
        self.encoder = stages.encoder()
        self.scorer = stages.scorer()
        self.decide = stages.decide()
        confirm = stages.confirm() if stages.confirm else None
        self.guests = stages.guests() if stages.guests else None
        overlaps = stages.overlaps() if stages.overlaps else None
        self._again: list[TurnStage] = [stage for stage in (confirm, self.guests, overlaps) if stage]
        self.sound = HopSound() if self.scorer.needs_sound else None
        self.stamp = Stamp()
        self.scores: Scores | None = None  # the newest
        self.hops = 0
        self._recent = np.zeros(HOP_SAMPLES, np.float32)  # the last hop of sound, for the level
        self._end = 0  # one past the last sample heard, at 16 kHz
        # Sound that must be there, from the start of a hop, before it is scored. The resampler is left out: how much it
        # holds back changes with the size of the pieces.
        self._late = sum(stage.latency_samples for stage in (self.mfcc, self.encoder, self.scorer))
        self.latency_samples = self.resampler.latency_samples + self._late  # from arrival to the first decision

    @property
    def level_db(self) -> float:
        """RMS of the last hop, dB relative to full scale; -inf in digital silence."""
        power = float(self._recent @ self._recent) / HOP_SAMPLES
        return 10.0 * float(np.log10(power)) if power > 0.0 else -np.inf

    @property
    def clipped(self) -> int:
        """Samples of the last hop at full scale."""
        return int(np.count_nonzero(np.abs(self._recent) >= CLIPPED))

    @property
    def current(self) -> Turn | None:
        """Who speaks now."""
        return (self._again[-1] if self._again else self.decide).current

    def chances(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """The enrolled people, the guests and UNKNOWN, and the probability of each at the last hop; 0 in silence.

        A guest is unknown to the scores: while a guest speaks, what is said of UNKNOWN is said of that guest.
        """
        (*known, unknown), guests = self.scorer.names, self.guests.names if self.guests else ()
        names = (*known, *guests, unknown)
        if self.scores is None or self.scores.speech < self.decide.config.speech:
            return names, (0.0,) * len(names)
        *chances, of_unknown = self.scores.probabilities.tolist()
        of_guests = [0.0] * len(guests)
        if self.current and self.current.name in guests:
            of_guests[guests.index(self.current.name)], of_unknown = of_unknown, 0.0
        return names, (*chances, *of_guests, of_unknown)

    def push(self, block: Block) -> list[Turn]:
        return [turn for sound in self.resampler.push(block) for turn in self._hear(sound)]

    def flush(self) -> list[Turn]:
        turns = [turn for sound in self.resampler.flush() for turn in self._hear(sound)]
        turns += [turn for rows in self.mfcc.flush() for turn in self._encode(rows)]
        turns += [turn for embedding in self.encoder.flush() for turn in self._score(embedding)]
        rest = self.decide.flush()
        for stage in self._again:
            rest = stage.flush(rest)
        turns += self.stamp(rest, self._end)
        # The last hop may be a part of one: nobody speaks beyond the sound, or into the gap that follows it.
        return [replace(turn, end=min(turn.end, self._end)) for turn in turns]

    def _hear(self, sound: Block) -> list[Turn]:
        self._end = sound.start + len(sound.samples)
        self._recent = np.concatenate([self._recent, sound.samples])[-HOP_SAMPLES:]
        if self.sound:
            self.sound.push(sound)
        return [turn for rows in self.mfcc.push(sound) for turn in self._encode(rows)]

    def _encode(self, rows: Frames) -> list[Turn]:
        return [turn for embedding in self.encoder.push(rows) for turn in self._score(embedding)]

    def _score(self, embedding: Embedding) -> list[Turn]:
        turns = []
        if self.sound:
            embedding = replace(embedding, samples=self.sound.take(embedding.start))
        for scores in self.scorer.push(embedding):
            self.scores = scores
            self.hops += 1
            decided, current = self.decide.push(scores), self.decide.current
            for stage in self._again:
                decided = stage.push(embedding, decided, current)
                current = stage.current
            # At the end of the sound a hop is scored with what there is.
            turns += self.stamp(decided, min(scores.start + self._late, self._end))
        return turns


class Recognizer:
    """Blocks of sound in, turns and gaps out; a snapshot for the screen beside it.

    Args:
        stages: how to make the stages.
        source: name of what is listened to, for the screen.
        rate: samples per second of the blocks.
        source_latency: samples, at `rate`, from the air to a block.
    """

    def __init__(self, stages: Stages, source: str, rate: int, source_latency: int = 0) -> None:
        self._stages, self._source, self._rate = stages, source, rate
        self._source_latency = round(source_latency * SAMPLE_RATE / rate)
        self._chain = _Chain(stages, rate)
        self._expected: int | None = None  # start of the next block if nothing is lost
        self._gaps = 0
        self._looked = 0  # hops of the chain when it was last asked whether the people have changed
        self._hop_ms = 0.0
        self._turns: deque[Turn] = deque(maxlen=SHOWN_TURNS)
        self._talk: dict[str, int] = {}
        self.loss = Loss()  # the source's, as last told by `push`
        self._lag = 0  # the source's, as last told by `push`, at 16 kHz
        self._notice = self._trouble = ""
        self.snapshot = self._take_snapshot(done=False)

    @property
    def latency_samples(self) -> int:
        """Samples, at 16 kHz, from the air to the first decision that has heard them."""
        return self._source_latency + self._chain.latency_samples

    @property
    def final_latency_samples(self) -> int:
        """Samples, at 16 kHz, from the air to the decision that is never changed."""
        return self.latency_samples + self._chain.decide.latency_samples

    @property
    def duration(self) -> int:
        """Samples heard or lost so far, at 16 kHz."""
        return round((self._expected or 0) * SAMPLE_RATE / self._rate)

    @property
    def gaps(self) -> int:
        """Jumps of the source's clock so far."""
        return self._gaps

    def push(self, block: Block, loss: Loss | None = None, lag: int = 0) -> list[Turn | Gap]:
        """What this block brings: final and tentative turns, and a gap when sound is missing before it.

        Args:
            block: the next sound.
            loss: what the source has lost so far.
            lag: samples, at the source's rate, that are there after this block and wait.
        """
        began, hops = time.perf_counter(), self._chain.hops
        events: list[Turn | Gap] = []
        if self._expected is not None and block.start != self._expected:
            gap = Gap(self.duration, round(block.start * SAMPLE_RATE / self._rate))
            events += [*self._begin_anew(), gap]
            self._gaps += 1
            hops = 0
        elif hops >= self._looked + LOOK_HOPS:
            self._looked = hops
            if self._stages.changed():  # nobody's turn outlives the list of people that it was chosen from
                events += self._begin_anew()
                hops = 0
        self._expected = block.start + len(block.samples)
        events += self._chain.push(block)
        self.loss = loss or self.loss
        self._lag = round(lag * SAMPLE_RATE / self._rate)
        done = self._chain.hops - hops
        if done:
            spent = (time.perf_counter() - began) * 1e3 / done
            self._hop_ms += (spent - self._hop_ms) * (HOP_MS_SHARE if self._hop_ms else 1.0)
        self._note(events)
        return events

    def notice(self, notice: Notice, source: str) -> list[Turn | Gap]:
        """Show what the source says of itself; where no sound comes for a while, the turns so far are over.

        Args:
            notice: what it says.
            source: what it is called from now on.
        """
        events: list[Turn | Gap] = [*self._begin_anew()] if notice.waiting else []
        if notice.trouble:
            self._trouble = notice.text
        else:
            self._source, self._notice = source, notice.text if notice.waiting else ""
        self._note(events)
        return events

    def _begin_anew(self) -> list[Turn]:
        # Fresh stages; what the old ones still had to say.
        turns = self._chain.flush()
        self._chain, self._looked = _Chain(self._stages, self._rate), 0
        return turns

    def flush(self) -> list[Turn | Gap]:
        """The rest, when the source has ended."""
        events: list[Turn | Gap] = [*self._chain.flush()]
        self._note(events, done=True)
        return events

    def _note(self, events: list[Turn | Gap], *, done: bool = False) -> None:
        for event in events:
            if isinstance(event, Turn) and event.final:
                self._turns.append(event)
                self._talk[event.name] = self._talk.get(event.name, 0) + event.end - event.start
        self.snapshot = self._take_snapshot(done=done)

    def _take_snapshot(self, *, done: bool) -> Snapshot:
        chain = self._chain
        scores = chain.scores
        names, probabilities = chain.chances()
        return Snapshot(
            source=self._source,
            now=self.duration,
            level_db=chain.level_db,
            speech=scores.speech if scores else 0.0,
            names=names,
            probabilities=probabilities,
            current=chain.current,
            turns=tuple(self._turns),
            talk_samples=dict(self._talk),
            latency_samples=self.latency_samples,
            hop_ms=self._hop_ms,
            loss=self.loss,
            gaps=self._gaps,
            done=done,
            lag_samples=self._lag,
            notice=self._notice,
            trouble=self._trouble,
            clipped=chain.clipped,
        )
