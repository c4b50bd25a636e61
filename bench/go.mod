module github.com/humanhours/humanhours-go/bench

go 1.25.0

require (
	github.com/go-chi/httprate v0.14.1
	github.com/go-redis/redis_rate/v10 v10.0.1
	github.com/humanhours/humanhours-go v0.0.0
	github.com/humanhours/humanhours-go/store/sqlite v0.0.0
	github.com/redis/go-redis/v9 v9.22.0
	github.com/sethvargo/go-limiter v0.7.1
	github.com/shopspring/decimal v1.6.0
	github.com/throttled/throttled/v2 v2.15.0
	golang.org/x/time v0.11.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/hashicorp/golang-lru v0.5.4 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	modernc.org/libc v1.75.6 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
	modernc.org/sqlite v1.58.0 // indirect
)

replace (
	github.com/humanhours/humanhours-go => ../
	github.com/humanhours/humanhours-go/store/sqlite => ../store/sqlite
)
