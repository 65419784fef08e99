# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
VIDEO ?=
ONLY ?=
QUERY ?= $(if $(VIDEO),a person,a red ball)
DEMO := demo
BIN := $(VENV)/bin

# Idle threads of the numerical libraries spin, which starves whatever else the machine does.
export OMP_WAIT_POLICY := PASSIVE

# Encodings of the tests' film (tests/filmed.py), and what makes the numerical libraries take the
# code that they have for processors without AVX, and for those without AVX-512.
ENCODINGS := ultrafast scalar mpeg4
NO_AVX := OPENBLAS_CORETYPE=Nehalem OPENCV_CPU_DISABLE=AVX512-SKX,AVX2,FP16,AVX \
	NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL" ATEN_CPU_CAPABILITY=default \
	ONEDNN_MAX_CPU_ISA=SSE41
NO_AVX512 := OPENBLAS_CORETYPE=Haswell OPENCV_CPU_DISABLE=AVX512-SKX \
	NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL" ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2
# The tests that feed on the film, and those of choices, where rounding decides.
FILMED = $(shell grep -l "^from filmed import" tests/test_*.py)
CHOICES := tests/test_attention.py tests/test_ties.py tests/test_baselines.py tests/test_streaming.py

.PHONY: demo test test-variants check docs benchmarks format clean

demo: $(VENV)/base $(if $(VIDEO),,$(DEMO)/film.mp4)
	$(BIN)/seal index "$(or $(VIDEO),$(DEMO)/film.mp4)" --store $(DEMO)/store
	$(BIN)/seal find "$(or $(VIDEO),$(DEMO)/film.mp4)" "$(QUERY)" --store $(DEMO)/store
	$(BIN)/seal show "$(or $(VIDEO),$(DEMO)/film.mp4)" "$(QUERY)" --store $(DEMO)/store \
		--output $(DEMO)/storyboard.html
	@echo "Open $(DEMO)/storyboard.html in a browser."

test: $(VENV)/dev check

# Tests have to pass on every processor: with the film encoded in other ways, and with the code for
# older processors. It takes several times as long as the tests themselves.
test-variants: $(VENV)/dev
	for film in $(ENCODINGS); do SEAL_TEST_FILM=$$film $(PYTEST) $(FILMED) || exit 1; done
	$(NO_AVX) $(PYTEST) $(FILMED) $(CHOICES)
	$(NO_AVX512) $(PYTEST) $(FILMED) $(CHOICES)

# Format, lint, types, English, site and tests, in the order of how fast they fail. The last line is
# a small part of test-variants.
check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/prose.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(PYTEST)
	SEAL_TEST_FILM=mpeg4 $(NO_AVX) $(PYTEST) tests/test_answer.py tests/test_library.py

# The documentation as a site in build/site: every link and anchor leads somewhere, or this fails.
docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Every number of benchmarks/README.md, in some 12 hours; goes on where it was. ONLY=WORD runs the
# commands that contain the word.
benchmarks: $(VENV)/dev
	$(BIN)/python benchmarks/rerun.py $(ONLY)

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
