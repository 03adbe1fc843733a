# Everything runs in .venv, which is created once and updated when pyproject.toml or constraints.txt changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: study test lint bench torture clean

study: $(READY)
	$(BIN)/kdtune study digits-hkd --strategy all --fresh

# Three processes even on two cores, since a third of the time tests wait for processes that they started. Bytecode is
# written, for these are a hundred processes, which would each compile the package again.
test: $(READY)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

# A hundred kills at random moments (half an hour), then a thousand trials whose memory is observed.
torture: $(READY)
	$(BIN)/python -m benchmarks torture
	$(BIN)/python -m benchmarks soak

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The marker is written last, so that an interrupted installation is continued by the next make.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kdtune requires Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)
