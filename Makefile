# Names for commands. Everything they need is installed by package name.
GO       ?= go
BENCH     = ./internal/... ./plugins/...
TELEGRAF  = $(shell $(GO) list -m -f '{{.Version}}' github.com/influxdata/telegraf)
LDFLAGS   = -s -w -X main.version=$(shell git describe --tags --always --dirty) \
	-X github.com/influxdata/telegraf/internal.Version=$(TELEGRAF:v%=%)

.PHONY: help run run-questdb build test bench lint-readme readme telegraf dist deb release-check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

run: ## the show: this machine's metrics through an outage, nothing but Go needed
	$(GO) run ./testutil/show

run-questdb: ## the same against the real QuestDB 9.3.4 (Java 17, Maven)
	$(GO) run ./testutil/show -questdb

build: ## the execd binary: build/questdb_sf
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o build/questdb_sf ./cmd/standalone

test: ## everything that CI runs
	./.ci/test

bench: ## benchmarks, with allocations
	$(GO) test -run '^$$' -bench . -benchmem $(BENCH)

lint-readme: ## Telegraf's linter on the README of the plugin
	packaging/lint-readme

readme: ## put sample.conf into the README of the plugin
	packaging/lint-readme -update

telegraf: ## Telegraf with the output compiled in: build/telegraf
	packaging/telegraf

dist: ## static execd binaries for Linux, as archives in dist
	packaging/dist

deb: ## Debian packages out of them
	packaging/deb

release-check: ## try every way to install; STAGES= some, PREVIOUS= a revision to go back to
	packaging/release-check $(STAGES)

clean: ## what was built
	rm -rf build dist
