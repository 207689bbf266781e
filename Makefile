# The commands that README names. Every environment is made here, from python3 alone.

PYTHON ?= python3
PIP := -m pip install -q --disable-pip-version-check

.PHONY: demo test lint test-interrupts test-soak test-mutants test-input-mutants \
	test-family-mutants test-interrupted-conversions test-templates test-constraints \
	test-server-soak test-schema test-deployment test-page test-ray test-clients test-oracles test-types golden bench \
	bench-callers bench-answers bench-server bench-conversion wheel clean

# A small infilling model, which comes with the package, fills a gap; then the default model,
# fetched on first use, completes a function. Both take the most likely token each time, and the
# logits are the same bits on every machine, so this prints the same text everywhere. stdout is
# code, with what the models wrote in its place.
define FIBONACCI
def fibonacci(n):
    """Return the n-th Fibonacci number."""
    if
endef
export FIBONACCI

demo: .venv/run.stamp
	@echo "infill-10m fills 'import nu<FILL_ME>' (the first run compiles)" >&2
	@.venv/bin/halfbyte infill -m infill-10m -n 3 --full \
	    -p "$$(printf 'import nu<FILL_ME>\n\nx = np.zeros(3)')"
	@echo
	@echo "SmolLM2 135M completes 'def fibonacci(n):', from its 'if' on" >&2
	@code=$$(.venv/bin/halfbyte complete -m smollm2-135m -n 96 --temp 0 --stop '```' \
	    -p "$$FIBONACCI") \
	    && printf '%s%s\n' "$$FIBONACCI" "$$code"

# A file of tests goes to one process, so that what it loads is loaded once. Kernels that most of
# them take are compiled before, not by each process at the same time.
test: .venv/dev.stamp
	.venv/bin/halfbyte warmup -q infill-10m
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not oracle" -rs

# 300 real signals while loading and 300 while running, in processes of 25; and a load under each of
# many limits of memory. `make test` takes a sample of both.
test-interrupts: .venv/dev.stamp
	@for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do for what in load run; do \
	    .venv/bin/python tests/runtime/interrupts.py $$what 25 $$seed || exit 1; done; done
	HALFBYTE_TEST_LIMITS="0 1 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36 40 44 48 56 64 \
	    80 100 150 200 300" .venv/bin/python -m pytest -q tests/runtime/test_loading.py -k memory

# What a type checker sees is a regular install: it does not follow package-dir in an editable one.
lint: .venvs/lint/tools.stamp
	.venvs/lint/bin/ruff check --extend-exclude .venvs .
	.venvs/lint/bin/ruff format --check --extend-exclude .venvs .
	@rm -rf build
	.venvs/lint/bin/python $(PIP) --no-deps --force-reinstall . >&2
	.venvs/lint/bin/mypy -p halfbyte
	MYPYPATH=tests/typing .venvs/lint/bin/mypy --explicit-package-bases tests/typing/calls.py

# Comparisons with heavy peers (torch and transformers, llama.cpp), each in an environment of its
# own; building llama.cpp takes minutes.
test-oracles: .venv/dev.stamp
	@$(PYTHON) benchmarks/environments.py torch peer
	.venv/bin/python -m pytest -m oracle -rs

# Ten thousand calls that come, leave, give up and fail; and random callers against each one alone.
test-soak: .venv/dev.stamp
	N_CALLS=10000 .venv/bin/python -m pytest -q tests/runtime/test_soak.py
	N_EXAMPLES=300 .venv/bin/python -m pytest -q tests/runtime/generation/test_running_batch.py

# A server under mixed traffic for half an hour: memory flat, no 500, no stuck request.
test-server-soak: .venv/dev.stamp
	.venv/bin/python -m tests.mutants.server_soak 30

# A hundred requests a route, made from the server's own description; minutes.
test-schema: .venv/dev.stamp
	@$(PYTHON) -m venv .venvs/schema
	.venvs/schema/bin/python $(PIP) 'schemathesis==4.32.5'
	.venv/bin/python -m tests.mutants.server_schema $(CURDIR)/.venvs/schema/bin/schemathesis

# The server and data sets on a local Ray cluster of several processes; Ray is 700 MB.
test-ray: .venv/dev.stamp
	@$(PYTHON) -m venv .venvs/ray
	.venvs/ray/bin/python $(PIP) -e '.[dev,ray]'
	.venvs/ray/bin/python -m pytest -q -rs tests/ray

# Other people's programs and libraries against a server: 2 GB of them, each in its newest version
# that was tried. One that cannot be installed is skipped. Aider wants versions of its own.
LIBRARIES := langchain-openai==1.7.4 langchain-ollama==1.1.0 litellm==1.110.2 llm==0.36
AGENTS := @anthropic-ai/claude-code@2.1.332 @openai/codex@0.171.0 opencode-ai@1.18.33 \
	@continuedev/cli@1.5.47
# Continue's code for gaps, with what bundles it; what its packages build is not needed.
CORE := @continuedev/core@1.1.0 esbuild@0.25.0
test-clients: .venv/dev.stamp
	@$(PYTHON) -m venv .venvs/clients
	.venvs/clients/bin/python $(PIP) -e '.[dev]'
	for one in $(LIBRARIES); do .venvs/clients/bin/python $(PIP) $$one || true; done
	@$(PYTHON) -m venv .venvs/aider
	.venvs/aider/bin/python $(PIP) aider-chat==0.86.2 || true
	for one in $(AGENTS); do \
	    npm install --silent --no-audit --no-fund --prefix .venvs/agents $$one || true; done
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venvs/core $(CORE) || true
	-ln -sf "$$(command -v node)" .venvs/core/node_modules/.bin/node
	CLIENTS=$(CURDIR)/.venvs/core/node_modules/.bin:$(CURDIR)/.venvs/agents/node_modules/.bin:$(CURDIR)/.venvs/aider/bin:$(CURDIR)/.venvs/clients/bin \
	    .venvs/clients/bin/python -m pytest -q -rs tests/clients \
	    -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning

# The server's page in Debian's Chromium, or in the one that CHROMIUM names.
test-page: .venv/dev.stamp
	.venv/bin/python $(PIP) 'playwright==1.65.2'
	.venv/bin/python -m pytest -q -rs tests/browser

# 1,000 drawn answers to 20 schemas: each that is complete is valid, each that was cut says so.
test-constraints: .venv/dev.stamp
	N_RUNS=1000 .venv/bin/python -m pytest -q tests/runtime/test_drawn_json.py

# The steps of docs/deploy/Dockerfile in an empty folder, up to a server that is ready.
test-deployment: .venv/dev.stamp
	DEPLOY=1 .venv/bin/python -m pytest -q tests/runtime/server/test_deployment.py

# 2,000 hostile chat templates, each rendered under a watch; minutes.
test-templates: .venv/dev.stamp
	.venv/bin/python tests/mutants/templates.py

# The kernels of every tensor type on every instruction set of this machine: minutes.
test-types: .venv/dev.stamp
	for isa in $$(.venv/bin/python -c 'from halfbyte.kernels.compiler import target; \
	    print(*target.supported())'); do \
	    ALL_TYPES=1 HALFBYTE_ISA=$$isa .venv/bin/python -m pytest -q tests/kernels/formats \
	        tests/kernels/layouts tests/kernels/products tests/kernels/quantizers \
	        || exit 1; \
	done

# Ten thousand mutated GGUF files: minutes. It goes on where the last run ended; `make clean`
# begins anew.
test-mutants: .venv/dev.stamp
	.venv/bin/python -m tests.mutants.run

# 2,000 changed files of each kind that a conversion reads: minutes. It goes on likewise.
test-input-mutants: .venv/dev.stamp
	.venv/bin/python -m tests.mutants.inputs.run

# Each key of each family's config.json and GGUF file, absent, out of range or of another type: half
# an hour.
test-family-mutants: .venv/dev.stamp
	.venv/bin/python -m tests.mutants.family_keys

# Conversions that are killed, run out of disk or have a rival.
test-interrupted-conversions: .venv/dev.stamp
	.venv/bin/python -m tests.mutants.interrupted

# The answers of transformers that the tests compare with, made anew.
golden:
	@$(PYTHON) benchmarks/environments.py torch
	.venvs/torch/bin/python benchmarks/make_golden.py
	.venvs/torch/bin/python benchmarks/make_long_golden.py
	.venvs/torch/bin/python benchmarks/config_peer.py tests/data/golden_configs.json

# Against llama.cpp on the same files, in turns: an hour on two cores, which must be idle otherwise.
# It prints goals beside what is reached; docs/performance.md has the reasons. A run that was cut
# short goes on with `.venv/bin/python benchmarks/suite.py GROUP ...`.
bench: .venv/dev.stamp
	@$(PYTHON) benchmarks/environments.py peer peer-avx512 peer-avx2 plot
	.venv/bin/python benchmarks/suite.py
	.venv/bin/python benchmarks/contention.py
	.venv/bin/python benchmarks/start.py
	.venv/bin/python benchmarks/memory.py
	.venv/bin/python benchmarks/depths.py --kept .venvs/depths.kept --keep
	.venv/bin/python benchmarks/depths.py --depth 16384 --keep
	.venv/bin/python benchmarks/growth.py
	.venvs/plot/bin/python benchmarks/plot_growth.py
	.venv/bin/python benchmarks/report.py
	.venv/bin/python benchmarks/report_goals.py

# Callers, caches, typing and edits, partly beside llama-server, which is built once in .venvs unless
# LLAMA_SERVER=PATH names one: twenty minutes on two cores, which must be idle otherwise. On a CPU
# with AMX, LLAMA_SERVER=.venvs/llama-server-native/bin/llama-server is the native one, once
# `benchmarks/environments.py llama-server-native` has built it.
bench-callers: .venv/dev.stamp
	@test -n "$$LLAMA_SERVER" || $(PYTHON) benchmarks/environments.py llama-server
	.venv/bin/python benchmarks/callers.py --only threads lone beside hit cancel
	.venv/bin/python benchmarks/callers.py 7b-infill --only cancel
	.venv/bin/python benchmarks/agent_replay.py
	.venv/bin/python benchmarks/agent_replay.py qwen35-cut-q4_0
	.venv/bin/python benchmarks/edit_replay.py
	.venv/bin/python benchmarks/speculation.py
	.venv/bin/python benchmarks/typing_replay.py smollm2
	.venv/bin/python benchmarks/typing_replay.py 7b --keys 20 --sides auto server
	.venv/bin/python benchmarks/report.py

# Several answers, adapters and constraints; minutes on two cores, which must be idle otherwise.
bench-answers: .venv/dev.stamp
	.venv/bin/python benchmarks/candidates.py
	.venv/bin/python benchmarks/constraints.py
	.venv/bin/python benchmarks/report.py

# The server's load, beside llama-server (see bench-callers): ten minutes on two cores.
bench-server: .venv/dev.stamp
	@test -n "$$LLAMA_SERVER" || $(PYTHON) benchmarks/environments.py llama-server
	.venv/bin/python benchmarks/server_load.py smollm2-135m --only load queue stream
	.venv/bin/python benchmarks/server_load.py 1b-q4_0 --only load stream --each 2
	.venv/bin/python benchmarks/server_load.py infill-10m --only infill
	.venv/bin/python benchmarks/server_load.py 7b-infill --only cancel
	.venv/bin/python benchmarks/report.py

# What conversion loses and how fast it is, beside llama.cpp's quantizer; hours on a small machine.
bench-conversion: .venv/dev.stamp
	@$(PYTHON) benchmarks/environments.py peer plot
	.venv/bin/python benchmarks/conversion.py infill-10m
	.venv/bin/python benchmarks/conversion.py heavy-tails
	.venv/bin/python benchmarks/conversion.py smollm2-135m --calibrated q4_0 q4_k_m
	.venv/bin/python benchmarks/conversion_speed.py
	.venvs/plot/bin/python benchmarks/plot_conversion.py
	.venv/bin/python benchmarks/report.py

# A wheel with common kernels' machine code, for x86-64 Linux: its first start compiles nothing.
# Five minutes on two cores.
wheel: .venv/run.stamp
	@$(PYTHON) -m venv .venvs/wheel
	.venvs/wheel/bin/python $(PIP) 'wheel==0.48.0' .
	.venvs/wheel/bin/python benchmarks/make_wheel.py

# Read by the Python that it is about, however old.
define OLD_PYTHON
import sys
if sys.version_info < (3, 10):
    sys.exit("halfbyte needs Python 3.10 or later, and this is %s: "
             "name another, as in `make PYTHON=python3.12`" % sys.version.split()[0])
endef
export OLD_PYTHON

clean:
	rm -rf .venv .venvs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp is newer than pyproject.toml once its environment holds what that names.
.venv/bin/python:
	@$(PYTHON) -c "$$OLD_PYTHON"
	@$(PYTHON) -m venv .venv >&2

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing halfbyte into .venv" >&2
	@.venv/bin/python $(PIP) -e . >&2
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing halfbyte and its test tools into .venv" >&2
	@.venv/bin/python $(PIP) -e '.[dev]' >&2
	@touch $@ .venv/run.stamp

.venvs/lint/tools.stamp: pyproject.toml
	@echo "Installing halfbyte and its lint tools into .venvs/lint" >&2
	@$(PYTHON) -m venv .venvs/lint >&2
	@.venvs/lint/bin/python $(PIP) '.[dev]' >&2
	@touch $@
