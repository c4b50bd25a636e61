package humanhours_test

import (
	"strconv"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// benchmarkRequest is what a typical client sends.
func benchmarkRequest() humanhours.TrackRequest {
	r := fullRequest()
	r.AgentCost, r.HumanBaselineMinutes, r.IdempotencyKey = null(""), null(""), ""
	r.Metadata = []byte(`{"client":"acme","run":"8412"}`)
	return r
}

// newBenchmarkTracker returns a Tracker on a memory store that computes run costs. Only its clock stands still.
func newBenchmarkTracker(b *testing.B) *humanhours.Tracker {
	b.Helper()
	b.ReportAllocs()
	tracker, err := humanhours.New(memory.New(), humanhours.Config{
		Clock: newClock(noon).Now, Prices: book{"m": quote("0.000003", "0.000015", "USD")}, Rates: usdToEUR("0.9188"),
	})
	if err != nil {
		b.Fatal(err)
	}
	return tracker
}

func BenchmarkTrack(b *testing.B) {
	for _, keyed := range []bool{false, true} {
		name := "without key"
		if keyed {
			name = "with key"
		}
		b.Run(name, func(b *testing.B) {
			tracker, r, n := newBenchmarkTracker(b), benchmarkRequest(), 0
			for b.Loop() {
				if n++; keyed {
					r.IdempotencyKey = strconv.Itoa(n)
				}
				if _, err := tracker.Track(b.Context(), humanhours.Caller{}, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("replay", func(b *testing.B) {
		tracker, r := newBenchmarkTracker(b), benchmarkRequest()
		r.IdempotencyKey = "run-1"
		for b.Loop() {
			if _, err := tracker.Track(b.Context(), humanhours.Caller{}, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkTrackBatch1000(b *testing.B) {
	tracker, batch := newBenchmarkTracker(b), make([]humanhours.TrackRequest, humanhours.MaxBatch)
	for i := range batch {
		batch[i] = benchmarkRequest()
	}
	for b.Loop() {
		if _, err := tracker.TrackBatch(b.Context(), humanhours.Caller{}, batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkComputeROI(b *testing.B) {
	b.ReportAllocs()
	in := roiInput("4", "4.25", "45", "0.0132")
	for b.Loop() {
		if _, err := humanhours.ComputeROI(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	b.ReportAllocs()
	e, buf := fullEvent(), make([]byte, 0, 2048)
	for b.Loop() {
		buf = e.AppendJSON(buf[:0])
	}
}

func BenchmarkDecodeStored(b *testing.B) {
	b.ReportAllocs()
	e := fullEvent()
	stored := e.AppendStored(nil)
	for b.Loop() {
		if _, err := humanhours.DecodeStored("acme", stored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	b.ReportAllocs()
	keys := humanhours.NewKeys(memory.New(), humanhours.KeysConfig{})
	_, secret, err := keys.Create(b.Context(), "acme", false, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := keys.Authenticate(b.Context(), secret.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
