# What people and CI run. Every recipe does its own set-up; `make help` lists them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help build demo test test-debug test-kubernetes test-mesh figures figures-directory \
	figures-crl figures-path figures-hostile figures-kubernetes kube-parts mesh-parts chart crds mutants lint fmt deny clean

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

# What was skipped is said last, where it is seen. With CI=true nothing is: what is missing is built, or fails.
test: test-debug test-kubernetes test-mesh ## Run every test: the real Envoy, Kubernetes and control planes.
	@for part in kube-parts 'chart-parts crds' 'chart-parts promtool' mesh-parts; do \
		scripts/$$part --check >/dev/null 2>&1 || \
			echo "SKIPPED: tests that need scripts/$$part; make mesh-parts builds all that is missing"; \
	done

test-debug: ## Unit, property, contract, conformance and end-to-end tests.
	scripts/fetch-envoy >/dev/null
	@if [ "$$CI" = true ]; then scripts/chart-parts promtool; fi
	$(CARGO) test --locked --workspace

# Three minutes, and with CI=true some thirty more the first time: then the parts are built, and else they are skipped loudly.
test-kubernetes: ## Tests against a real kube-apiserver, with kubectl and Helm; skipped until `make kube-parts`.
	@if [ "$$CI" = true ]; then $(MAKE) --no-print-directory kube-parts; fi
	$(CARGO) test --locked --test kubernetes
	$(CARGO) test --locked --test contract -- monitoring::

# Two minutes, and with CI=true some twenty more the first time.
test-mesh: ## Play the examples in deploy/ on the real control planes; skipped until `make mesh-parts`.
	@if [ "$$CI" = true ]; then $(MAKE) --no-print-directory mesh-parts; fi
	$(CARGO) test --locked --test mesh -- --test-threads=1

# For a quiet machine. With CI=true times are told and not judged: they are the neighbours'.
figures: figures-directory figures-crl figures-path figures-hostile figures-kubernetes ## Measure, and hold each figure to its bar.

figures-directory: ## The figures with 100,000 mappings in a directory.
	$(CARGO) test --locked --profile measure --test figures -- --ignored directory:: index:: --test-threads=1 --nocapture

figures-crl: ## The figures of a CRL of a million entries; a minute.
	$(CARGO) test --locked --profile measure --test figures -- --ignored crl:: crl_serve:: --test-threads=1 --nocapture

figures-path: ## Path validation beside rustls-webpki; a minute.
	CARGO_INCREMENTAL=0 $(CARGO) test --locked --profile measure -p certgate-x509 --test path_speed -- --ignored --nocapture

figures-hostile: ## What strangers can cost, in processor time and memory; two minutes.
	$(CARGO) test --locked --profile measure --test figures -- flood:: --test-threads=1 --nocapture
	$(CARGO) test --locked --profile measure --test e2e -- --test-threads=1 --nocapture strangers::

figures-kubernetes: ## The figures with 100,000 mappings in a real kube-apiserver; two to six minutes.
	@if [ "$$CI" = true ]; then scripts/kube-parts; fi
	$(CARGO) test --locked --profile measure --test kubernetes -- --ignored --nocapture scale::

chart: ## Write the chart's table of values.
	scripts/chart-readme

kube-parts: ## Build kube-apiserver, etcd, kubectl, Helm and promtool for the tests (once; some thirty minutes).
	scripts/kube-parts
	scripts/chart-parts crds
	scripts/chart-parts promtool

mesh-parts: kube-parts ## Build istiod, Envoy Gateway and Contour for the tests besides (once; some twenty minutes).
	scripts/mesh-parts

mutants: ## Change the engine in one place at a time; its tests must notice. Takes a day; ARGS='--re path/validate' for less.
	scripts/mutants $(ARGS)

crds: ## Write the custom resource definitions that the chart carries.
	CERTGATE_BLESS=1 $(CARGO) test --locked --lib kubernetes::crd::

lint: fmt deny ## Formatting, clippy with warnings denied, dependencies.
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@# Those with `test = false`, which --all-targets leaves out, and the fuzz targets, which are workspaces of their own.
	$(CARGO) clippy --locked --test kubernetes --test mesh -- -D warnings
	$(CARGO) clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --bins -- -D warnings
	$(CARGO) clippy --locked --manifest-path crates/certgate-x509/fuzz/Cargo.toml --target-dir target/fuzz --bins -- -D warnings
	@# The same as people build it: without what only the dependencies of tests ask for.
	$(CARGO) check --locked --bins
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet
	@# The engine is a crate that can be published.
	$(CARGO) package --locked --allow-dirty --quiet -p certgate-x509

fmt: ## Check the formatting.
	$(CARGO) fmt --all --check

deny: ## Check dependencies: bans, licenses, sources; advisories where the database can be had.
	scripts/deny

clean: ## Remove what the build made.
	$(CARGO) clean
