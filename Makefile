# Each of these works as the first command on a fresh clone; it needs python3 (3.11 or newer) and make.
#
#   ARGS=…      more arguments: for JupyterLab with `run`, for pytest with `test`
#   PYTHON=…    the interpreter to build .venv with (default: the system's, see tools/find-python)
#   INSTALL=no  name the system's packages that are missing instead of installing them (as root, on Debian)

VENV := .venv
IN_VENV := $(VENV)/bin/python
SOURCES_OF_FRONTEND := $(shell find labextension/package.json labextension/package-lock.json labextension/schema labextension/src labextension/style)
SOURCES_OF_SETUP := pyproject.toml tools/bootstrap.py tools/frontend.py $(wildcard jupyter-config/*/*.json) $(SOURCES_OF_FRONTEND)

export EXIT_CODE_FILE INSTALL PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test test-languages lint bench clean distclean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1:\t\2/p' Makefile

run: $(VENV)/.installed-lab ## Open JupyterLab with the extension and print its URL
	@exec $(IN_VENV) tools/run_lab.py $(ARGS)

test: $(VENV)/.installed-dev ## Lint, then run the whole test suite
	@exec $(IN_VENV) -m tools.run_tests $(ARGS)

test-languages: $(VENV)/.installed-dev ## Test every language that this machine has (install more: embedenv languages install NAME…)
	@$(IN_VENV) -m pytest -q tests/integration/engine_runs/test_languages.py $(ARGS)

lint: $(VENV)/.installed-dev ## Run ruff, mypy, the import contracts, and the linters of the front end
	@exec $(IN_VENV) tools/lint.py

bench: $(VENV)/.installed-dev ## Run the benchmarks, one after another
	@for bench in benchmarks/bench_*.py; do echo "== $$bench"; $(IN_VENV) -m "benchmarks.$$(basename "$$bench" .py)" $(ARGS) || exit; done

clean: ## Remove what building, linting and testing left behind
	rm -rf build dist embedenv_jupyter/labextension labextension/build labextension/lib .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name node_modules -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the virtual environment and the packages of npm, too
	rm -rf $(VENV) labextension/node_modules tests/browser/hub_proxy/node_modules

# The stamp is written last, so that an interrupted set-up is made again.
$(VENV)/.installed-%: $(SOURCES_OF_SETUP)
	@python=$$(tools/find-python) && exec "$$python" tools/bootstrap.py $*
