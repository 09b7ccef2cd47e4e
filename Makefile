# What there is to do here. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
tool = $(shell scripts/tool-path.sh $(1))

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the mirror on its defaults
	$(CARGO) run --release -- serve

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt

# --- checks, in the order in which they are quick ------------------------------------------------

.PHONY: check
check: check-fmt check-clippy check-docs check-licenses check-unused check-layers ## All that can be judged without running the server

.PHONY: check-fmt
check-fmt:
	$(CARGO) fmt --check

.PHONY: check-clippy
check-clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

.PHONY: check-docs
check-docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# Advisories need a copy of their database from outside: `make check-advisories`, where there is a network.
.PHONY: check-licenses
check-licenses:
	scripts/install-tools.sh cargo-deny
	$(call tool,cargo-deny) --locked check --hide-inclusion-graph licenses bans sources

.PHONY: check-advisories
check-advisories: ## Known vulnerabilities in the dependencies (needs the network)
	scripts/install-tools.sh cargo-deny
	$(call tool,cargo-deny) --locked check advisories

.PHONY: check-unused
check-unused:
	scripts/install-tools.sh cargo-machete
	$(call tool,cargo-machete) .

.PHONY: check-layers
check-layers:
	$(CARGO) test --locked --quiet --test it layering

# --- tests ---------------------------------------------------------------------------------------

.PHONY: tools
tools: ## Install what the tests and benchmarks need, when it is missing
	scripts/install-tools.sh

.PHONY: test
test: tools ## Install the tools, then run every test: unit, integration, real clients
	$(CARGO) test --locked

.PHONY: test-unit
test-unit: tools ## The tests beside the code
	$(CARGO) test --locked --lib --bins

.PHONY: test-it
test-it: tools ## The tests over HTTP against a scripted registry
	$(CARGO) test --locked --test it

.PHONY: test-clients
test-clients: tools ## Real clients (containerd, Docker, Podman, …) pull through the mirror, log in and push
	$(CARGO) test --locked --test clients

.PHONY: soak
soak: ## Chaos and crashes for longer than in `make test` (SOAK_SECONDS=600; SOAK_SEED repeats a run's choices)
	ENTREPOT_CHAOS_SECONDS=$(or $(SOAK_SECONDS),600) $(if $(SOAK_SEED),ENTREPOT_CHAOS_SEED=$(SOAK_SEED)) \
		$(CARGO) test --locked --test it -- --nocapture chaos::
	ENTREPOT_CRASHES=20 $(if $(SOAK_SEED),ENTREPOT_CRASH_SEED=$(SOAK_SEED)) \
		$(CARGO) test --locked --test it -- --nocapture --test-threads 1 crash::

.PHONY: fuzz
fuzz: ## Parsers against inputs that are nearly right, each for a while (FUZZ_SECONDS=60)
	ENTREPOT_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(CARGO) test --locked --lib nearly

.PHONY: bench
bench: tools ## Side by side with other servers, on this machine (about 25 minutes; BENCH_ARGS=--quick: 5)
	$(CARGO) bench --locked --bench compare -- $(BENCH_ARGS)

.PHONY: bench-docs
bench-docs: tools ## The same, and put the figures into docs/benchmarks.md
	$(CARGO) bench --locked --bench compare -- --write "$(CURDIR)/docs/benchmarks.md" $(BENCH_ARGS)

# --- releases ------------------------------------------------------------------------------------

.PHONY: dist
dist: ## Static binaries, archives and checksums in dist/
	scripts/dist.sh
