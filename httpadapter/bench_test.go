package httpadapter_test

import (
	"bytes"
	"io"
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

// What GET /v1/reports/export writes in a second, from a store in memory.
func BenchmarkExport(b *testing.B) {
	const events = 20_000
	s := newServer(b)
	body := `{"events":[` + strings.Join(slices.Repeat([]string{benchmarkEvent}, 1000), ",") + `]}`
	for range events / 1000 {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, s.request(http.MethodPost, "/v1/track/batch", body)); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	web := httptest.NewServer(s.Handler)
	defer web.Close()
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, web.URL+"/v1/reports/export?period=all", nil)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if lines := bytes.Count(text, []byte("\r\n")); err != nil || lines != events+1 {
			b.Fatal(lines, err)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}
