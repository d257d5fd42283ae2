# Everything that developers do here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif

# Installs the parts that are named behind it, unless they are there.
NEED := infra/tools/setup.sh
DEV := .venvs/dev/bin
LOCAL := .venvs/local/bin
POLICY := .venvs/policy/bin
WHEEL := .venvs/wheel/bin
# What hangs is a failure too, and says where it hung: far beyond the slowest test beside a load of
# 20 on two cores, and well before CI gives up a run. Nothing else bounds a test's time by the clock;
# see tests/waiting.py.
PYTEST := -m pytest -p no:cacheprovider --timeout 1800
# With COVERED=yes, as in `make test`, a stage's tests leave what they reached for coverage-floor.
REACHED := .cache/coverage
MEASURED = $(if $(COVERED),-m coverage run --data-file=$(REACHED)/$@)
# Functions to wait for a debugger. Said to make, as other programs too read a DEBUG of theirs.
DEBUGGED = $(if $(filter command,$(firstword $(origin DEBUG))),$(DEBUG))
# Where the local cloud keeps its data.
DATA := .local

# The sources that the local cloud's environment can import, and all others.
LOCAL_TOOLS := $(addprefix infra/tools/,broker_in_use.py dead_letters.py listen.py replay.py)
LOCAL_SOURCES := infra/entry_point.py infra/local infra/services infra/deploy_local $(LOCAL_TOOLS) \
	bench/cold_starts.py tests/local_cloud tests/conformance tests/deployment
SOURCES := $(wildcard functions/*/app.py) layers/common/image_api infra/migrations client/src/image_api_client \
	$(filter-out $(LOCAL_TOOLS),$(wildcard infra/tools/*.py)) infra/localstack/*.py \
	$(filter-out bench/cold_starts.py,$(wildcard bench/*.py)) bench/hello \
	$(filter-out tests/aws tests/local_cloud tests/conformance tests/deployment tests/photos tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/))) $(wildcard tests/*.py)

.PHONY: help setup run test check lint format types lint-template unit template local-cloud \
	conformance compare deployment integration pooler coverage coverage-floor clients gallery gallery-load gallery-screenshots gallery-page e2e security cases faults crashes chaos trial \
	bench aws-preflight gradual admin invoke logs psql rerender poll deploy-local sam-local sam-local-env compose bare-machine dead-letters redrive replay listen openapi \
	events expansion audit client lock reset clean

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS=$$'\t' read -r name text; do printf '  make %-19s %s\n' "$$name" "$$text"; done

setup: ## install what any of these commands needs: packages of the system, virtual environments
	@$(NEED)

run: override ARGS += $(if $(DEBUGGED),--debug "$(DEBUGGED)")
run: ## run the whole API on this machine (API_PORT=8000, DEBUG=upload); Ctrl-C ends it
	@$(NEED) local lambda services
	@exec $(LOCAL)/python -m infra.local run $(ARGS)

test: ## everything that must pass: lint, types, then all tests
	@$(NEED)
	@infra/tools/test.sh

check: ## lint, types and the templates, side by side
	@$(NEED) dev local policy
	@$(MAKE) --jobs --keep-going --output-sync=target SIDE_BY_SIDE=yes lint types lint-template

lint: ## style, common mistakes and spelling, in Python, shell scripts and workflows
	@$(NEED) dev
	@$(DEV)/ruff check .
	@$(DEV)/ruff format --check .
	@$(DEV)/shellcheck $$(git ls-files '*.sh' .ci/run)
	@$(DEV)/typos
	@$(DEV)/zizmor --offline --strict-collection --persona pedantic --quiet .

format: ## format the code, and fix what ruff can fix
	@$(NEED) dev
	@$(DEV)/ruff check --fix .
	@$(DEV)/ruff format .

types: ## type checks, in strict mode
	@$(NEED) dev local
	@$(DEV)/mypy $(SOURCES)
	@$(DEV)/mypy --python-executable $(LOCAL)/python $(LOCAL_SOURCES)

lint-template: ## check template.yaml and infra/*.yaml: linter, SAM's own validation, policies
	@$(NEED) local policy
	@$(LOCAL)/python -m infra.tools.gradual
	@$(LOCAL)/cfn-lint template.yaml template.gradual.yaml infra/*.yaml infra/restore/*.yaml
	@AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 $(LOCAL)/sam validate --lint
	@# Not its script, whose first line breaks at a space in the path of this folder.
	@$(POLICY)/python -m checkov.main --config-file infra/policy/checkov.yaml

unit: ## tests of the code alone, without services
	@$(NEED) dev
	@$(DEV)/python $(MEASURED) $(PYTEST) tests/unit $(ARGS)

local-cloud: ## tests of the local cloud itself
	@$(NEED) local lambda services
	@$(LOCAL)/python $(PYTEST) tests/local_cloud $(ARGS)

conformance: ## the gateway and the event source against what AWS documents
	@$(NEED) local lambda services
	@$(LOCAL)/python $(PYTEST) tests/conformance $(ARGS)

compare: ## send the same requests to MiniStack and print where it differs; never fails
	@$(NEED) local services
	@$(LOCAL)/python -m tests.conformance.ministack_target

template: ## tests of the template against the code, and of what sam build makes of it
	@$(NEED) dev local policy
	@$(DEV)/python $(PYTEST) tests/template $(ARGS)

integration: ## tests against real Postgres, RabbitMQ and S3
	@$(NEED) dev local localstack services
	@$(DEV)/python $(MEASURED) $(PYTEST) tests/integration $(ARGS)

# Those that look into a session of the server's own are not for a pooler, which has none.
POOLED := test_pooler test_functions test_rights test_sessions test_batches test_closing
pooler: ## integration tests by way of PgBouncer (1.21 or later), as AWS has RDS Proxy
	@$(NEED) dev local services pooler
	@if pooler=$$(infra/tools/find_pooler.sh); then \
		POOLER=$$pooler $(DEV)/python $(PYTEST) $(POOLED:%=tests/integration/%.py) $(ARGS); fi

coverage: ## run the unit and integration tests, and list the lines and branches that they miss
	@$(MAKE) unit integration COVERED=yes
	@$(MAKE) coverage-floor

coverage-floor: ## fail if these tests, run with COVERED=yes, reached too little
	@$(NEED) dev
	@$(DEV)/coverage combine --quiet --keep --data-file=$(REACHED)/both $(REACHED)/unit $(REACHED)/integration
	@$(DEV)/coverage report --data-file=$(REACHED)/both

clients: ## check the API's documents with others' tools, make a client of them, and walk with it
	@$(NEED) dev local lambda services clients
	@$(DEV)/python $(PYTEST) tests/clients $(ARGS)

gallery: ## use the gallery as people do, in a real browser
	@$(NEED) dev local lambda services gallery chromium
	@$(DEV)/python $(PYTEST) tests/gallery $(ARGS)

gallery-load: ## drop 500 files on the gallery, scroll through 10,000 pictures, and say how smoothly
	@GALLERY_LOAD=yes $(MAKE) gallery ARGS="-k test_many"

gallery-screenshots: ## accept what the gallery looks like now: tests/gallery/screenshots
	@SCREENSHOTS=accept $(MAKE) gallery ARGS="-k every_view"

gallery-page: ## build the gallery's page: functions/gallery/page from gallery/
	@$(NEED) gallery
	@cd gallery && ln -sfn ../.venvs/gallery/node_modules node_modules && \
		../.venvs/gallery/bin/node node_modules/openapi-typescript/bin/cli.js \
			../functions/docs/openapi.json --output src/api/schema.d.ts && \
		../.venvs/gallery/bin/node node_modules/typescript/bin/tsc --noEmit && \
		../.venvs/gallery/bin/node build.mjs

e2e: ## tests of the whole system, over HTTP
	@$(NEED) dev local lambda localstack services exiftool
	@$(DEV)/python $(PYTEST) tests/e2e $(ARGS)

security: ## attacks: hostile files, forged tokens, whatever the OpenAPI document allows
	@$(NEED) dev local lambda services
	@$(DEV)/python $(PYTEST) tests/security $(ARGS)

cases: ## inputs that once went wrong, sent to a running system
	@$(NEED) dev local lambda services
	@$(DEV)/python $(PYTEST) tests/cases $(ARGS)

faults: ## tests that break parts while they are in use
	@$(NEED) dev local lambda services
	@$(DEV)/python $(PYTEST) tests/faults $(ARGS)

crashes: ## kill the API's functions at every line of theirs, one after the other
	@KILLED_AT=lines $(MAKE) faults ARGS="-k test_killed_functions $(ARGS)"

trial: ## upload a thousand pictures through interruptions and restarts, with the command line
	@$(NEED) dev local lambda services
	@$(DEV)/python $(PYTEST) tests/trial $(ARGS)

chaos: ## break everything for many rounds: make chaos ARGS="--seed 1 --rounds 18"
	@$(NEED) dev local lambda services
	@PYTHONPATH=layers/common $(DEV)/python -m tests.faults.chaos $(ARGS)

compose: ## test docker-compose.yml, as a project of its own (needs Docker)
	@tests/compose.sh

bare-machine: ## test `make run` and `make test` on a plain Debian (needs Docker); ARGS=--user
	@tests/bare-machine.sh $(ARGS)

bench: ## measure a system that it starts; ARGS=cold-starts or ARGS=renderer: packages, or rendering
	@$(NEED) dev local lambda services
	@PYTHONPATH=layers/common $(DEV)/python -m bench $(ARGS)

invoke: ## run one function on one event: make invoke FN=upload EVENT=events/upload.json
	@: $${FN:?which function, as in FN=upload} $${EVENT:?which event, as in EVENT=events/upload.json}
	@$(NEED) local lambda services
	@exec $(LOCAL)/python -m infra.local invoke "$$FN" --event "$$EVENT" $(ARGS)

logs: ## show everything logged for a request: make logs ID=...; without one, the newest lines
	@$(NEED) local
	@exec $(LOCAL)/python -m infra.local logs $(if $(ID),--id "$(ID)") $(if $(FN),--function "$(FN)")

psql: ## open the database of the running cloud; ARGS=--url: print its URL, with the password
	@$(NEED) local
	@exec $(LOCAL)/python -m infra.local psql $(ARGS)

aws-preflight: ## what would fail in this AWS account and region, and the parameters to deploy with
	@$(NEED) local
	@$(LOCAL)/python -m infra.tools.preflight $(ARGS)

admin: ## ask a running local cloud as operators ask AWS: make admin DO='{"action": "status"}'
	@: $${DO:?what, as in DO='{"action": "status"}'; docs/aws.md lists the actions}
	@$(NEED) local lambda services
	@exec $(LOCAL)/python -m infra.local invoke operate --event <(printf '%s' "$$DO")

gradual: ## write template.gradual.yaml, with which new code gets requests little by little
	@# Any Python will do: it needs the standard library alone.
	@$(firstword $(wildcard $(LOCAL)/python) python3) -m infra.tools.gradual

rerender: ## render anew now what an older renderer made; the schedule does it every five minutes
	@$(NEED) local lambda services
	@exec $(LOCAL)/python -m infra.local invoke rerender --event events/rerender.json

poll: ## trigger functions that run elsewhere: make poll LAMBDA_URL=http://127.0.0.1:3001
	@$(NEED) local
	@exec $(LOCAL)/python -m infra.local poll $(if $(LAMBDA_URL),--lambda-url $(LAMBDA_URL)) $(ARGS)

sam-local: ## test the API under sam local, in containers of its own (needs Docker)
	@$(NEED) dev local
	@tests/sam-local.sh

sam-local-env: ## write the environment of sam local, with the passwords of docker compose's services
	@infra/tools/sam_local_env.sh

deploy-local: ## deploy to an emulated AWS, walk through the API, take it down (KEEP=1: leave it up)
	@$(NEED) local services
	@exec $(LOCAL)/python -m infra.deploy_local $(if $(KEEP),--keep) $(ARGS)

deployment: ## tests of the deployment: sam build and sam deploy to an emulated AWS
	@$(NEED) local services
	@$(LOCAL)/python $(PYTEST) tests/deployment $(ARGS)

dead-letters: ## list the messages that could not be processed, and why
	@$(NEED) local
	@PYTHONPATH=layers/common $(LOCAL)/python -m infra.tools.dead_letters list $(ARGS)

redrive: ## send them back to the work queue; ARGS="--event ID" for one of them
	@$(NEED) local
	@PYTHONPATH=layers/common $(LOCAL)/python -m infra.tools.dead_letters redrive $(ARGS)

replay: ## send past events to one queue: make replay SINCE=2026-11-02T18:10:16Z QUEUE=reports
	@: $${SINCE:?since when, as in SINCE=2026-11-02T18:10:16Z} $${QUEUE:?to which queue, as in QUEUE=reports}
	@$(NEED) local
	@PYTHONPATH=layers/common $(LOCAL)/python -m infra.tools.replay --since "$$SINCE" \
		--queue "$$QUEUE" $(if $(UNTIL),--until "$(UNTIL)") $(if $(AFTER),--after "$(AFTER)") $(ARGS)

listen: ## print every event as it happens; EVENTS=image.*.completed for some of them
	@$(NEED) local
	@PYTHONPATH=layers/common exec $(LOCAL)/python -m infra.tools.listen $(ARGS)

openapi: ## regenerate functions/docs/openapi.json from the functions
	@$(NEED) dev
	@$(DEV)/python -m infra.tools.openapi

events: ## regenerate events/*.json; TOKEN=... IMAGE=7: write signed-in copies to .local/events/
	@$(NEED) dev
	@$(DEV)/python -m infra.tools.sample_events $(if $(TOKEN),--token $(TOKEN)) $(if $(IMAGE),--image $(IMAGE))

expansion: ## accept what the templates make and permit: regenerate tests/template/*.json
	@$(NEED) local
	@$(LOCAL)/python -m tests.template.expansion
	@$(LOCAL)/python -m tests.template.stacks

audit: ## ask PyPI's advisories about every pinned package (needs the network)
	@$(NEED) audit
	@.venvs/audit/bin/python -m infra.tools.audit

client: ## build the wheel of the Python client and its command line, into client/dist/
	@$(NEED) wheel
	@rm -rf client/build client/dist
	@$(WHEEL)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir client/dist ./client

lock: ## pin the requirements again, with hashes; UPGRADE=--upgrade: take newer versions
	@$(NEED) clients
	@infra/tools/lock.sh $(UPGRADE)

reset: ## stop this clone's local cloud and wipe all its data
	@# Any Python will do, so that nothing is installed in order to delete a folder.
	@$(firstword $(wildcard $(LOCAL)/python) python3) -m infra.services.reset --data-folder $(DATA)

clean: ## remove the virtual environments and caches; the data stays
	@rm -rf .venvs .cache .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.local/*' -prune -exec rm -rf {} +
