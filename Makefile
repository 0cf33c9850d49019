# Two commands do all the set-up: `make fit` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
JOBS ?= 2
# The page's front end: what it is built from, and what says that it is built.
SITE := lightning_modules/page/site/index.html
FRONTEND := $(shell find frontend/ datamodules/pages/ -type f -not -path '*/node_modules/*' -not -path '*/tests/*' 2> /dev/null)
NODE_FITS := node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
  process.exit((a == 20 && b >= 19) || (a == 22 && b >= 12) || a > 22 ? 0 : 1)' 2> /dev/null
HAVE_NODE := $(shell command -v npm > /dev/null && $(NODE_FITS) && echo yes)
NO_NODE := There is no Node.js 20.19 or 22.12, or newer, with npm
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
# One thread a process: tests are small, and two processes with two threads each wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

.PHONY: help fit sample evaluate inspect report tensorboard page frontend test test-page test-slow docs golden configs-table \
  lint format clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

fit: $(VENV)/.installed  ## Train; options in ARGS="--config cats --data.root my_images"
	@$(BIN)/python scripts/fit.py $(ARGS) || [ $$? -eq 75 ]  # stopped and saved: no failure

sample: $(VENV)/.installed  ## Sample images; ARGS="runs/demo --labels tabby --n 64"
	$(BIN)/python scripts/sample.py $(ARGS)

evaluate: $(VENV)/.installed-eval  ## Measure a run; ARGS="runs/demo --nfe 6,10,20"
	$(BIN)/python scripts/evaluate.py $(ARGS)

inspect: $(VENV)/.installed  ## Look into a folder of images; ARGS="my_images"
	$(BIN)/python scripts/inspect_data.py $(ARGS)

report: $(VENV)/.installed  ## Write the page that tells of a run; ARGS="runs/demo"
	$(BIN)/python scripts/report.py $(ARGS)

tensorboard: $(VENV)/.installed  ## Serve runs/ on http://localhost:6006
	$(BIN)/python scripts/board.py $(ARGS)

page: $(VENV)/.installed-export  ## Write a run's page and serve it; ARGS=runs/demo
	@if [ -n "$(HAVE_NODE)" ] || ! [ -f $(SITE) ]; then $(MAKE) --no-print-directory frontend; fi
	$(BIN)/python scripts/page.py $(ARGS) --serve

frontend: $(SITE)  ## Build the page's front end, with Node

test: $(VENV)/.installed-dev  ## Run the tests, all but the slow ones, JOBS=2 at a time; options in ARGS
	$(PYTEST) -m "not slow" $(ARGS)
	@$(if $(ARGS),,$(MAKE) --no-print-directory test-page)

test-page: $(VENV)/.installed-dev $(if $(HAVE_NODE),$(SITE))  ## Run the tests of the page: in Node, and in Chromium
	@$(if $(HAVE_NODE),cd frontend && npm test,echo "Not tested: the page. $(NO_NODE)")
	@$(if $(HAVE_NODE),$(if $(CHROMIUM),cd frontend && CHROMIUM="$(CHROMIUM)" \
	  NINELIVES_PYTHON="$(abspath $(BIN)/python)" npm run test:browser,\
	  echo "Not tested: the page in a browser. There is no Chromium; make CHROMIUM=PATH names one"))

test-slow: $(VENV)/.installed-dev  ## Run the slow tests
	$(PYTEST) -m slow $(ARGS)

golden: $(VENV)/.installed-dev  ## Write what the tests of the page's code compare it with
	$(BIN)/python -m tests.frontend.golden

configs-table: $(VENV)/.installed-dev  ## Count what each config costs, into docs/configs.md
	$(BIN)/python benchmarks/configs_table.py

docs: $(VENV)/.installed-docs  ## Build the documentation, a web site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open site/index.html in a browser"

lint: $(VENV)/.installed-dev $(if $(HAVE_NODE),frontend/node_modules/.installed)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(if $(HAVE_NODE),cd frontend && npm run lint && npm run typecheck,echo "Not checked: frontend/. $(NO_NODE)")

format: $(VENV)/.installed-dev  ## Put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment, caches and the built page; runs/ and data/ stay
	rm -rf $(VENV) build site *.egg-info .mypy_cache .pytest_cache .ruff_cache
	rm -rf frontend/node_modules $(dir $(SITE))

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV): torch, Lightning and what they need; minutes, the first time"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-eval: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[eval]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-export: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-docs $(VENV)/.installed-export

frontend/node_modules/.installed: frontend/package-lock.json
	@[ -n "$(HAVE_NODE)" ] || { echo "Building the page needs Node.js 20.19 or 22.12, or newer," \
	  "with npm: https://nodejs.org"; exit 1; }
	cd frontend && npm ci --no-audit --no-fund
	@touch $@

$(SITE): frontend/node_modules/.installed $(FRONTEND)
	cd frontend && npm run build
	@touch $@
