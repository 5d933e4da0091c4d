# Targets for users and developers. `make` explains them; a Rust toolchain and make are all they need.

CARGO  ?= cargo
# The folder of the build results.
BUILT  := $(or $(CARGO_TARGET_DIR),target)
# The server's configuration, for `make run`.
CONFIG ?= trunkline.toml
# Where tests note what they skip.
SKIPS  := $(BUILT)/skips
# The peers that are measured take a minute to build, so only the benchmarks build them.
BENCH  := $(CARGO) build --release --workspace --features trunkline-bench/peers && $(BUILT)/release/bench

.DEFAULT_GOAL := help
.PHONY: help build run demo test sim fuzz fuzz-keep bench bench-quick counts check old-peer tools long clean

help: ## explain the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

build: ## build everything: target/release/trunkline and the sample plugins, libecho.so and so on
	$(CARGO) build --release --workspace

run: build ## run a server in the foreground; CONFIG=trunkline.toml is its configuration
	$(BUILT)/release/trunkline run --config $(CONFIG)

demo: build ## show two servers whose plugins find each other and exchange a file
	$(BUILT)/release/demo

test: ## run every test, and list at the end what was skipped
	@mkdir -p $(BUILT) && : > $(SKIPS)
	@status=0; TRUNKLINE_SKIPS=$(abspath $(SKIPS)) $(CARGO) test --workspace || status=$$?; \
	sort -u $(SKIPS); echo "$$(sort -u $(SKIPS) | wc -l) skipped"; exit $$status

sim: ## simulate servers under faults; SEEDS=10000 runs so many seeds, SEED=7 only that one
	$(if $(SEEDS),SEEDS=$(SEEDS)) $(if $(SEED),SEED=$(SEED)) \
	$(CARGO) test --release --package trunkline-tests --test simulation -- --nocapture

fuzz: ## fuzz one target; TARGET=broker names it, FOR=600 is the time in seconds
	fuzz/run '$(TARGET)' $(or $(FOR),600)

fuzz-keep: ## add the new inputs of TARGET=broker to fuzz/corpus, minimized
	fuzz/run '$(TARGET)' keep

bench: ## measure against the bare machine and against peers; ONLY=forward measures only that
	$(BENCH) $(if $(ONLY),--only '$(ONLY)')

bench-quick: ## the same with fewer and shorter measurements; fails on more instructions than counts.toml
	$(BENCH) --quick $(if $(ONLY),--only '$(ONLY)')

counts: ## count the instructions of the hot paths and compare them with tests/bench/counts.toml
	$(BENCH) --counts

check: ## check formatting, lints and documentation; each warning is an error
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --package trunkline-bench --all-targets --features peers -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --quiet

old-peer: ## build the programs of earlier releases with which tests link today's; needs git history
	tests/old-peer/make.sh

tools: ## check licences, oldest versions and undefined behaviour, as far as the tools are installed
	.ci/tools

long: ## run what is too long for every change: many seeds, floods, fuzzing, and the tools
	.ci/long

clean: ## remove everything that was built
	$(CARGO) clean
