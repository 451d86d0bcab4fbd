"""Who may import whom: `stream` runs for days without TensorFlow, and `model` takes from it what training shares."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile as sf

from stream.clock import SAMPLE_RATE
from tests.talk import ROOT, conversation, write_profile

STREAM = sorted((ROOT / "stream").glob("**/*.py"))
MODEL = sorted((ROOT / "model").glob("**/*.py"))

LEARNING = {
    "tensorflow",
    "keras",
    "tf_keras",
    "h5py",
    "librosa",
    "sklearn",
    "scipy",
    "torch",
    "onnxruntime",
    "ai_edge_litert",
}

# What learning and listening share, so that both compute the same by construction, and the words they speak.
SHARED = {
    "stream.clock": "time",
    "stream.errors": "what is raised",
    "stream.records": "what travels between the stages",
    "stream.text": "names and messages made safe",
    "stream.quiet": "LiteRT talks on standard error",
    "stream.rttm": "who speaks in a conversation that is made or measured",
    "stream.mfcc": "the features",
    "stream.resample": "any rate to 16 kHz",
    "stream.audible": "what can be listened to",
}

# The one file that makes a session's stages of the network and the people knows what these are.
JOINED = {"joined": {"stream.recognizer", "stream.decide"}}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any level, for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import hides where it goes"
            assert node.module is not None
            yield node.module
            if node.module in ("stream", "model"):  # `from stream import cli` is a module too
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            assert name not in ("__import__", "import_module"), f"{path.name}: an import that nobody can see"


def package(module: str) -> str:
    return module.partition(".")[0]


def test_there_is_something_to_look_at() -> None:
    assert len(STREAM) > 20
    assert len(MODEL) > 10
    assert "model.encoder" in set(imports(ROOT / "stream" / "cli_shared.py"))
    assert "keras" in {package(module) for path in MODEL for module in imports(path)}


@pytest.mark.parametrize("path", STREAM, ids=lambda path: path.stem)
def test_stream_never_imports_what_only_learning_needs(path: Path) -> None:
    assert not {package(module) for module in imports(path)} & LEARNING


@pytest.mark.parametrize("path", STREAM, ids=lambda path: path.stem)
def test_only_the_command_line_joins_stream_and_model(path: Path) -> None:
    if not path.name.startswith("cli"):
        assert "model" not in {package(module) for module in imports(path)}


@pytest.mark.parametrize("path", MODEL, ids=lambda path: path.stem)
def test_model_takes_only_the_shared_parts_of_stream(path: Path) -> None:
    assert {module for module in imports(path) if package(module) == "stream"} <= {*SHARED} | JOINED.get(
        path.stem, set()
    )


def test_the_shared_parts_need_nothing_else_of_stream() -> None:
    for module in SHARED:
        needed = {each for each in imports(ROOT / f"{module.replace('.', '/')}.py") if package(each) == "stream"}
        assert needed <= {*SHARED}, module


@pytest.mark.parametrize("package", ["stream", "model"])
def test_the_public_names_are_there_and_a_package_alone_loads_none_of_them(package: str) -> None:
    code = f"""
import json, sys
import {package}
before = sorted(sys.modules)
assert not hasattr({package}, "__nothing__")
for name in {package}.__all__:
    exec(f"from {package} import {{name}}")
    assert {package}.__dict__.get(name) is None, f"{{name}} hides a module of its name, or is hidden by it"
    assert name in dir({package}) and (getattr({package}, name).__doc__ or name.isupper())
print(json.dumps([before, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    alone, all_of_it = json.loads(done.stdout)
    assert "numpy" not in alone
    assert "numpy" in all_of_it
    heavy = {"tensorflow", "keras", "librosa", "sklearn", "rich", "typer", "matplotlib", "sounddevice"}
    assert not {*all_of_it} & (heavy | ({"model"} if package == "stream" else set()))


def test_listening_loads_nothing_that_only_learning_needs(tmp_path: Path) -> None:
    sf.write(tmp_path / "talk.wav", conversation(0, 6), SAMPLE_RATE)
    profile = write_profile(tmp_path / "profile")
    code = """
import json, sys
from stream.cli import main
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    arguments = ["replay", str(tmp_path / "talk.wav"), "--speed", "max", "--profile", str(profile)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert "Sally" in lines[0]
    exit_code, loaded = json.loads(last)
    assert exit_code == 0
    assert "ai_edge_litert" in loaded
    assert not {*loaded} & {"tensorflow", "keras", "librosa", "sklearn", "scipy", "torch", "onnxruntime", "sounddevice"}


def test_a_command_keeps_the_products_of_numpy_on_one_thread() -> None:
    code = """
from stream.cli import main
try:
    main()
except SystemExit:
    import numpy
    from threadpoolctl import threadpool_info
    print("threads:", *{each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"})
"""
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    env = {name: value for name, value in os.environ.items() if name not in limits}
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines()[-1] in ("threads: 1", "threads:")  # Accelerate is not seen
