# Everything a developer does here, by name. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

DEV := .venvs/dev/bin
LOCAL := .venvs/local/bin
# What hangs is a failure too, and says where it hung: far beyond the slowest test beside a load of
# 20 on two cores. Nothing else bounds a test's time by the clock; see tests/waiting.py.
PYTEST := -m pytest -p no:cacheprovider --timeout 3600
# Where the local cloud keeps its data.
DATA := .local

# The sources that the local cloud's environment can import, and all others.
LOCAL_SOURCES := infra/local infra/services infra/deploy_local infra/tools/listen.py bench/cold_starts.py \
	tests/local_cloud tests/conformance tests/deployment
SOURCES := $(wildcard functions/*/app.py) layers/common/image_api infra/migrations \
	$(filter-out infra/tools/listen.py,$(wildcard infra/tools/*.py)) infra/localstack/*.py \
	$(filter-out bench/cold_starts.py,$(wildcard bench/*.py)) bench/hello \
	$(filter-out tests/local_cloud tests/conformance tests/deployment tests/photos,$(patsubst %/,%,$(wildcard tests/*/))) $(wildcard tests/*.py)

.PHONY: help setup setup-run run test check lint format types lint-template unit template local-cloud \
	conformance compare deployment integration e2e security faults chaos bench invoke poll deploy-local \
	sam-local compose bare-machine dead-letters redrive listen openapi events expansion lock reset clean

help: ## list what there is
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: ## install what is missing: packages of the system, and the virtual environments
	@infra/tools/setup.sh

setup-run:
	@infra/tools/setup.sh local lambda

run: setup-run ## run the whole API on this machine (API_PORT=8000); Ctrl-C ends it
	@exec $(LOCAL)/python -m infra.local run

test: setup ## everything that must pass: lint, types, then all tests
	@infra/tools/test.sh

check: lint types lint-template ## lint, types and the templates

lint: setup ## style and common mistakes
	@$(DEV)/ruff check .
	@$(DEV)/ruff format --check .

format: setup ## put the code into the common style
	@$(DEV)/ruff check --fix .
	@$(DEV)/ruff format .

types: setup ## type checks, in strict mode
	@$(DEV)/mypy $(SOURCES)
	@$(DEV)/mypy --python-executable $(LOCAL)/python $(LOCAL_SOURCES)

lint-template: setup ## check template.yaml and infra/*.yaml: linter, SAM's own validation, policies
	@$(LOCAL)/cfn-lint template.yaml infra/platform.yaml infra/monitoring.yaml
	@AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 $(LOCAL)/sam validate --lint
	@.venvs/policy/bin/checkov --config-file infra/policy/checkov.yaml

unit: setup ## tests of the code alone, without services
	@$(DEV)/python $(PYTEST) tests/unit $(ARGS)

local-cloud: setup ## tests of the local cloud itself
	@$(LOCAL)/python $(PYTEST) tests/local_cloud $(ARGS)

conformance: setup ## the gateway and the event source against what AWS documents
	@$(LOCAL)/python $(PYTEST) tests/conformance $(ARGS)

compare: setup ## ask MiniStack's gateway the same, and print where it differs; fails on nothing
	@$(LOCAL)/python -m tests.conformance.ministack_target

template: setup ## tests of the template against the code, and of what sam build makes of it
	@$(DEV)/python $(PYTEST) tests/template $(ARGS)

integration: setup ## tests against real Postgres, RabbitMQ and S3
	@$(DEV)/python $(PYTEST) tests/integration $(ARGS)

e2e: setup ## tests of the whole system, over HTTP
	@$(DEV)/python $(PYTEST) tests/e2e $(ARGS)

security: setup ## tests that mean harm: hostile files, forged tokens, everything the document allows
	@$(DEV)/python $(PYTEST) tests/security $(ARGS)

faults: setup ## tests that break the parts while they are in use
	@$(DEV)/python $(PYTEST) tests/faults $(ARGS)

chaos: setup ## break everything for many rounds: make chaos ARGS="--seed 1 --rounds 18"
	@PYTHONPATH=layers/common $(DEV)/python -m tests.faults.chaos $(ARGS)

compose: ## test docker-compose.yml, as a project of its own (needs Docker)
	@tests/compose.sh

bare-machine: ## test `make run` and `make test` on a plain Debian (needs Docker); ARGS=--user
	@tests/bare-machine.sh $(ARGS)

bench: setup ## measure a running system of its own, or what is built: make bench ARGS=cold-starts
	@$(DEV)/python -m bench $(ARGS)

invoke: setup-run ## run one function on one event: make invoke FN=upload EVENT=events/upload.json
	@: $${FN:?which function, as in FN=upload} $${EVENT:?which event, as in EVENT=events/upload.json}
	@exec $(LOCAL)/python -m infra.local invoke "$$FN" --event "$$EVENT"

poll: setup ## trigger functions that run elsewhere: make poll LAMBDA_URL=http://127.0.0.1:3001
	@exec $(LOCAL)/python -m infra.local poll $(if $(LAMBDA_URL),--lambda-url $(LAMBDA_URL)) $(ARGS)

sam-local: setup ## try all of it under sam local, in containers of its own (needs Docker)
	@tests/sam-local.sh

deploy-local: setup-run ## deploy to an emulated AWS, walk through the API, take it down; KEEP=1: leave it up
	@exec $(LOCAL)/python -m infra.deploy_local $(if $(KEEP),--keep) $(ARGS)

deployment: setup ## tests of the deployment: sam build and sam deploy to an emulated AWS
	@$(LOCAL)/python $(PYTEST) tests/deployment $(ARGS)

dead-letters: setup ## list the messages that could not be processed, and why
	@$(DEV)/python -m infra.tools.dead_letters list

redrive: setup ## send them back to the work queue; ARGS="--event ID" for one of them
	@$(DEV)/python -m infra.tools.dead_letters redrive $(ARGS)

listen: setup-run ## print every event as it happens; EVENTS=image.*.completed for some of them
	@exec $(LOCAL)/python -m infra.tools.listen

openapi: setup ## write functions/docs/openapi.json anew from the functions
	@$(DEV)/python -m infra.tools.openapi

events: setup ## write events/*.json anew; with TOKEN=... IMAGE=7 signed-in copies into .local/events/
	@$(DEV)/python -m infra.tools.sample_events $(if $(TOKEN),--token $(TOKEN)) $(if $(IMAGE),--image $(IMAGE))

expansion: setup ## take template.yaml's rights and resources as agreed: write tests/template/expansion.json
	@$(LOCAL)/python -m tests.template.expansion

lock: setup ## pin the requirements anew, with hashes; UPGRADE=--upgrade takes newer versions
	@[ -x .cache/lock/bin/uv ] || { $(DEV)/python -m venv .cache/lock && .cache/lock/bin/pip install --quiet uv; }
	@for input in layers/dependencies/requirements functions/migrate/requirements \
		infra/local/lambda-requirements infra/local/requirements tests/requirements \
		tests/localstack/requirements infra/policy/requirements; do \
		echo "$$input.txt"; \
		(cd "$$(dirname "$$input")" && "$(CURDIR)/.cache/lock/bin/uv" pip compile --quiet \
			--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
			$(UPGRADE) $$([ ! -f uv.toml ] || echo --config-file uv.toml) \
			"$$(basename "$$input").in" --output-file "$$(basename "$$input").txt"); done

reset: setup-run ## stop this clone's local cloud and wipe all its data
	@$(LOCAL)/python -m infra.services.reset --data-folder $(DATA)

clean: ## remove the virtual environments and caches; the data stays
	@rm -rf .venvs .cache .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.local/*' -prune -exec rm -rf {} +
