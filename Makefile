# The two commands that matter: `make bench` and `make test`. Everything runs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: bench perf test lint docs pictures format clean

bench: $(VENV)/.installed
	$(BIN)/python run_benchmark.py run --suite demo $(ARGS)

perf: $(VENV)/.installed
	$(BIN)/python run_benchmark.py perf $(ARGS)

test: $(VENV)/.developer
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.developer build/typing/hashattack
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/site. A warning fails it.
docs: $(VENV)/.developer
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The pictures of the README and of the first page, from a run.
pictures: $(VENV)/.installed
	$(BIN)/python docs/pictures.py $(or $(ARGS),results/demo)

build/typing/hashattack:
	mkdir -p build/typing
	ln -s ../.. $@

format: $(VENV)/.developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11; run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch and torchvision come first and together, so that pip picks a matching pair.
$(VENV)/.torch: $(VENV)/.python
	$(BIN)/pip install --quiet 'torch>=2.6' 'torchvision>=0.21'
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

# torchattacks pins a requests of 2021, which it never imports and which would hold back selenium and
# urllib3; all else that it needs is there.
$(VENV)/.developer: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --editable '.[dev]'
	@$(BIN)/pip install --quiet --no-deps 'torchattacks>=3.5.1' || \
	  echo "torchattacks could not be installed: its tests are skipped" >&2
	@touch $@
