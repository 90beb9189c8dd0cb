# Set-up in two commands: `make demo` and `make test`. Both create the environment in .venv if it is absent.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check bench bench-startup bench-nights bench-kills docs picture format clean

demo: $(INSTALLED)
	$(BIN)/spade demo

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python tests/benchmarks/bench.py

bench-startup: $(INSTALLED)
	$(BIN)/python tests/benchmarks/startup.py

bench-nights: $(INSTALLED)
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/nights.py

bench-kills: $(INSTALLED)
	PYTHONPATH=.:tests $(BIN)/python tests/benchmarks/kills.py

docs: $(INSTALLED)
	$(BIN)/python -m tasks.run.documentation docs

picture: demo
	$(BIN)/python tests/picture.py spade-store docs/report.png

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) spade-store build

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SPADE needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
