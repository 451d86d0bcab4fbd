"""What is told to whoever is being enrolled: how far it has come, and what would make the voice better."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from model.voices import MIXED_COSINE

__all__ = ["ENOUGH_SPEECH_S", "MAX_CLIPPED", "Progress", "snr_db"]

ENOUGH_SPEECH_S = 15.0
"""Seconds of speech that make a good voice: 100 per cent."""

MAX_CLIPPED = 0.005
"""Share of the samples in speech; beyond this a voice is distorted."""

QUIET_DB = -50.0  # RMS of speech; below this there is more noise than voice in most microphones
POOR_SNR_DB = 15.0  # white noise so strong takes the demo's voices to a cosine of 0.8 to their own, 10 dB to 0.7
SNR_SPEECH_HOPS, SNR_NOISE_HOPS = 10, 5  # from which on there is enough of both: 1 s and 0.5 s


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an enrolment has come."""

    speech_s: float  # seconds of the person's speech so far
    heard_s: float  # seconds of sound so far
    level_db: float  # RMS of the person's speech, dB relative to full scale; -inf before there is any
    clipped: float  # share of the person's speech samples at full scale
    snr_db: float = math.nan  # the person's speech against what is no speech; NaN before there is enough of both
    other_s: float = 0.0  # seconds of speech that is another voice's
    other_now: bool = False  # the newest speech is
    coherence: float = math.nan  # see `model.voices.coherence`; NaN before there are two references

    @property
    def percent(self) -> int:
        """Of the speech that makes a good voice, at most 100."""
        return min(100, int(100 * self.speech_s / ENOUGH_SPEECH_S))

    @property
    def verdict(self) -> str:
        """How the sample hangs together: "good", "mixed", or nothing before it can be told."""
        if math.isnan(self.coherence):
            return ""
        return "mixed" if self.coherence < MIXED_COSINE else "good"

    @property
    def advice(self) -> str:
        """What would make it better, or nothing; the most urgent first."""
        if self.clipped > MAX_CLIPPED:
            return "too loud: move back or lower the input level"
        if self.other_now:
            return "another voice: only one person should speak"
        if self.speech_s and self.level_db < QUIET_DB:
            return "quiet: move closer or raise the input level"
        if self.snr_db < POOR_SNR_DB:
            return "noisy: move closer, or find a quieter place"
        if self.heard_s > 5 and self.speech_s + self.other_s < 0.2 * self.heard_s:
            return "hardly any speech: is this the right microphone?"
        return ""


def snr_db(speech: ArrayLike, noise: ArrayLike) -> float:
    """Signal-to-noise ratio: how far the speech stands above what is no speech.

    Args:
        speech: (n,) mean squares of the hops of speech, which hold the noise as well.
        noise: (m,) mean squares of the hops without. Their median counts: the end of a word, or a door, is no noise.

    Returns:
        dB; infinite in digital silence, -inf where the noise is the louder, NaN before there is enough of both.

    >>> round(snr_db([1.1] * 20, [0.1] * 20), 1)
    10.0
    """
    total, floor = np.asarray(speech, np.float64), np.asarray(noise, np.float64)
    if len(total) < SNR_SPEECH_HOPS or len(floor) < SNR_NOISE_HOPS:
        return math.nan
    noise_power = float(np.median(floor))
    signal_power = float(total.mean()) - noise_power
    if signal_power <= 0.0:
        return -math.inf
    return 10.0 * math.log10(signal_power / noise_power) if noise_power > 0.0 else math.inf
