package httpadapter

import (
	"maps"
	"slices"
)

// DecodeTrack is what the fuzz test attacks.
var DecodeTrack = decodeTrack

// Routes are the paths that the API serves, behind its prefixes.
func (a *API) Routes() []string {
	return append(slices.Sorted(maps.Keys(a.endpoints)), "/openapi.yaml")
}

// Inert is what texts go through on their way into CSV.
var Inert = inert
