# Everything happens in .venv, which is made on first use and brought up to date when what it is made from changes.
# Another Python (3.11 to 3.13): `make clean`, then `make test PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Errors only. Nearly 3 GB come, most of it TensorFlow, and take a few minutes.
INSTALL := @echo "Installing into $(VENV): a few minutes the first time" && \
	$(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help demo test lint clean

help:
	@echo "make demo    install, and tell who speaks in a bundled conversation"
	@echo "make test    install, and run the tests"
	@echo "make lint    install, and check style, format and types"
	@echo "make clean   remove the environment, caches and what was built"

demo: $(VENV)/installed
	$(BIN)/livespeaker demo

# Two files at once, on machines with two cores: much of a test of a microphone is waiting for sound to be played.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) .
	touch $@

# Holds all that the other one does.
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) ".[dev]"
	touch $(VENV)/installed $@

# pip comes into an environment last: where it is, the environment is whole.
$(BIN)/pip:
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" \
		|| { echo "wanted Python 3.11 to 3.13, got $$($(PYTHON) --version 2>&1): name one, as in make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
