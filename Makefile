# The manual of this repository: `make help`. A target that it does not explain is a bug.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= .venv/bin/python
E2E_PYTHON ?= .venv-e2e/bin/python
RELEASE ?= kubelambda
NAMESPACE ?= kubelambda-system
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubelambda
HELM ?= $(CACHE)/bin/helm
HELM_ARGS ?=
# An interpreter that pyenv keeps is not on the PATH; where there is none at all, uv brings one.
INTERPRETER ?= $(or $(firstword $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python3.13) $(wildcard /usr/bin/python3.13)),3.13)
PYTEST_ARGS ?=
# Much of a test is waiting, so files run side by side. Of e2e, the tests that are exclusive come last, one after the other.
WORKERS ?= 2
POLLERS_WORKERS ?= 3
INTEGRATION_WORKERS ?= 3
E2E_WORKERS ?= 3
SIDE_BY_SIDE = --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
pollers: WORKERS = $(POLLERS_WORKERS)
integration: WORKERS = $(INTEGRATION_WORKERS)
MINUTES ?= 10
ENGINE ?= sqlite
# What Python compiled is kept, even where the environment says otherwise: tests start hundreds of processes, and each
# would spend half of its start on compiling the same once more.
unexport PYTHONDONTWRITEBYTECODE
# The cluster is on this machine: no proxy, which a company's network may want for everything else, leads there.
comma := ,
DIRECT := $(or $(no_proxy),$(NO_PROXY))
DIRECT := $(DIRECT)$(if $(findstring 127.0.0.1,$(DIRECT)),,$(if $(DIRECT),$(comma))127.0.0.1$(comma)localhost)
export NO_PROXY := $(DIRECT)
export no_proxy := $(DIRECT)

# What the images are made from: the tag stays the same between builds, so this is what makes pods follow them.
BUILD = $(shell find operator/src images pyproject.toml -type f -not -name '*.pyc' -not -path 'images/dist/*' | sort | \
  xargs sha256sum | sha256sum | cut -c1-16)

include e2e/cluster/cluster.mk

.PHONY: help
help: ## Show this manual
	@awk 'BEGIN {FS = ":.*## "; print "usage: make TARGET\n"} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The two commands
.PHONY: demo
demo: setup install ## Bring up a cluster, install the chart, apply a Function, invoke it with the aws cli and boto3
	@KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  $(E2E_PYTHON) e2e/demo.py

.PHONY: test
test: setup lint unit pollers integration chart cluster-test e2e ## Run every check and every test

##@ Development
.venv/.made: pyproject.toml
	@command -v uv > /dev/null || python3 -m pip install --quiet 'uv>=0.9,<1'
	@echo "setup: environments of the platform (.venv) and of the callers (.venv-e2e)"
	uv sync --quiet --python $(INTERPRETER) --extra platform --extra kubeconfig --group dev
	UV_PROJECT_ENVIRONMENT=.venv-e2e uv sync --quiet --python $(INTERPRETER) --group e2e
	@touch $@

.venv-pollers/.made: pyproject.toml
	UV_PROJECT_ENVIRONMENT=.venv-pollers uv sync --quiet --python $(INTERPRETER) --extra pollers --group pollers-test
	@touch $@

.venv-bench/.made: pyproject.toml
	UV_PROJECT_ENVIRONMENT=.venv-bench uv sync --quiet --python $(INTERPRETER) --group bench
	@touch $@

.PHONY: setup
setup: .venv/.made ## Make the two Python environments

.PHONY: fmt
fmt: setup ## Format the code
	$(PYTHON) -m ruff format operator tests e2e bench
	$(PYTHON) -m ruff check --fix operator tests e2e bench

.PHONY: lint
lint: setup ## Check format, lint, types, layers, and that generated files are current
	$(PYTHON) -m ruff format --check operator tests e2e bench
	$(PYTHON) -m ruff check operator tests e2e bench
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	$(PYTHON) -m kubelambda.cli crds check

.PHONY: crds
crds: setup ## Generate crds/ and the chart's copy from the pydantic models
	$(PYTHON) -m kubelambda.cli crds write

.PHONY: api-table
api-table: setup ## Write docs/control-api-answers.md: what is tried of each operation of the control API
	$(PYTHON) -m tests.integration.control_api.answer_table

.PHONY: aws-models
aws-models: setup ## Take the service models of the control API out of the botocore that is installed
	$(PYTHON) operator/src/kubelambda/awsapi/model/extraction.py \
	  "$$($(E2E_PYTHON) -c 'import botocore, pathlib; print(pathlib.Path(botocore.__file__).parent / "data")')"

##@ Tests
.PHONY: unit
unit: setup ## Unit, behaviour and architecture tests: real processes and sockets, no cluster
	$(PYTHON) -m pytest tests/unit tests/behaviour tests/arch tests/golden $(SIDE_BY_SIDE) $(PYTEST_ARGS)

.PHONY: pollers
pollers: setup .venv-pollers/.made brokers ## Pollers against real brokers and a server of SQS's protocol, no cluster
	.venv-pollers/bin/python -m pytest tests/pollers $(SIDE_BY_SIDE) $(PYTEST_ARGS)

.PHONY: integration
integration: setup .venv-pollers/.made test-binaries aws-cli ## Controllers against a real etcd and kube-apiserver
	$(PYTHON) -m pytest tests/integration $(SIDE_BY_SIDE) $(PYTEST_ARGS)

.PHONY: chart
chart: setup kubernetes-binaries ## Lint the chart with Helm 3 and 4 and compare its rendering with the golden files
	$(PYTHON) -m pytest tests/chart $(PYTEST_ARGS)

.PHONY: cluster-test
cluster-test: setup cluster-up images ## Test the test cluster itself: policies, volumes, restart and repair
	KUBECONFIG=$$($(MAKE) -s kubeconfig) PATH="$(CACHE)/bin:$$PATH" \
	  $(E2E_PYTHON) -m pytest --config-file e2e/cluster/tests/pytest.ini e2e/cluster/tests $(PYTEST_ARGS)

.PHONY: e2e
e2e: setup install ## Everything on the real cluster, called by boto3 and the aws cli
	KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  $(E2E_PYTHON) -m pytest e2e --numprocesses $(E2E_WORKERS) --dist loadgroup --no-loadscope-reorder --verbose $(PYTEST_ARGS)

.PHONY: zone-loss
zone-loss: setup install ## Lose one of two zones without a word, and wait until Kubernetes finds out by itself
	KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  ZONE_LOSS_PATIENT=1 $(E2E_PYTHON) -m pytest e2e/resilience/test_zone_loss.py --capture=no --verbose $(PYTEST_ARGS)

.PHONY: soak
soak: setup install ## Mixed traffic while everything is replaced and changed, for MINUTES; whether a request is lost
	KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  PYTHONPATH=e2e $(E2E_PYTHON) e2e/traffic/soak.py --minutes $(MINUTES)

.PHONY: chaos-events
chaos-events: setup install ## Numbered events while what carries them is killed at random, for MINUTES, kept in ENGINE (sqlite, jetstream)
	KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  PYTHONPATH=e2e $(E2E_PYTHON) e2e/traffic/chaos_events.py --minutes $(MINUTES) --engine $(ENGINE)

.PHONY: network-flows
network-flows: setup install ## Try every flow and time changes of rules, attachments and cold starts; writes docs/network-flows.md
	KUBECONFIG=$$($(MAKE) -s kubeconfig) ENDPOINT=$$($(MAKE) -s endpoint) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" \
	  PYTHONPATH=e2e $(E2E_PYTHON) e2e/network/flow_report.py

.PHONY: bench
bench: setup test-binaries install ## Measure the budgets beside a baseline; prints a table, writes bench/results/latest.json
	KUBECONFIG=$$($(MAKE) -s kubeconfig) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" $(PYTHON) -m bench

.PHONY: bench-scaling
bench-scaling: setup .venv-bench/.made install ## Plot how provisioned concurrency follows a load, with a real Prometheus; writes docs/images
	KUBECONFIG=$$($(MAKE) -s kubeconfig) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" $(PYTHON) -m bench.scaling.measure
	PYTHONPATH=. .venv-bench/bin/python -m bench.scaling.plot

.PHONY: bench-scaling-local
bench-scaling-local: setup .venv-bench/.made test-binaries ## The same with real processes on this machine, without a cluster
	$(PYTHON) -m bench.scaling.local
	PYTHONPATH=. .venv-bench/bin/python -m bench.scaling.plot

.PHONY: bench-forecast
bench-forecast: setup ## Replay two weeks to see what forecasting the demand for pools saves and costs, without a cluster
	$(PYTHON) -m bench.forecast

.PHONY: bench-control-api
bench-control-api: setup test-binaries ## Measure the control API over ten thousand Functions, without a cluster
	$(PYTHON) -m bench.control_api

.PHONY: bench-kafka
bench-kafka: setup .venv-pollers/.made ## Measure a mapping of Kafka beside a plain consumer of the same client, without a cluster
	PYTHONPATH=. .venv-pollers/bin/python -m bench.kafka_topic

.PHONY: bench-idle-mappings
bench-idle-mappings: setup .venv-pollers/.made brokers ## Measure what mappings cost that have nothing to do, without a cluster
	PYTHONPATH=. .venv-pollers/bin/python -m bench.idle_mappings sqs
	PYTHONPATH=. .venv-pollers/bin/python -m bench.idle_mappings kafka

.PHONY: bench-cold
bench-cold: setup install ## Measure cold starts by the shape of their pods, with and without a warm pool of it
	KUBECONFIG=$$($(MAKE) -s kubeconfig) PATH="$(CURDIR)/.venv-e2e/bin:$(CACHE)/bin:$$PATH" $(PYTHON) -m bench.cold_shapes

.PHONY: bench-scale
bench-scale: setup test-binaries ## Measure ten thousand Functions against a real API server, without a cluster
	$(PYTHON) -m bench.scale

##@ Cluster
# Helm has the lock until it ends: what is not finished once we have it was killed.
.PHONY: install
install: cluster-up images ## Install or upgrade the chart on the cluster
	@build=$(BUILD) && export KUBECONFIG=$$($(MAKE) -s kubeconfig) && exec 9> $(CACHE)/install.lock && flock 9 && \
	  python3 e2e/cluster settle --helm $(HELM) --namespace $(NAMESPACE) --release $(RELEASE) && \
	  $(HELM) upgrade --install $(RELEASE) charts/kubelambda --namespace $(NAMESPACE) \
	  --create-namespace --wait --timeout 5m --values e2e/values.yaml --set-string podAnnotations.build=$$build \
	  --set-string environments.podAnnotations.build=$$build $(HELM_ARGS)

.PHONY: uninstall
uninstall: ## Remove the release; Functions and their definitions stay
	@KUBECONFIG=$$($(MAKE) -s kubeconfig) $(HELM) uninstall $(RELEASE) --namespace $(NAMESPACE) --wait

.PHONY: endpoint
endpoint: ## Print the frontend's URL as reachable from this machine
	@python3 e2e/cluster endpoint --namespace $(NAMESPACE) --service $(RELEASE)-frontend
