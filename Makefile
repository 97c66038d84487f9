# What people and CI run. Every recipe does its own set-up; `make help` lists them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help build demo test test-debug test-kubernetes test-kubernetes-scale test-mesh test-scale test-crl-scale kube-parts mesh-parts chart crds mutants lint fmt deny clean

help: ## List the recipes.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 24

build: ## Build the release binary.
	$(CARGO) build --release --locked

demo: ## Show the main job with a real Envoy; KEEP=1 leaves it up.
	@echo 'Fetching Envoy (once; nothing to do when it is there)'
	@scripts/fetch-envoy >/dev/null
	@echo 'Building certgate (some minutes the first time)'
	@$(CARGO) build --locked --bin certgate --example demo
	@$(CARGO) run --quiet --locked --example demo

test: test-debug test-kubernetes test-scale test-crl-scale test-kubernetes-scale ## Run every test, with the real Envoy and a real Kubernetes.

test-debug: ## Unit, property, contract, conformance and end-to-end tests.
	scripts/fetch-envoy >/dev/null
	$(CARGO) test --locked

test-scale: ## The figures: 100,000 mappings in a directory, optimized.
	$(CARGO) test --locked --profile measure --test scale -- --ignored --test-threads=1 --nocapture

test-crl-scale: ## The figures of a CRL of a million entries, optimized; a minute.
	$(CARGO) test --locked --profile measure --test crl_scale --test crl_serve -- --ignored --test-threads=1 --nocapture

# Three minutes, and with CI=true some thirty more the first time: then the parts are built, and else they are skipped loudly.
test-kubernetes: ## Tests against a real kube-apiserver, with kubectl and Helm; skipped until `make kube-parts`.
	@if [ "$$CI" = true ]; then $(MAKE) --no-print-directory kube-parts; fi
	$(CARGO) test --locked --test kubernetes --test monitoring

chart: ## Write the chart's table of values.
	scripts/chart-readme

test-kubernetes-scale: ## The figures with 100,000 mappings in a real kube-apiserver, optimized; two to six minutes.
	@if [ "$$CI" = true ]; then scripts/kube-parts; fi
	$(CARGO) test --locked --profile measure --test kubernetes -- --ignored --nocapture scale::

kube-parts: ## Build kube-apiserver, etcd, kubectl, Helm and promtool for the tests (once; some thirty minutes).
	scripts/kube-parts
	scripts/chart-parts crds
	scripts/chart-parts promtool

# Not a part of `make test`: the parts take too long to build.
test-mesh: ## Play the examples in deploy/ on the real control planes; skipped until `make mesh-parts`.
	@if [ "$$CI" = true ]; then $(MAKE) --no-print-directory mesh-parts; fi
	$(CARGO) test --locked --test mesh -- --test-threads=1

mesh-parts: kube-parts ## Build istiod, Envoy Gateway and Contour for the tests besides (once; some twenty minutes).
	scripts/mesh-parts

mutants: ## Change the engine in one place at a time; its tests must notice. Takes a day; ARGS='--re path/validate' for less.
	scripts/mutants $(ARGS)

crds: ## Write the custom resource definitions that the chart carries.
	CERTGATE_BLESS=1 $(CARGO) test --locked --lib kubernetes::crd::

lint: fmt deny ## Formatting, clippy with warnings denied, dependencies.
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@# The same as people build it: without what only the dependencies of tests ask for.
	$(CARGO) check --locked --bins

fmt: ## Check the formatting.
	$(CARGO) fmt --all --check

deny: ## Check dependencies: bans, licenses, sources; advisories where the database can be had.
	scripts/deny

clean: ## Remove what the build made.
	$(CARGO) clean
