"""A base model of the user's, converted, with its new last layer: what it is given and what it says.

    MFCC rows of a window -> (n_mfcc,) their mean, or (frames, n_mfcc) -> base model on LiteRT
        -> softmax over n people and "nobody of these" -> evidence

`model.base_tune` makes one; a profile keeps it; `model.window` runs it live, without TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.clock import HOP_SAMPLES, SAMPLE_RATE
from stream.errors import ProfileError
from stream.mfcc import MfccConfig
from stream.quiet import quiet_stderr

__all__ = [
    "HOP",
    "MIN_ROWS",
    "N_MELS",
    "WINDOW_HOPS",
    "WINDOW_ROWS",
    "Opinion",
    "WindowHead",
    "evidence",
    "features",
    "window_of",
]

Floats = NDArray[np.float32]

N_FFT, HOP, N_MELS = 2_048, 512, 128
"""As `librosa.feature.mfcc` has them unless told otherwise."""

WINDOW_HOPS = 20
"""Hops of 100 ms in a window."""

WINDOW_ROWS = 1 + (WINDOW_HOPS * HOP_SAMPLES - N_FFT) // HOP
"""Rows in 2 s: 59."""

MIN_ROWS = 12
"""Rows in half a second: of less, a base model is not asked."""

TRUSTED_S = 0.5  # seconds of speech in a window below which the evidence counts in proportion
SHARE = 0.5  # of a base model's ratio that is added to the cohort's
LEAST = 1e-6  # a probability below which differences mean nothing


def features(n_mfcc: int) -> MfccConfig:
    """The feature settings of base models; the filter bank travels with the head."""
    return MfccConfig(N_FFT, N_FFT, HOP, N_MELS, 0.0, SAMPLE_RATE / 2, n_mfcc)


def window_of(rows: Floats, shape: Sequence[int]) -> Floats:
    """What a base model is given of a window.

    Args:
        rows: (n, n_mfcc), n > 0.
        shape: (n_mfcc,) for the mean over time, (frames, n_mfcc) for the last rows; too few are said again.
    """
    if len(shape) == 1:
        mean: Floats = rows.mean(axis=0)
        return mean
    return np.resize(rows[-shape[0] :], tuple(shape))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a base model's evidence is worth beside the cohort's.

    Raises:
        ValueError: values that cannot be.
    """

    slope: float  # natural-log units per unit of evidence, >= 0
    offset: float  # natural-log units
    most: float  # natural-log units, > 0: beyond it the evidence claims more than it was fitted on

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.offset, self.most]).all() and self.slope >= 0 and self.most > 0):
            raise ValueError(
                "wanted a calibration of finite numbers, a slope of 0 or more, a bound above 0, got others"
            )

    def join(
        self, cohort: NDArray[np.floating], said: NDArray[np.floating], speech_s: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """(m, n) natural-log likelihood ratios: what the cohort says, and half of what the base model says.

        Half, because both hear the same sound: two ratios add up only where neither follows from the other.

        Args:
            cohort: (m, n) ratios by the scores against the cohort.
            said: (m, n) evidence of the base model, or (n,).
            speech_s: (m, 1) seconds of speech in its window, or one number for all.
        """
        own = np.clip(self.slope * said + self.offset, -self.most, self.most)
        both: NDArray[np.float64] = cohort + SHARE * own * np.minimum(speech_s / TRUSTED_S, 1.0)
        return both


@dataclass(frozen=True, eq=False, slots=True)
class WindowHead:
    """A base model with its new last layer.

    Args:
        people: identifiers of the people that it knows, in the order of its outputs; "nobody of these" comes last.
        model: LiteRT; one input `mfcc` (1, n_mfcc) or (1, frames, n_mfcc), one output (1, n + 1), a softmax.
        mel: (128, 1025) float32, the filter bank.
        opinion: what its evidence is worth.

    Raises:
        ValueError: values that cannot be.
    """

    people: tuple[str, ...]
    model: bytes
    mel: Floats
    opinion: Opinion

    def __post_init__(self) -> None:
        if not self.people or not self.model or self.mel.shape != (N_MELS, N_FFT // 2 + 1):
            raise ValueError(f"wanted people, a model and a filter bank, got a filter bank of {self.mel.shape}")
        if not np.isfinite(self.mel).all():
            raise ValueError("wanted a filter bank of finite numbers, got another")

    def open(self) -> tuple[Callable[[Floats], Floats], tuple[int, ...]]:
        """What says (n,) the evidence for each person of one input, and the shape of that input.

        Raises:
            ProfileError: the model cannot be run.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            with quiet_stderr():
                run: Any = Interpreter(model_content=self.model, num_threads=1).get_signature_runner()
                shape = tuple(int(n) for n in run.get_input_details()["mfcc"]["shape"][1:])
                (output,) = run.get_output_details()
                n = run(mfcc=np.zeros((1, *shape), np.float32))[output].shape  # the first run sets itself up
                features(shape[-1])
            if n != (1, len(self.people) + 1) or len(shape) not in (1, 2):
                raise ValueError(f"wanted {len(self.people)} people, got outputs {n}")
        except (ValueError, RuntimeError, LookupError, TypeError) as error:
            raise ProfileError(
                "expected a converted base model in the profile, got one that cannot be run; "
                "go back with livespeaker fine-tune --rollback"
            ) from error
        return lambda window: evidence(run(mfcc=window[None])[output])[0], shape


def evidence(probabilities: Floats) -> Floats:
    """(m, n) log-odds of each person against nobody, of softmax outputs (m, n + 1)."""
    logs = np.log(np.maximum(probabilities, LEAST))
    odds: Floats = logs[:, :-1] - logs[:, -1:]
    return odds
