// Package contract has tests only: they prove that docs/openapi.yaml is the contract of package httpadapter, no more and no less. They run
// its tests, and hold every request and every answer of those against the document. It is a module of its own, because nobody who
// uses the library needs a validator of JSON Schema.
package contract
