// Package docs holds the documents that programs need. The others stand beside it.
package docs

import _ "embed"

// OpenAPI is the contract of the HTTP API in OpenAPI 3.1, as YAML. GET /v1/openapi.yaml serves it.
//
//go:embed openapi.yaml
var OpenAPI string
