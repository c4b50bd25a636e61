module github.com/humanhours/humanhours-go

go 1.25.0

require (
	github.com/oklog/ulid/v2 v2.1.2
	github.com/shopspring/decimal v1.6.0
)

require (
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
