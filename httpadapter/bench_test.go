package httpadapter_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// benchmark posts body to path until b is done, without a network.
func benchmark(b *testing.B, path, body string, status, events int) {
	s := newServer(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, s.request(http.MethodPost, path, body))
		if w.Code != status {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.N)*float64(events)/b.Elapsed().Seconds(), "events/s")
}

// benchmarkEvent is an event as agents send it.
var benchmarkEvent = event("agent_duration_seconds", "4.25", "agent_cost", "0.0132", "model", `"anthropic/claude-sonnet-4.5"`,
	"tokens_in", "1834", "tokens_out", "212", "metadata", `{"client":"acme","run":"a81c"}`, "occurred_at", `"2026-05-06T10:42:00.000Z"`)

func BenchmarkPostTrack(b *testing.B) {
	benchmark(b, "/v1/track", benchmarkEvent, http.StatusCreated, 1)
}

func BenchmarkPostBatch1000(b *testing.B) {
	body := `{"events":[` + strings.Join(slices.Repeat([]string{benchmarkEvent}, 1000), ",") + `]}`
	benchmark(b, "/v1/track/batch", body, http.StatusOK, 1000)
}
