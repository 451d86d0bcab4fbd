"""Households heard as live: everybody enrolled, every conversation through the recognizer, and measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.corpus import read_audio
from model.encoder import Encoder
from model.enrol import Enrolment
from model.evaluate import PEER
from model.fine_tune import fine_tune
from model.head import Head
from model.households import Household
from model.identify import AFTER, BEFORE
from model.peer_stream import PeerTalk, best_threshold, compare, told
from model.stream_eval import Heard, Measured, StreamFigures, measure, summarise
from model.voices import Voice
from stream.clock import SAMPLE_RATE
from stream.errors import EnrolmentError, FileError
from stream.records import Block
from stream.rttm import read_rttm
from stream.text import safe_text

__all__ = ["Listen", "Replays"]

Floats = NDArray[np.float32]

Listen = Callable[[Sequence[Voice], Head | None, Floats], Heard]
"""Runs a recognizer, which knows some people and what was learned of them, over a conversation at 16 kHz."""


class Replays:
    """Hears one household after the other, and adds up what each came to.

    Args:
        encoder: the network.
        listen: runs the recognizer.
        tune: also after fine-tuning, with the head where it is taken.
        peer_python: the Python of an environment that has Resemblyzer, to ask it as well.
        on_skip: called with a line about every household that cannot be enrolled.
    """

    def __init__(
        self,
        encoder: Encoder,
        listen: Listen,
        *,
        tune: bool = False,
        peer_python: Path | None = None,
        on_skip: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._encoder, self._listen, self._tune, self._peer = encoder, listen, tune, peer_python
        self._on_skip = on_skip
        self._measured: dict[tuple[str, str], list[Measured]] = {}
        self._peers: list[PeerTalk] = []
        self.heads = self.heads_taken = 0  # that were learned, and that were better than none

    def hear(self, household: Household) -> None:
        """Enrol its people, and hear every conversation.

        Raises:
            FileError: a recording or a reference cannot be read.
            UsageError: the peer cannot be asked.
        """
        clips = {name: [read_audio(file) for file in files] for name, files in household.people.items()}
        try:
            voices, kept = self._enrol(clips)
            systems: dict[str, Head | None] = {BEFORE: None}
            if self._tune:
                systems[AFTER] = self._head(kept)
        except EnrolmentError as error:
            self._on_skip(f"{safe_text(str(household.folder))} is left out: {error}")
            return
        talks = [(read_audio(sound), read_rttm(reference)) for sound, reference in household.conversations]
        for system, head in systems.items():
            for samples, reference in talks:
                heard = self._listen(voices, head, samples)
                found = measure(reference, heard, clips, len(samples))
                self._measured.setdefault((household.group, system), []).append(found)
        if self._peer:
            self._peers += compare(household.group, clips, talks, self._peer)

    def _enrol(self, clips: Mapping[str, Sequence[Floats]]) -> tuple[list[Voice], dict[str, list[Floats]]]:
        voices, kept = [], {}
        for name, recordings in clips.items():
            enrolment = Enrolment(self._encoder)
            try:
                for samples in recordings:
                    for _ in enrolment.listen(_blocks(samples), SAMPLE_RATE):
                        pass
                found = enrolment.finish()
            except EnrolmentError as error:
                raise EnrolmentError(f"{safe_text(name)}: {error}") from error
            voices.append(found.voice(name))
            kept[name] = found.audio
        return voices, kept

    def _head(self, kept: Mapping[str, Sequence[Floats]]) -> Head | None:
        tuned = fine_tune(kept, self._encoder)
        self.heads += 1
        self.heads_taken += tuned.better
        return tuned.head if tuned.better else None

    def figures(self) -> Iterator[StreamFigures]:
        """What every system came to, by group.

        Raises:
            FileError: nothing was heard.
        """
        if not self._measured:
            raise FileError("expected a household whose people can be enrolled, found none; give more of each person")
        measured = dict(self._measured)
        threshold = best_threshold(self._peers)
        for talk in self._peers:
            found = measure(talk.reference, told(talk, threshold), talk.names, talk.length)
            measured.setdefault((talk.group, PEER), []).append(found)
        order = [BEFORE, AFTER, PEER]
        for group, system in sorted(measured, key=lambda key: (key[0], order.index(key[1]))):
            yield summarise(group, system, measured[group, system])


def _blocks(samples: Floats) -> Iterator[Block]:
    for at in range(0, len(samples), SAMPLE_RATE):
        yield Block(at, samples[at : at + SAMPLE_RATE])
