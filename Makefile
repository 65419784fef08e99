# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
VIDEO ?=
QUERY ?= $(if $(VIDEO),a person,a red ball)
DEMO := demo
BIN := $(VENV)/bin

# Idle threads of the numerical libraries spin, which starves whatever else the machine does.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test check format clean

demo: $(VENV)/base $(if $(VIDEO),,$(DEMO)/film.mp4)
	$(BIN)/seal index "$(or $(VIDEO),$(DEMO)/film.mp4)" --store $(DEMO)/store
	$(BIN)/seal find "$(or $(VIDEO),$(DEMO)/film.mp4)" "$(QUERY)" --store $(DEMO)/store
	$(BIN)/seal show "$(or $(VIDEO),$(DEMO)/film.mp4)" "$(QUERY)" --store $(DEMO)/store \
		--output $(DEMO)/storyboard.html
	@echo "Open $(DEMO)/storyboard.html in a browser."

test: $(VENV)/dev check

# Format, lint, types and tests, in the order of how fast they fail.
check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO)

$(DEMO)/film.mp4: $(VENV)/base
	mkdir -p $(DEMO)
	$(BIN)/python -m seal.evaluate.film $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stamps are older than what they were made from whenever that changes.
$(VENV)/base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/base
