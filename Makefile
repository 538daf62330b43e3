# The few commands that a developer uses. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo down test check fmt bench bench-core bench-overload soak bench-fleet

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the main job, end to end: local cluster (or CONTEXT=<name>), install, train, recommend, scrape
	@tests/demo/demo $(if $(CONTEXT),--context '$(CONTEXT)') $(if $(REGISTRY),--registry '$(REGISTRY)')

down: ## remove everything that `make demo` and the tests started
	@tests/demo/down $(if $(CONTEXT),--context '$(CONTEXT)')

check: ## the quick half of the tests: format, lints, docs, unit and property tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	cargo test --workspace --exclude e2e --lib --bins --locked --quiet

test: ## all tests, up to a real node and a real Prometheus (Linux, root)
	@tests/run

soak: ## the long form of the tests that have one: outages of minutes, many retrainings, hundreds of generated stories (Linux, root)
	@RECMESH_SEED=$$(( $$(date +%s) / 86400 * 1000 )) RECMESH_SOAK_DOWN_SECONDS=300 RECMESH_SOAK_RETRAININGS=10 RECMESH_SOAK_EVERY_CELL=1 \
	    RECMESH_SOAK_TRANSITIONS=500 RECMESH_SOAK_OLD_NEWS=200 tests/run

fmt: ## format the code
	cargo fmt --all

bench: ## benchmarks of the factorization: TRAIN=… TEST=…, see tests/bench/run
	@TRAIN=$(TRAIN) TEST=$(TEST) tests/bench/run

bench-core: ## the factorization beside other packages, in turns: TRAIN=…, see tests/bench/core/run
	@tests/bench/core/run als_iter --gowalla "$(TRAIN)"

bench-fleet: ## what 2,000 Recommenders cost the operator, on a local cluster of its own (Linux, root)
	@tests/bench/fleet

bench-overload: ## what a sidecar does below, at and above its capacity (two processors or more)
	@tests/bench/overload
