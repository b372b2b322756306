# Names for commands. Everything they need is installed by package name.
GO        ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME  ?= 10s
VERSION   ?= dev
LDFLAGS   = -s -w -X github.com/influxdata/telegraf/internal.Version=1.37.2

.PHONY: run run-questdb build test check unit fuzz real bench release-check clean

run: ## the show: this machine's metrics through an outage, nothing but Go needed
	$(GO) run ./testutil/show

run-questdb: ## the same against the real QuestDB 9.3.4 (Java 17, Maven)
	$(GO) run ./testutil/show -questdb

build: ## the execd binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o build/questdb_sf ./cmd/standalone

test: ## everything that CI runs
	./.ci/test

bench: ## benchmarks, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./internal/... ./plugins/...

release-check: ## what is too slow or too wide for every change
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build -trimpath -o build/arm64/questdb_sf ./cmd/standalone

clean:
	rm -rf build
