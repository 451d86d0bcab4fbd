"""Coverage-guided fuzzing of what anybody may have made: `python -m tests.fuzz TARGET [libFuzzer's options]`.

It needs `pip install atheris`, which the project does not: CONTRIBUTING.md says when to run it.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["stream", "model", "zipfile", "json"]):
    from tests.untrusted import TARGETS, seeds

if __name__ == "__main__":
    target = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(target)):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, corpus], TARGETS[target])
        atheris.Fuzz()
