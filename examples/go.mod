module github.com/humanhours/humanhours-go/examples

go 1.25.0

require (
	github.com/humanhours/humanhours-go v0.0.0
	github.com/shopspring/decimal v1.6.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

// The examples always show the code beside them.
replace github.com/humanhours/humanhours-go => ../
