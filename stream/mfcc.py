"""Mel-frequency cepstral coefficients, computed as the sound comes in.

The offline meaning is librosa's:

    librosa.feature.mfcc(
        S=librosa.power_to_db(
            librosa.feature.melspectrogram(y=y, sr=16_000, n_fft=512, win_length=400, hop_length=160,
                                           n_mels=..., fmin=..., fmax=..., center=False),
            top_db=None),
        n_mfcc=...).T

`center=False` because a centred first frame would need sound from before the stream; `top_db=None`
because the default clamps every frame to the loudest one of the clip, which a stream has not heard yet.
The filter bank is given, not computed: it travels with the weights, so that the live path does not
import librosa (a test holds the two equal).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.clock import SAMPLE_RATE
from stream.errors import UsageError
from stream.records import Block, Frames

__all__ = ["Mfcc", "MfccConfig"]

# The floor of librosa's power_to_db, -100 dB. Digital silence ends here, not at -inf.
POWER_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class MfccConfig:
    """What has to be the same in training and live."""

    n_fft: int = 512  # samples a frame spans
    win_length: int = 400  # samples of the Hann window, centred in the frame: 25 ms
    hop_length: int = 160  # samples between frames: 10 ms
    n_mels: int = 64  # bands of the filter bank
    fmin_hz: float = 20.0  # lowest edge of the filter bank
    fmax_hz: float = 7_600.0  # highest edge: below Nyquist, where resamplers and codecs differ
    n_mfcc: int = 60  # coefficients kept, the first among them the mean log energy

    def __post_init__(self) -> None:
        if not 0 < self.hop_length <= self.win_length <= self.n_fft:
            raise UsageError(
                f"MFCC needs 0 < hop_length <= win_length <= n_fft, got {self.hop_length}, {self.win_length}, "
                f"{self.n_fft}; use the shipped weights' manifest"
            )
        if not 0 < self.n_mfcc <= self.n_mels:
            raise UsageError(
                f"MFCC needs 0 < n_mfcc <= n_mels, got {self.n_mfcc} of {self.n_mels}; "
                "use the shipped weights' manifest"
            )
        if not 0 <= self.fmin_hz < self.fmax_hz <= SAMPLE_RATE / 2:
            raise UsageError(
                f"MFCC needs 0 <= fmin < fmax <= {SAMPLE_RATE // 2} Hz, got {self.fmin_hz} and {self.fmax_hz}; "
                "use the shipped weights' manifest"
            )


class Mfcc:
    """A stage: `Block` at 16 kHz in, `Frames` out, one row per 10 ms.

    Row `i` covers samples `[start + i * hop_length, start + i * hop_length + n_fft)` and comes out as
    soon as the last of them is in. Samples at the end that do not fill a frame give no row, as in librosa.

    Args:
        config: the feature settings.
        filter_bank: (n_mels, n_fft // 2 + 1) float, as `librosa.filters.mel` gives it.
    """

    def __init__(self, config: MfccConfig, filter_bank: NDArray[np.floating]) -> None:
        expected = (config.n_mels, config.n_fft // 2 + 1)
        if filter_bank.shape != expected:
            raise UsageError(
                f"expected a filter bank of shape {expected}, received {filter_bank.shape}; "
                "use the one that came with the weights"
            )
        self.config = config
        # 64-bit inside: a row then does not depend on how many rows were computed beside it
        # (32-bit matrix products do, by more than 1e-5 of a coefficient that is hundreds large).
        self._window = _centred_hann(config.win_length, config.n_fft)
        self._mel = np.asarray(filter_bank, np.float64).T
        self._dct = 10.0 / np.log(10.0) * _dct_ii(config.n_mels, config.n_mfcc)  # of natural logarithms, into decibels
        self._rest = np.empty(0)  # samples that later rows still need
        self._next: int | None = None  # first sample of the next row

    @property
    def latency_samples(self) -> int:
        """Samples that a row reaches beyond its own hop."""
        return self.config.n_fft - self.config.hop_length

    def push(self, block: Block) -> list[Frames]:
        """The rows that are ready now."""
        if self._next is None:
            self._next = block.start
        samples = np.concatenate([self._rest, block.samples], dtype=np.float64)
        hop, n_fft = self.config.hop_length, self.config.n_fft
        n = 1 + (len(samples) - n_fft) // hop if len(samples) >= n_fft else 0
        self._rest = samples[n * hop :].copy()
        if n == 0:
            return []
        rows = Frames(self._next, self._rows(samples, n))
        self._next += n * hop
        return [rows]

    def flush(self) -> list[Frames]:
        """Nothing: a row that lacks samples is no row."""
        return []

    def _rows(self, samples: NDArray[np.float64], n: int) -> NDArray[np.float32]:
        step = samples.itemsize
        windows: NDArray[np.float64] = np.ndarray(
            (n, self.config.n_fft), samples.dtype, samples, strides=(self.config.hop_length * step, step)
        )
        spectrum = np.fft.rfft(windows * self._window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        rows: NDArray[np.float64] = np.log(np.maximum(power @ self._mel, POWER_FLOOR)) @ self._dct
        return rows.astype(np.float32)


def _centred_hann(win_length: int, n_fft: int) -> NDArray[np.float64]:
    # The periodic Hann window (fftbins=True), zero-padded on both sides to the frame.
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(win_length) / win_length)
    left = (n_fft - win_length) // 2
    frame: NDArray[np.float64] = np.pad(window, (left, n_fft - win_length - left))
    return frame


def _dct_ii(n_mels: int, n_mfcc: int) -> NDArray[np.float64]:
    # Orthonormal DCT-II as a matrix (n_mels, n_mfcc): Rao and Yip, Discrete Cosine Transform, 1990.
    k, n = np.arange(n_mfcc), np.arange(n_mels)
    basis = np.cos(np.pi / n_mels * (n[:, None] + 0.5) * k) * np.sqrt(2.0 / n_mels)
    basis[:, 0] /= np.sqrt(2.0)
    matrix: NDArray[np.float64] = basis
    return matrix
