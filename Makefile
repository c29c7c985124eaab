# For newcomers: `make demo` and `make test` do all the set-up by themselves.
# Arguments go into ARGS: make test ARGS="-k publish", make demo ARGS=--keep

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick test-under-load coverage mutants test-topologies chaos chaos-matrix failover night order simulate model conformance generated listed bench bench-quick bench-clients sizing soak check format slack-events json lock promises docs picture build bundle check-build audit sbom clean

# What another project's shell session has set is not meant for this one's tools.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PYTHONSTARTUP
# Without bytecode, each of the thousands of processes that tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

SYNCED := .venv/.synced
BEHIND_OTHERS := tests/integration tests/hosts
TOPOLOGIES := sentinels cluster
# Tools that only releases need, as locked, in an environment that is made for the call.
RELEASE_TOOL := sh scripts/bootstrap run --quiet --isolated --locked --only-group release
# What users can get by any extra.
LOCKED := sh scripts/bootstrap export --quiet --locked --no-dev --all-extras

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(SYNCED) ## a Python, uv and .venv; the others do this when it is needed

$(SYNCED): pyproject.toml uv.lock scripts/bootstrap
	@sh scripts/bootstrap
	@touch $@

demo: $(SYNCED) ## the whole story in the terminal, without a Redis
	@.venv/bin/abe-redis demo $(ARGS)

test: $(SYNCED) ## all tests
	.venv/bin/python -m pytest -n auto --dist worksteal $(ARGS)

test-quick: $(SYNCED) ## the unit tests and the contract, in about a minute, for a first impression
	.venv/bin/python -m pytest tests/unit tests/contract -n auto --dist worksteal $(ARGS)

test-under-load: $(SYNCED) ## all tests beside busy loops, four for each core: what depends on speed fails
	.venv/bin/python -m tests.under_load $(ARGS)

coverage: $(SYNCED) ## the engine's tests, and each line and branch of it that none of them reaches
	@mkdir -p .cache/coverage
	.venv/bin/python -m coverage erase
	.venv/bin/python -m coverage run -m pytest tests/unit tests/contract tests/integration -n auto --dist worksteal $(ARGS)
	.venv/bin/python -m coverage combine -q
	.venv/bin/python -m coverage report

mutants: $(SYNCED) ## small faults in the engine, each of which a test must notice; takes about an hour
	.venv/bin/python -m tests.mutation $(ARGS)

test-topologies: $(SYNCED) ## integration and host tests behind Sentinels, and in a cluster
	set -e; for one in $(TOPOLOGIES); do \
		.venv/bin/python -m pytest $(BEHIND_OTHERS) -n auto --dist worksteal --topology $$one $(ARGS); done

chaos: $(SYNCED) ## break everything at random and count what is lost, in about two minutes
	.venv/bin/python -m tests.chaos $(ARGS)

chaos-matrix: $(SYNCED) ## five seeds on Redis, Valkey, Sentinels and a cluster, plain and ordered: 100,000 events, an hour
	.venv/bin/python -m tests.chaos.matrix $(ARGS)

failover: $(SYNCED) ## primaries die and freeze and slots move under load, in about three minutes
	.venv/bin/python -m tests.chaos.failover $(ARGS)

night: $(SYNCED) ## an operator's night: backlog, full memory, frozen worker and more, each named with its remedy
	.venv/bin/python -m tests.chaos.night $(ARGS)

order: $(SYNCED) ## ordered workers die, join and freeze, and what came out of order is counted
	.venv/bin/python -m tests.chaos.order $(ARGS)

simulate: $(SYNCED) ## the engine under simulated time, network and faults, for ten minutes; each failure is a seed
	.venv/bin/python -m tests.simulation $(ARGS)

model: $(SYNCED) ## every way in which two members of a group can go, up to a fault, over the real Lua
	.venv/bin/python -m tests.simulation.model $(ARGS)

conformance: $(SYNCED) ## what the MCP suite, the inspector, the bundle's validator and an OAuth server say; needs npm
	.venv/bin/python -m tests.conformance $(ARGS)

generated: $(SYNCED) ## 12,000 answers and 4,000 wrong calls of each line of the MCP SDK, in some minutes
	.venv/bin/python -m tests.generated $(ARGS)

listed: $(SYNCED) ## server.json against the registry's schema; needs the network
	.venv/bin/check-jsonschema --schemafile "$$(.venv/bin/python -c 'import json; print(json.load(open("server.json"))["$$schema"])')" server.json

bench: $(SYNCED) ## the same work by abe-redis and by others, on Valkey and on Redis, in about twenty minutes
	.venv/bin/python -m benchmarks $(ARGS)

bench-quick: $(SYNCED) ## the same in about two minutes, for a first impression
	.venv/bin/python -m benchmarks --quick $(ARGS)

bench-clients: $(SYNCED) ## how long clients of one MCP server wait for each other, in about two minutes
	.venv/bin/python -m benchmarks.clients $(ARGS)

sizing: $(SYNCED) ## what many workspaces cost, into docs/scaling.md, in about seven minutes
	.venv/bin/python -m benchmarks.sizing --page docs/scaling.md $(ARGS)

soak: $(SYNCED) ## what a million events and a hundred thousand dead letters cost, into docs/scaling.md, in about five minutes
	.venv/bin/python -m benchmarks.soak --page docs/scaling.md $(ARGS)

check: $(SYNCED) ## formatting, lint and types, of the Lua scripts too; who imports whom, and how long files are
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	@mkdir -p .cache/imports
	.venv/bin/lint-imports --cache-dir .cache/imports --no-logo
	.venv/bin/mypy
	.venv/bin/python scripts/check_lua.py
	.venv/bin/python -m pytest -q tests/unit/test_house.py

format: $(SYNCED) ## what ruff can put right by itself
	.venv/bin/ruff check --fix-only
	.venv/bin/ruff format

slack-events: $(SYNCED) ## the tables of docs/slack-events.md, from the code
	@.venv/bin/python docs/_ext/slack_events.py

json: $(SYNCED) ## docs/json.md, the fields of what commands print with --json, from the code
	@.venv/bin/python docs/_ext/json_outputs.py

lock: ## uv.lock anew, after a change of dependencies in pyproject.toml
	@sh scripts/bootstrap lock $(ARGS)

promises: $(SYNCED) ## what the docs promise, and which tests prove it
	@.venv/bin/python -m tests.promises

docs: $(SYNCED) ## the documentation, as a site in docs/_build; a warning is an error
	@.venv/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build $(ARGS)
	@echo "The site is at docs/_build/index.html."

picture: $(SYNCED) ## docs/_static/demo.svg, the terminal of a demo, for the README
	@.venv/bin/python scripts/picture.py docs/_static/demo.svg

build: ## the sdist, and from it the wheel, in dist
	@rm -rf dist
	@sh scripts/bootstrap build --out-dir dist --build-constraints scripts/build.txt --require-hashes

bundle: $(SYNCED) build ## the wheel as an MCPB bundle, which Claude Desktop installs by itself
	@.venv/bin/python scripts/bundle.py dist/*.whl

check-build: ## whether PyPI would take what `make build` has made
	@$(RELEASE_TOOL) twine check --strict dist/*.whl dist/*.tar.gz

audit: $(SYNCED) ## known weaknesses of the locked dependencies, and of the workflows
	@mkdir -p .cache
	@$(LOCKED) --format requirements-txt --no-emit-project -o .cache/locked.txt >/dev/null
	$(RELEASE_TOOL) pip-audit --requirement .cache/locked.txt --disable-pip --strict --progress-spinner off
	.venv/bin/zizmor --offline --pedantic .

sbom: ## the locked dependencies, as CycloneDX, in dist
	@mkdir -p dist
	@$(LOCKED) --format cyclonedx1.5 -o dist/abe-redis.cdx.json >/dev/null

clean: ## away with all that was made here
	rm -rf .venv .tools .cache dist build docs/_build docs/reference .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
