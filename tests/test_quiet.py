"""Standard error comes back when everybody has left who kept it away, and not before."""

import os

import pytest

from stream.quiet import quiet_stderr


def test_whoever_leaves_first_brings_nothing_back_and_whoever_leaves_last_does(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # As two threads do that open LiteRT at the same time.
    one, another = quiet_stderr(), quiet_stderr()
    one.__enter__()
    another.__enter__()
    os.write(2, b"both inside ")
    one.__exit__(None, None, None)
    os.write(2, b"another is ")
    another.__exit__(None, None, None)
    os.write(2, b"nobody is")
    assert capfd.readouterr().err == "nobody is"


def test_what_is_yielded_leads_where_standard_error_led(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr(), quiet_stderr() as kept:
        assert kept is not None
        os.write(kept, b"seen")
        os.write(2, b"not seen")
    assert capfd.readouterr().err == "seen"
