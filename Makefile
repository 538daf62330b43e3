# Developer commands. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo down test check fmt bench bench-core bench-answers bench-mesh bench-overload bench-neighbours soak bench-fleet

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## end-to-end demo on a local cluster (or CONTEXT=<name>): install, train, recommend, scrape
	@tests/demo/demo $(if $(CONTEXT),--context '$(CONTEXT)') $(if $(REGISTRY),--registry '$(REGISTRY)')

down: ## remove everything that `make demo` and the tests started
	@tests/demo/down $(if $(CONTEXT),--context '$(CONTEXT)')

check: ## fast checks: format, lints, docs, unit and property tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	cargo test --workspace --exclude e2e --lib --bins --locked --quiet

test: ## all tests, including a real node and Prometheus (Linux, root)
	@tests/run

soak: ## all tests with long outages, many retrainings and hundreds of generated scenarios (Linux, root)
	@RECMESH_SEED=$$(( $$(date +%s) / 86400 * 1000 )) RECMESH_SOAK_DOWN_SECONDS=300 RECMESH_SOAK_RETRAININGS=10 RECMESH_SOAK_EVERY_CASE=1 \
	    RECMESH_FUZZ_FULL=1 RECMESH_FUZZ_SECONDS=3600 RECMESH_SOAK_DESYNCS=100000 RECMESH_ATTACK_ROUNDS=20 RECMESH_API_EXAMPLES=2000 \
	    RECMESH_SOAK_TRANSITIONS=500 RECMESH_SOAK_STALE_WATCH=200 RECMESH_DENY_ADVISORIES=1 PROPTEST_RNG_SEED=$$(date +%s) tests/run

fmt: ## format the code
	cargo fmt --all

bench: ## benchmark the factorization: TRAIN=… TEST=…, see tests/bench/run
	@TRAIN=$(TRAIN) TEST=$(TEST) tests/bench/run

bench-core: ## compare the factorization with other packages: TRAIN=…, see tests/bench/core/run
	@tests/bench/core/run als_iter --gowalla "$(TRAIN)"

bench-answers: ## compare answers with faiss, usearch, implicit and a bare HTTP server: TRAIN=… TEST=…, see tests/bench/answers
	@tests/bench/answers/topk "$(TRAIN)"
	@tests/bench/answers/http "$(TRAIN)"
	@tests/bench/answers/job "$(TRAIN)" "$(TEST)"

bench-mesh: ## latency that the sidecar of an app adds with mutual TLS, compared with HAProxy; its memory and start
	@tests/bench/mesh/run

bench-fleet: ## resource usage of an operator with 2,000 Recommenders, on its own local cluster (Linux, root)
	@tests/bench/fleet

bench-neighbours: ## whether 500 Recommenders with broken stores delay those of another namespace (Linux, root)
	@tests/bench/neighbours

bench-overload: ## latency and load shedding of a sidecar below, at and above capacity (two CPUs or more)
	@tests/bench/overload
