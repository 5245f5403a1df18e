# What to run: `make help`. Everything it fetches or builds stays in .cache and
# Go's own caches; scripts/install is the only thing that installs packages.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GOLANGCI_VERSION := v2.15.0
GOLANGCI := .cache/bin/golangci-lint-$(GOLANGCI_VERSION)

# Without a usable git (absent, or not the owner's checkout) a build has no
# version stamp instead of failing.
export GOFLAGS := -buildvcs=$(shell git rev-parse HEAD > /dev/null 2>&1 && echo auto || echo false)

# The end-to-end tests run the real binary, or all drivers, against real servers;
# check runs all the others. Each package runs many tests at a time that mostly wait
# for each other's servers, with patience for a machine that is theirs: one package
# after the other takes a third longer, and fails for nobody else's load.
END_TO_END := dnsctl/testscripts/... dnsctl/nameserver/conformance
UNIT = $$(go list ./... | grep -vE '^dnsctl/(testscripts|nameserver/conformance)')

# The same with the nameservers of a newer Debian, by private copies: all that drivers
# do, and of the scripts those that bring each kind up, drain it, and have it take its
# zones from a catalog, which NSD does only there. The rest knows no server's version.
NEWER := trixie
NEWER_SCRIPTS := TestScripts/(newer|bootstrap|drain)/sqlite|TestScripts/mdns/sqlite/catalog_consumers

.PHONY: help
help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## the binary, ./dnsctl
	go build -o dnsctl .

.PHONY: check
check: format vet lint unit ## formatting, linters, unit and store tests: before every commit

.PHONY: format
format:
	@files=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi

.PHONY: vet
vet:
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI)
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(CURDIR)/.cache/bin/install GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv .cache/bin/install/golangci-lint $@

# SQLite's library, C made Go, is left out of the race detector, and what calls it
# out of its pointer checks: they cost half the time and find nothing of ours.
# (Not more than lib: generic functions of the standard library that a package
# compiles without the detector may be linked into all others.)
# -short thins out what takes long, as the questions of the comparison with named;
# test runs all of it, without the detector.
RACE := -race -gcflags=modernc.org/sqlite=-d=checkptr=0 -gcflags=modernc.org/libc/...=-d=checkptr=0 -gcflags=modernc.org/sqlite/lib=-race=false

.PHONY: unit
unit:
	go test $(RACE) -short -timeout 20m $(UNIT)

.PHONY: test
test: install check build ## everything: check, the demo, the end-to-end tests with real servers
	@mkdir -p .cache
	scripts/demo > .cache/demo.log 2>&1 || { cat .cache/demo.log; exit 1; }
	go test -timeout 20m $(UNIT)
	go test -p 1 $(RACE) -timeout 30m $(END_TO_END)
	$(MAKE) --no-print-directory test-newer

.PHONY: test-newer
test-newer: install ## the drivers and what rests on them, with the nameservers of Debian 13
	newer=$$(scripts/own-nameservers $(NEWER)); export PATH="$$newer:$$PATH"; \
	go test -count=1 -timeout 20m ./nameserver/conformance; \
	DNSCTL_TEST_NEWER=1 go test -count=1 -timeout 20m ./testscripts -run '$(NEWER_SCRIPTS)'

.PHONY: install
install: ## the Debian packages that tests need (scripts/packages); no service is started
	scripts/install

.PHONY: demo
demo: ## the story, told with a private BIND 9 and PowerDNS on loopback; leaves nothing behind
	scripts/demo

.PHONY: sample
sample: ## write testdata/sample again from cmd/sample
	go run ./cmd/sample testdata/sample

.PHONY: docs
docs: ## write docs/man, docs/completions and docs/json-output.md again
	go run ./cmd/gendocs docs

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" < /dev/null; \
		done; \
	done

.PHONY: clean
clean: ## removes what was built and fetched into this folder
	rm -rf dnsctl .cache .demo-*

# The rows of other nameservers that cannot be installed or built are missing.
# Only the whole run writes docs/; .cache/profiles then has what pprof reads.
BENCH ?=
BENCH_ALL := -json docs/benchmarks.json -docs docs -many 1000000 -profile .cache/profiles
.PHONY: bench
bench: peers ## what docs/benchmarks.md shows, measured here beside other nameservers; BENCH='-run axfr' for less
	go run ./cmd/bench $(or $(BENCH),$(BENCH_ALL))

.PHONY: bench-quick
bench-quick: peers ## a small run of bench, in minutes
	go run ./cmd/bench -quick $(BENCH)

.PHONY: bench-bootstrap
bench-bootstrap: ## bootstrap of the four nameservers beside the best way by hand, with 10,000 zones; BENCH='-zones 100000 -n 1 -untuned=false' for others
	go run ./cmd/bench -run '^bootstrap-' -store sqlite -peers '' -records 1000 -untuned $(BENCH)

# What bench measures beside dnsctl.
.PHONY: peers
peers:
	@scripts/install packages-bench || echo "bench: some other nameservers are missing" >&2
	@scripts/own-coredns > /dev/null || echo "bench: CoreDNS could not be built" >&2
