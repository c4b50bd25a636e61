package httpadapter

import (
	"net/http"

	"github.com/humanhours/humanhours-go/docs"
)

// OpenAPI serves GET /v1/openapi.yaml: the contract of all endpoints, as OpenAPI 3.1. It needs no key.
func (a *API) OpenAPI(w http.ResponseWriter, r *http.Request) {
	id := a.begin(w, r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		a.writeError(w, r, id, notAllowed(w, r, methods{http.MethodGet: {}}))
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write([]byte(docs.OpenAPI)) // an error here means that the client is gone
}
