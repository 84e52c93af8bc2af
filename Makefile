# Everything starts from a bare checkout: each target makes the virtual environment first, with locked versions.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
CUDA ?= cuda12
JOBS ?= 2

.PHONY: demo demo-icat test test-gpu chaos lint bench clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,lint,bench]"
	touch $@

demo: $(VENV)/installed  ## the whole system on this machine: make demo ARGS="--seconds 5"
	@$(BIN)/octostream demo $(ARGS)

demo-icat: $(VENV)/installed  ## the same, registered in a stand-in for ICAT: make demo-icat ARGS="--seconds 5"
	@$(BIN)/python -m octostream.tests.icat_server.demo $(ARGS)

test: $(VENV)/installed  ## all tests, those that measure speed alone at the end: make test ARGS="tests/stream -q"
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not rate" $(ARGS)
	$(BIN)/pytest $(ARGS) -m rate || test $$? -eq 5  # 5: none of them was asked for

test-gpu: $(VENV)/installed  ## what needs a CUDA device: make test-gpu CUDA=cuda13
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(CUDA)]"
	$(BIN)/pytest -m gpu $(ARGS)

chaos: $(VENV)/installed  ## the campaign in its long form: make chaos ARGS="-kstorage --seeds=1-3"
	OCTOSTREAM_CHAOS=long $(BIN)/pytest tests/chaos tests/stream/test_simulation.py $(ARGS)

bench: $(VENV)/installed  ## our speed beside others', in one run
	@$(BIN)/octostream bench $(ARGS)

lint: $(VENV)/installed  ## format, rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

clean:  ## forget the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
