"""One thread for each test: results and times must not depend on how many cores there are, or who else uses them."""

import os

# Read once, when numpy and TensorFlow are imported; pytest reads this file before any test does that.
for _variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_variable, "1")

from tests.fake_portaudio import fake  # noqa: E402, F401 - a fixture

collect_ignore = ["fuzz.py"]  # a program that needs atheris, which is not installed with the tests
