"""The stream's clock: integer samples at 16 kHz. Seconds exist only at the edges, for eyes and files."""

__all__ = [
    "HOP_SAMPLES",
    "SAMPLE_RATE",
    "format_seconds",
    "samples_to_milliseconds",
    "samples_to_seconds",
    "seconds_to_samples",
]

SAMPLE_RATE = 16_000
"""Samples a second on the stream's clock."""

HOP_SAMPLES = 1_600
"""Samples between two decisions: 100 ms."""


def samples_to_seconds(samples: int) -> float:
    """Seconds that `samples` last on the stream's clock.

    >>> samples_to_seconds(1_600)
    0.1
    """
    return samples / SAMPLE_RATE


def samples_to_milliseconds(samples: int) -> int:
    """Whole milliseconds, for files: each time is rounded alone, so that turns that meet still meet.

    >>> samples_to_milliseconds(16_009)
    1001
    """
    return round(1000 * samples_to_seconds(samples))


def seconds_to_samples(seconds: float) -> int:
    """The sample nearest to `seconds` on the stream's clock.

    >>> seconds_to_samples(0.5)
    8000
    """
    return round(seconds * SAMPLE_RATE)


def format_seconds(seconds: float) -> str:
    """A time for eyes: minutes, seconds and tenths, hours when there are any.

    >>> format_seconds(65.25), format_seconds(3_600.0)
    ('01:05.2', '1:00:00.0')
    """
    tenths = int(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{clock}" if hours else clock
