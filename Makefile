# The commands every reader relies on. `make` alone prints this list.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
AUDIT := build/audit

.DEFAULT_GOAL := help
.PHONY: help demo docs image test unit lint check chart audit advisories dist scan publish codeql bench chaos tools packages generate golden pictures venv clean lock

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): tools/lock/dev.txt
	@$(RUN) -m pip --version > /dev/null 2>&1 || { $(PYTHON) -m tools.install.preflight venv && $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked Python packages into $(VENV) (about a minute the first time)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tools/lock/dev.txt
	@$(VENV)/bin/python -m pip --disable-pip-version-check check > /dev/null || $(VENV)/bin/python -m pip check
	@touch $@

$(AUDIT)/.installed: tools/lock/audit.txt
	@$(PYTHON) -m tools.install.preflight venv && $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tools/lock/audit.txt
	@touch $@

venv: $(STAMP) ## install the locked Python packages into .venv

packages: ## install what is missing of PostgreSQL, Redis, Prometheus and the peers (Debian packages)
	@$(PYTHON) -m tools.install.packages

tools: ## build the test servers (Kubernetes, Prometheus, Alertmanager, …) once, into a cache outside the tree
	@$(PYTHON) -m tools.install.build

# What cannot be done here is said before the first minute of it.
possible-%:
	@$(PYTHON) -m tools.install.preflight $*

demo: possible-$(if $(filter 1,$(ACT)),act,demo) venv ## four faults, end to end, on real parts: one held, three repaired (ACT=1 plays the first alone, without Kubernetes; KEEP=1 stays up; TUTORIAL=1 is the stage of docs/tutorial.md)
	@$(RUN) -m demo $(if $(ACT),--act $(ACT)) $(if $(KEEP),--keep) $(if $(TUTORIAL),--tutorial)

test: possible-test venv packages tools ## everything the tests need, then all tests
	@$(RUN) -m tools.run_tests

unit: venv ## unit tests alone: no server, no package, a few minutes
	@$(RUN) -m pytest -q -n 2 --dist loadgroup tests/unit

lint: venv ## style, types, layers, dashboards as their sources say; needs no server
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(RUN) -m dashboards.src.build --check

check: possible-test lint packages ## lint, unit tests, rules, chart: a few minutes, nothing left running
	@$(PYTHON) -m tools.install.build --only promtool --only helm
	@$(RUN) -m pytest -q -n 2 --dist loadgroup -m "not cluster" tests/unit tests/integration/rules tests/integration/helm

chart: possible-test venv packages tools ## the chart against the schemas of Kubernetes (kubeconform), then its tests on a real API server
	@$(PYTHON) -m tools.install.build --only kubeconform
	@$(RUN) -m tools.servers.kubernetes.kubeconform
	@$(RUN) -m pytest -q -n 2 --dist loadgroup tests/integration/helm

audit: $(AUDIT)/.installed ## faults in the sources (bandit) and in the workflows (actionlint, zizmor); asks no server
	@$(AUDIT)/bin/bandit --quiet --configfile pyproject.toml --recursive chassis exporter remediations tools demo dashboards/src
	@$(PYTHON) -m tools.install.build --only actionlint
	@$$($(PYTHON) -c 'from tools.install.build import locate; print(locate("actionlint"))')
	@$(AUDIT)/bin/zizmor --offline --quiet --no-progress .github

# --strict: a package about which the service says nothing is a fault, not a clean one.
advisories: $(AUDIT)/.installed ## known vulnerabilities of the locked Python packages (pip-audit asks PyPI)
	@$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off $(foreach lock,runtime build dev audit,-r tools/lock/$(lock).txt)

dist: venv ## what a release publishes beside the image, into dist: wheel, chart, SBOM, checksums (TAG=v1.2.3 must be the version)
	@$(PYTHON) -m tools.install.build --only helm
	@$(RUN) -m tools.install.release.dist $(if $(TAG),--tag $(TAG))

scan: ## known vulnerabilities of the built image's packages, by its SBOM (grype, which loads its database)
	@$(PYTHON) -m tools.install.build --only grype
	@$(PYTHON) -m tools.install.image.scan

publish: ## push image and chart to REGISTRY, sign and attest them and the files of dist (docker, cosign)
	@$(PYTHON) -m tools.install.build --only helm --only cosign
	@$(PYTHON) -m tools.install.release.publish --registry "$(REGISTRY)" $(ARGS)

codeql: ## static analysis by a CodeQL of yours on PATH, into build/codeql/python.sarif
	@codeql database create --overwrite --language=python --source-root . build/codeql/database
	@codeql database analyze build/codeql/database --format=sarif-latest --output build/codeql/python.sarif

generate: venv ## write everything generated (drift fails a test)
	@$(RUN) -m tools.generate.links
	@$(RUN) -m dashboards.src.build
	@$(RUN) -m exporter --print-metrics > docs/metrics.md
	@$(RUN) -m tools.generate.chart_values
	@$(RUN) -m tools.generate.collectors
	@$(RUN) -m tools.generate.policies
	@$(RUN) -m tools.generate.reasons
	@$(RUN) -m tools.generate.house --write
	@$(RUN) -m tools.generate.system_picture
	@$(RUN) -m tools.generate.settings_pages
	@$(RUN) -m tools.generate.man_pages

docs: venv ## build the documentation site into build/site; a broken link ends it
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build
	@echo "build/site/index.html; with search: $(RUN) -m http.server --directory build/site --bind 127.0.0.1 8000"

image: $(if $(and $(TRIAL),$(BASE_IMAGE)),trial-has-its-own-base) possible-image ## build the container image and its SBOM with docker, podman or buildah (BASE_IMAGE=…, ARGS="--platform linux/arm64"; TRIAL=1 builds it twice from a base made here and tries it)
	@$(PYTHON) -m $(if $(TRIAL),tools.install.image.trial,tools.install.image) $(if $(BASE_IMAGE),--base-image $(BASE_IMAGE)) $(ARGS)

trial-has-its-own-base:
	@echo "TRIAL=1 builds from a base that it makes itself: leave BASE_IMAGE out" >&2; exit 2

golden: venv packages tools ## write the reviewed metrics pages of the tests again; look at the difference
	@CONTROLCORE_WRITE_GOLDEN=1 $(RUN) -m pytest -q -k golden tests/unit/exporter/collectors tests/integration/exporter

pictures: venv packages tools ## draw the dashboards from a run into docs/images/dashboards (needs chromium, pngquant, npm)
	@CONTROLCORE_WRITE_PICTURES=1 $(RUN) -m pytest -q -s -n 0 -p no:randomly tests/system/test_dashboards.py

bench: venv packages tools ## measure ours and the peers side by side into docs/benchmarks.md (SOAK=60: minutes of memory)
	@$(RUN) -m tools.bench --write docs/benchmarks.md $(if $(SOAK),--soak-minutes $(SOAK))

chaos: venv packages tools ## long runs: 1,000 SIGKILLs between socket and verification, minutes of scrapes by both Prometheus generations, floods of both ports, a failing webhook, moving names and rotated certificates
	@CONTROLCORE_CHAOS_KILLS=$${CONTROLCORE_CHAOS_KILLS:-1000} $(RUN) -m pytest -q -s -p no:randomly tests/system/test_kills.py
	@CONTROLCORE_SCRAPE_MINUTES=$${CONTROLCORE_SCRAPE_MINUTES:-10} $(RUN) -m pytest -q -s -p no:randomly tests/integration/exporter/test_scrapers.py -k no_scrape_fails
	@CONTROLCORE_RULE_MINUTES=$${CONTROLCORE_RULE_MINUTES:-1440} $(RUN) -m pytest -q -s -p no:randomly tests/system/test_product.py
	@CONTROLCORE_FLOOD_SECONDS=$${CONTROLCORE_FLOOD_SECONDS:-30} CONTROLCORE_FLOOD_PEERS=$${CONTROLCORE_FLOOD_PEERS:-800} $(RUN) -m pytest -q -p no:randomly tests/integration/test_floods.py
	@CONTROLCORE_WEBHOOK_SECONDS=$${CONTROLCORE_WEBHOOK_SECONDS:-120} $(RUN) -m pytest -q -s -p no:randomly tests/system/test_failing_webhook.py
	@CONTROLCORE_FREEZING_SILENCES=$${CONTROLCORE_FREEZING_SILENCES:-100} $(RUN) -m pytest -q -s -p no:randomly tests/system/test_freezing_silence.py
	@CONTROLCORE_TEST_SLOWNESS=8 CONTROLCORE_MACHINE_EXAMPLES=$${CONTROLCORE_MACHINE_EXAMPLES:-300} $(RUN) -m pytest -q -p no:randomly tests/unit/remediations/engine/test_engine_machine.py
	@CONTROLCORE_SITUATIONS=all $(RUN) -m pytest -q -p no:randomly tests/integration/rules/test_situations.py tests/integration/rules/test_promtool.py
	@CONTROLCORE_ADMISSION_SWEEP=whole $(RUN) -m pytest -q -s -p no:randomly tests/integration/helm/test_admission_sweep.py -k every_field
	@$(RUN) -m pytest -q -s -p no:randomly tests/integration/chassis/test_postgres_connection.py tests/integration/chassis/test_redis_connection.py tests/integration/chassis/test_trust.py -k "moved or follows or rotated"

lock: venv ## resolve the dependencies again into tools/lock (pinned versions and hashes, no addresses)
	@$(RUN) -m tools.install.lock

clean: ## remove what the other commands wrote into the tree
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
