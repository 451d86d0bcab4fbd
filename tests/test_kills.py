"""Killed at random moments, a profile and the outputs of a session are whole."""

import os
import subprocess
import sys

from tests.people import posix
from tests.talk import ROOT

HOW_MANY = os.environ.get("LIVESPEAKER_KILLS", "16")  # two of each kind; 240 take some minutes


@posix
def test_killed_at_any_moment_everything_opens_again_with_its_last_whole_state() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", HOW_MANY], cwd=ROOT, capture_output=True, text=True, timeout=3_600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert done.stdout.splitlines()[-1] == f"{HOW_MANY} kills; everything opened again, whole"
