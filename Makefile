# Needs only Python 3.10 or later and make. Another interpreter: make PYTHON=python3.12; another place: make VENV=/tmp/venv
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on
INSTALLED := $(VENV)/installed.stamp

# Threads sleep while they wait, instead of spinning: many times faster where other programs want the cores too.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install options quickstart quickstart-sr quickstart-ufpnet test test-fast lint format docs dist clean

help:
	@echo "make quickstart          train a small DeepRFTv2 on photographs, on this CPU, and show what it restores"
	@echo "make quickstart-sr       the same with a small ATD+FKE, which doubles the size of photographs"
	@echo "make quickstart-ufpnet   the three stages of a small UFPNet: kernels, their estimation, and deblurring by them"
	@echo "make test                lint, type check and every test"
	@echo "make test-fast           every test that does not take seconds, in at most three minutes"
	@echo "make lint                ruff, mypy and the contracts of imports alone"
	@echo "make docs                the documentation site, in site/; a broken link is an error"
	@echo "make dist                wheel and sources in dist/, built and checked"
	@echo "make format              format the code as lint expects it"
	@echo "make options             write the option files in options/ from deeprftv2_arch/recipes"
	@echo "make install             only the virtual environment, in $(VENV)"
	@echo "make clean               remove $(VENV), the quickstarts' output and caches"

install: $(INSTALLED)

# Installed anew only when the requirements changed; the package itself is read from the checkout. basicsr comes first,
# built without pip's isolation, which would install torch a second time, and with the help that it needs on Python 3.13.
# opencv-python needs the system's libGL, which servers and containers often lack: there its headless twin takes over.
$(INSTALLED): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "error: $(PYTHON) is missing or older than Python 3.10; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "error: $(PYTHON) cannot make virtual environments; install its venv package (Debian: apt install python3-venv)" >&2; exit 1; }
	$(PIP) setuptools wheel
	PYTHONPATH='$(CURDIR)/deeprftv2_arch/basicsr_build' $(PIP) --use-pep517 --no-build-isolation --no-deps basicsr
	$(PIP) -e '.[test,quickstart,docs]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
		$(BIN)/python -m pip uninstall --quiet --yes opencv-python && \
		$(PIP) opencv-python-headless; }
	@touch $@

# The option files come from the templates and tables in deeprftv2_arch/recipes.
options: $(INSTALLED)
	$(BIN)/python -m deeprftv2_arch.recipes options

quickstart: $(INSTALLED)
	$(BIN)/python -m quickstart

quickstart-sr: $(INSTALLED)
	$(BIN)/python -m quickstart.super_resolution

quickstart-ufpnet: $(INSTALLED)
	$(BIN)/python -m quickstart.ufpnet

test: $(INSTALLED) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8

test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

dist: $(INSTALLED)
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) quickstart_output quickstart_sr_output quickstart_ufpnet_output build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
