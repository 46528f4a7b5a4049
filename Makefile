# Tributary. `make` builds; `make run` shows it working; `make test` proves it.
# Each target installs what it needs from Debian by itself (as root, or through sudo).

SHELL := /bin/bash
.DEFAULT_GOAL := build
.PHONY: help build run test test-clients test-slow test-loss test-bandwidth test-paths test-cluster interop bench bench-all bench-playback bench-record bench-serve \
  bench-clip bench-registry bench-routing sanitize fuzz lint setup setup-test clean

# Building must not take the machine away from whoever is using it.
SWIFT_BUILD := nice -n 5 swift build

help:           ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:          ## Install what building and running needs
	@scripts/setup build

setup-test: setup ## Install what the tests need besides
	@scripts/setup test

build: setup    ## Build edge-node, coordinator and edge-bench in release mode
	$(SWIFT_BUILD) -c release

run: build      ## A coordinator, two edge nodes and a demo stream (REDIS=1, DEMO=0)
	@REDIS="$(REDIS)" DEMO="$(or $(DEMO),1)" scripts/run

test: setup-test ## Every test; the last line says how many passed and failed
	@scripts/test

interop: setup-test build ## Every real client with every other, by what was decoded (ARGS="-k Firefox --update")
	@scripts/setup interop
	@.venv-test/bin/python -m pytest Tests/Interop/matrix -m matrix $(ARGS)

test-clients: setup-test build ## Only the tests with real clients (ARGS="-k whip")
	@.venv-test/bin/python -m pytest Tests/Interop $(ARGS)

test-slow: setup-test build ## The tests that take minutes each, such as a store that is away for ten
	@.venv-test/bin/python -m pytest Tests/Interop -m slow $(ARGS)

test-loss: setup-test build ## What comes through when 1, 5 and 10 % of all datagrams are lost each way: Chromium, a recording (root)
	@.venv-test/bin/python -m pytest Tests/Cluster/Lab/test_loss.py -m slow -s $(ARGS)

test-bandwidth: setup-test build ## How a browser's simulcast layer follows a path that becomes narrow and wide again (root)
	@.venv-test/bin/python -m pytest Tests/Cluster/Lab/test_bandwidth.py -m slow -s $(ARGS)

test-paths: setup-test build ## Clients behind a NAT that forgets them, over IPv6 alone, on a long path out of order (root)
	@.venv-test/bin/python -m pytest Tests/Cluster/Lab/test_paths.py -m slow -s $(ARGS)

test-cluster: setup-test build ## Each fault of a cluster with a publisher, a viewer, a recording and a player (root; ARGS="-k Redis --update")
	@.venv-test/bin/python -m pytest Tests/Cluster/Lab -m "slow or not slow" $(ARGS)

bench: build    ## What a packet costs with so many viewers, beside the cheapest sender (root; ARGS="--viewers 100 --update", BENCH_WHEP=…)
	@scripts/setup bench
	@python3 bench/fanout.py $(ARGS)

bench-all: bench bench-record bench-serve bench-clip bench-playback bench-registry bench-routing ## All benchmarks; tables at the end of each

bench-playback: build ## How long the manifest of a month takes
	@.build/release/PlaybackBench 30

bench-record: setup-test build ## What recording costs beside FFmpeg (ARGS="--streams 50 --update")
	@.venv-test/bin/python bench/record.py $(ARGS)

bench-serve: build ## What serving objects costs beside nginx (ARGS="--only file --update")
	@scripts/setup bench
	@python3 bench/serve.py $(ARGS)

bench-clip: build ## How soon an hour-long clip begins (ARGS="--update")
	@python3 bench/clip.py $(ARGS)

bench-registry: build ## What following a thousand nodes through Redis costs a coordinator (ARGS="--nodes 100 --update")
	@scripts/setup bench
	@python3 bench/registry.py $(ARGS)

bench-routing: setup-test build ## What asking a coordinator costs over asking an edge, and how evenly it spreads viewers (ARGS="--update")
	@scripts/setup bench
	@.venv-test/bin/python bench/routing.py $(ARGS)

sanitize: setup-test ## The tests under ThreadSanitizer, then AddressSanitizer (slow; not part of test)
	@scripts/sanitize

fuzz: setup     ## Every parser with damaged input for MINUTES (10), FUZZ_SEED=… again as before; what breaks one is kept in Tests/Fuzz/Corpus
	@scripts/fuzz $(or $(MINUTES),10)

lint:           ## Check the format of all Swift code
	swift format lint --strict -r Package.swift Sources Tests bench

clean:          ## Remove what was built; recordings stay
	rm -rf .build .venv-test run
