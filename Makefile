# Every target is a line or two; what is longer is a script in Tests/tools. `make help` lists them.
.DEFAULT_GOAL := build
.PHONY: help all build run test check fmt asan tsan valgrind fuzz bench bench-peers demo soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
all: build ## the same as build
build: ## ./proxy and ./restarter, optimised, one file each (the default)
	@Tests/tools/build.sh
run: build ## build, then serve the embedded example: echo on 127.0.0.1:10000, admin on 127.0.0.1:9901
	@exec ./proxy
test: build ## every test: C core, Swift modules, end to end with real processes, benchmarks briefly
	@Tests/tools/test.sh
check: ## layers, headers, both compilers, boundary, format, a bounded fuzz run
	@Tests/tools/check.sh
fmt: ## format Swift sources in place
	@swift format --in-place --recursive --parallel Sources Tests Package.swift
asan: ## C tests, Swift unit tests and the whole proxy end to end under address (C: and undefined-behaviour) sanitizers
	@Tests/tools/sanitize.sh asan
tsan: ## the same under the thread sanitizer
	@Tests/tools/sanitize.sh tsan
valgrind: build ## C tests, Swift tests and the released programs end to end under memcheck
	@Tests/tools/valgrind.sh
fuzz: ## fuzz every target for FUZZ_SECONDS (600) each
	@Tests/tools/fuzz.sh $${FUZZ_SECONDS:-600}
bench: ## measure with the C microbenchmarks (BENCH_FLAGS=--json for JSON)
	@swift run -c release benchmarks $(BENCH_FLAGS)
bench-peers: build ## the same load through ours, HAProxy, nginx, Envoy and a bare relay (docs/benchmarks.md; PEERS_FLAGS=--help)
	@Tests/Benchmarks/Peers/run.py $(PEERS_FLAGS)
demo: build ## restart ten times under load and print what the clients saw
	@Tests/tools/optimised.sh demo
soak: build ## SOAK_SECONDS (1200) of load with a restart every second; memory and descriptors must stay flat
	@Tests/tools/optimised.sh soak
clean: ## remove what was built
	@rm -rf .build .build-* proxy restarter
