# The one front door. `make` alone prints what can be done; every other target says what it does and how long it took.
# Nothing is written into the work tree: builds, tools and logs go to $(KVORUM_CACHE), so a fresh clone starts warm.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

export KVORUM_CACHE ?= $(HOME)/.cache/kvorum
export CARGO_TARGET_DIR ?= $(KVORUM_CACHE)/target
export CARGO_TERM_PROGRESS_WHEN ?= auto
RELEASE := $(CARGO_TARGET_DIR)/release
KUBE := $(RELEASE)/kvorum-e2e
SCRIPTS := tests/scripts
STEP := $(SCRIPTS)/step
# What another checkout built is not taken for this one's.
_ := $(shell CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)' $(SCRIPTS)/checkout)
# One set of features for everything that is built for tests.
FEATURES := $(shell $(SCRIPTS)/features)
# The same packages once more, so that of a simulated cluster only our own are built a second time.
SIMULATION := $(FEATURES) --features kvorum-simulation/simulation
# Test programs that need neither a built node nor a cluster; the tidy test sees that none is forgotten.
QUICK := tidy model transcripts wal rules snapshots convergence writer fuzz

.PHONY: help
help: ## this list
	@printf 'Kvorum: make <target>\n\n'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## a running, encrypted three-member cluster on a real Kubernetes on this machine (or on $KUBECONFIG's)
	@$(STEP) binaries -- $(MAKE) binaries
	@$(SCRIPTS)/demo

.PHONY: demo-down
demo-down: ## removes every trace of the demo, then lists what is left (nothing)
	@$(SCRIPTS)/demo-down

.PHONY: check
check: ## format, lints, fences, unit tests and generated files; needs no cluster and no root
	@$(STEP) format -- cargo fmt --all --check
	@$(STEP) lint -- cargo clippy --workspace --all-targets $(FEATURES) --locked -- -D warnings
	@$(STEP) lint-simulation -- cargo clippy --workspace --bin kvorum-simulation --test simulation $(SIMULATION) --locked -- -D warnings
	@$(STEP) fences -- $(SCRIPTS)/fences
	@$(STEP) unit -- cargo test --workspace $(FEATURES) --locked --lib --bins $(QUICK:%=--test %) --no-fail-fast
	@$(STEP) simulation -- cargo test --workspace $(SIMULATION) --locked --test simulation

.PHONY: test
test: ## everything: check, black-box tests, Kubernetes scenarios; in CI nothing is skipped
	@$(SCRIPTS)/test

.PHONY: blackbox
blackbox: ## real node processes: compatibility, faults, linearizability, side by side with etcd
	@$(STEP) binaries -- $(MAKE) binaries
	@$(STEP) etcd -- $(SCRIPTS)/etcd
	@$(STEP) etcd-client -- $(SCRIPTS)/etcd-client
	@$(STEP) blackbox -- $(SCRIPTS)/blackbox

.PHONY: openapi
openapi: ## the running node held to its own description by schemathesis
	@$(STEP) binaries -- $(MAKE) binaries
	@$(STEP) openapi -- $(SCRIPTS)/openapi

.PHONY: e2e
e2e: ## the Kubernetes scenarios (root on Linux, or a KUBECONFIG)
	@$(STEP) binaries -- $(MAKE) binaries
	@$(STEP) e2e -- $(SCRIPTS)/e2e

.PHONY: soak
soak: ## the long runs: many seeds, long histories, every operator kill, cargo-deny
	@$(STEP) binaries -- $(MAKE) binaries
	@$(SCRIPTS)/soak

.PHONY: crds
crds: ## writes crds/*.yaml and the chart's copy from the Rust types
	@$(SCRIPTS)/crds

.PHONY: image
image: ## node and operator images from the release binaries, as tar files, without a Docker daemon
	@$(STEP) binaries -- $(MAKE) binaries
	@$(STEP) images -- $(KUBE) images

.PHONY: bench
bench: ## puts and reads side by side with etcd 3.7.3, three members each: a first, small table
	@$(STEP) binaries -- $(MAKE) binaries
	@$(STEP) etcd -- $(SCRIPTS)/etcd
	@$(STEP) bench -- cargo run --release --locked --bin kvorum-compare

.PHONY: binaries
binaries: # the release programs that the demo, the images and the black-box tests run, and the library for power cuts
	@cargo build --release --locked -p kvorum -p kvorum-operator -p kvorum-e2e -p kvorum-powercut-preload
