# Every module of go.work.
PACKAGES := ./... ./store/sqlite/... ./httpadapter/contract/... ./examples/... ./bench/...

.PHONY: test lint bench bench-smoke fuzz

# All tests, with the race detector, and what must hold before them: formatting and go vet.
test:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	go vet $(PACKAGES)
	go test -race -timeout 15m $(filter-out ./httpadapter/contract/...,$(PACKAGES))
	@# It runs the tests of another package, of whose changes the cache of results knows nothing.
	go test -race -count=1 ./httpadapter/contract/...

# Static analysis. The go command fetches the tools; govulncheck also needs its database from the network.
lint:
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $(PACKAGES)
	@out=$$(go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(PACKAGES) 2>&1) || case "$$out" in \
	  *"fetching vulnerabilities"*) echo "SKIPPED: govulncheck cannot reach its database" ;; \
	  *) echo "$$out"; exit 1 ;; esac

bench:
	go test -run '^$$' -bench . -benchmem $(PACKAGES)

# In two minutes: allocations, which make test checks too, and the rows of bench in short rounds; those in process must not be far from what they were.
# docs/benchmarks.md has them all, in half an hour:
# go run ./bench/cmd/report
bench-smoke:
	go test -count=1 -run TestAllocations -v ./bench
	go run ./bench/cmd/report -guard -rounds 3 -each 200ms -peers=false -kills 3 -growth 0 -soak 0 -out ''

# Each fuzz target for FUZZTIME. go test runs their seeds anyway.
FUZZTIME ?= 30s
fuzz:
	@for target in $$(grep -rhoE '^func Fuzz[A-Za-z]+' --include='*_test.go' . | sed 's/^func //' | sort -u); do \
	  dir=$$(dirname $$(grep -rlE "^func $$target\(" --include='*_test.go' .)); \
	  echo "$$target in $$dir"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$dir || exit 1; done
