module github.com/humanhours/humanhours-go/httpadapter/contract

go 1.25.0

// The contract is proved of the code beside it.
replace github.com/humanhours/humanhours-go => ../../

require (
	github.com/humanhours/humanhours-go v0.0.0-00010101000000-000000000000
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5
)

require (
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	github.com/shopspring/decimal v1.6.0 // indirect
	golang.org/x/text v0.14.0 // indirect
)
