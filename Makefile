# What you and the CI run. It needs make and Python 3.11 or later, and installs the rest in .venv and .tools.

PYTHON ?= python3
VENV   ?= .venv
TOOLS  ?= .tools
BIN    := $(VENV)/bin
SEEDS  ?= 10000
DEMO   := bulkhead-out/demo
COMMA  := ,
# More workers than processors use the time in which tests wait for processes.
PARALLEL := -n 4 --dist worksteal

# The tests start hundreds of Python processes; without cached bytecode, each one compiles every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all test-slow-ci cloud-demo cloud-test check compile lint-cloud audit format docs simulate mutants bench cover clean screenshots

help:
	@echo "make demo         import examples/inbox into a sandbox on this machine and show the results"
	@echo "make test         run the tests, without the slow ones and those of the deployed stack"
	@echo "make test-all     run all tests except those of the deployed stack; property tests use fresh seeds"
	@echo "make test-slow-ci run the slow tests that the CI runs, a fixed list: .ci/slow-tests"
	@echo "make cloud-demo   build and deploy the stack on this machine, import 30 files with it, and show the results"
	@echo "make cloud-test   test the deployed stack on this machine"
	@echo "make check        check format, lint, and types, as the CI does"
	@echo "make compile      compile the tests and the modules that they import, which saves the first tests of a clone time"
	@echo "make format       format the code as 'make check' requires"
	@echo "make lint-cloud   check template.yaml, the Dockerfile, and the examples for containers with their linters"
	@echo "make audit        look up known vulnerabilities of everything that is installed; needs a network, and fails without one"
	@echo "make simulate     simulate whole migrations with faults in virtual time: alone, on a shared ledger, and with the functions on AWS; compare packed files with single ones; SEEDS=$(SEEDS)"
	@echo "make mutants      change the modules that decide safety in small ways; some test must notice each; takes hours, and continues where it was interrupted"
	@echo "make bench        run the benchmarks; each prints its figures and their limits"
	@echo "make cover        run the tests with a coverage report"
	@echo "make screenshots  take the pictures of the documentation again; needs Chromium"
	@echo "make docs         write docs/cli.md from the commands"
	@echo "make clean        remove everything that these commands made, .venv and .tools included"

# uv installs in seconds what takes pip a minute; pip takes over where uv is missing or fails.
# $(call install,PYTHON,ARGUMENTS) installs into the environment of PYTHON.
install = $(BIN)/uv pip install --quiet --python $(1) $(2) 2> /dev/null \
	|| $(BIN)/python -m pip --python $(1) install --quiet --disable-pip-version-check $(2)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Bulkhead needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv \
		|| echo "uv cannot be installed, pip is used instead." >&2

$(VENV)/.core: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(call install,$(BIN)/python,--constraint constraints.txt --editable '.[sandbox]')
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(call install,$(BIN)/python,--constraint constraints.txt --editable '.[aws$(COMMA)sandbox$(COMMA)dev]')
	@touch $(VENV)/.core $@

# Tools that need another botocore than the project, each in its own venv; the files list exact versions.
$(TOOLS)/%/.installed: infra/tools/%.txt $(VENV)/pyvenv.cfg
	$(PYTHON) -m venv --without-pip $(TOOLS)/$*
	$(call install,$(TOOLS)/$*/bin/python,--requirement $<)
	@touch $@

# The examples contain a file that fails and two that are rejected, so the demo must end with exit code 4.
demo: $(VENV)/.core
	@rm -rf $(DEMO)
	@echo '$$ bulkhead run examples/inbox --config examples/bulkhead.toml --sandbox --out $(DEMO)'
	@$(BIN)/bulkhead run examples/inbox --config examples/bulkhead.toml --sandbox --out $(DEMO); code=$$?; \
		echo; \
		if [ $$code -eq 4 ]; then echo "The demo succeeded: exit code 4 says that some files failed, as intended."; \
		else echo "The demo ended with exit code $$code, not with the expected 4." >&2; exit 1; fi

test: $(VENV)/.dev $(TOOLS)/ministack/.installed
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow and not cloud'

test-all: $(VENV)/.dev $(TOOLS)/ministack/.installed
	$(BIN)/python -m pytest $(PARALLEL) -m 'not cloud' --hypothesis-profile=explore

# A fixed list, so that the CI ends in time.
test-slow-ci: $(VENV)/.dev $(TOOLS)/ministack/.installed
	$(BIN)/python -m pytest $(PARALLEL) -m 'slow and not cloud' $(shell grep -v '^\#' .ci/slow-tests)

CLOUD_TOOLS := $(VENV)/.dev $(TOOLS)/ministack/.installed $(TOOLS)/sam/.installed

cloud-test: $(CLOUD_TOOLS)
	$(BIN)/python -m pytest -n 3 --dist loadgroup tests/cloud

cloud-demo: $(CLOUD_TOOLS)
	@$(BIN)/python -m tests.cloud.demo

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Without it, on a new clone, every worker of the tests compiles all tests and modules for itself.
compile: $(VENV)/.dev
	$(BIN)/python -m pytest --collect-only -qq > /dev/null || true  # `make test` shows what is wrong

# Works without a network; infra/lint/accepted.toml lists the accepted findings, each with its reason.
lint-cloud: $(TOOLS)/sam/.installed $(TOOLS)/lint/.installed $(TOOLS)/container/.installed
	$(TOOLS)/sam/bin/python infra/lint --tools $(TOOLS)

# Not part of the CI: it asks a service on the internet, and what it finds changes without a change here.
audit: $(TOOLS)/audit/.installed
	$(TOOLS)/audit/bin/python infra/dependencies/audit.py infra/functions/requirements.txt constraints.txt infra/tools/*.txt

# The functions use the versions of constraints.txt, and install only files that have one of these hashes.
infra/functions/requirements.txt: infra/functions/requirements.in constraints.txt infra/dependencies/wheels.py $(TOOLS)/sam/.installed
	$(TOOLS)/sam/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header --format pylock.toml \
		--constraint constraints.txt $< > $@.lock
	{ echo '# Made of requirements.in and constraints.txt by: make $@'; \
		$(TOOLS)/sam/bin/python infra/dependencies/wheels.py < $@.lock; } > $@.new
	rm $@.lock
	mv $@.new $@

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

screenshots: $(VENV)/.dev
	$(BIN)/python -m docs.screenshots
	PATH="$(abspath $(BIN)):$$PATH" sh docs/images/check.sh

docs: $(VENV)/.core
	$(BIN)/python -m docs.reference > docs/cli.md

simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)
	$(BIN)/python -m tests.simulation --packs --seeds $(SEEDS)
	$(BIN)/python -m tests.simulation --shared --seeds $(SEEDS)
	$(BIN)/python -m tests.cloudcore --seeds $(SEEDS)
	$(BIN)/python -m tests.packing --seeds $(SEEDS)

mutants: $(VENV)/.dev $(TOOLS)/ministack/.installed $(TOOLS)/mutants/.installed
	$(BIN)/python -m tests.mutation

bench: $(CLOUD_TOOLS)
	@for script in $(filter-out bare_vendor figures letters encoding_words,$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
		echo "== $$script"; $(BIN)/python -m benchmarks.$$script || missed="$$missed $$script"; done; \
		[ -z "$$missed" ] || { echo "missed a limit:$$missed" >&2; exit 1; }

cover: $(VENV)/.dev $(TOOLS)/ministack/.installed
	$(BIN)/python -m pytest $(PARALLEL) -m 'not cloud' --cov --cov-report=term-missing:skip-covered --cov-report=html

clean:
	rm -rf $(VENV) $(TOOLS) build dist htmlcov .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .mutants bulkhead-out
