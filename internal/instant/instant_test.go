package instant_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go/internal/instant"
)

func check(t *testing.T, ms int64) {
	t.Helper()
	got, want := string(instant.Append(nil, ms)), time.UnixMilli(ms).UTC().Format(instant.Layout)
	if got != want {
		t.Fatalf("%d is %s, want %s", ms, got, want)
	}
}

func TestAppendIsFormat(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	for d := int64(-720_000); d < 200_000; d++ { // every day of the years -1 to 2517
		check(t, d*day)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		check(t, random.Int64N(1<<48)-1<<47)
	}
	for _, ms := range []int64{0, -1, 1, day - 1, -day, 1 << 47, -1 << 47, 253_402_300_799_999, 253_402_300_800_000, -62_167_219_200_000, -62_167_219_200_001} {
		check(t, ms)
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(int64(0))
	f.Fuzz(func(t *testing.T, ms int64) { check(t, ms%(1<<50)) })
}

func BenchmarkAppend(b *testing.B) {
	var dst []byte
	for b.Loop() {
		dst = instant.Append(dst[:0], 1_778_751_000_123)
	}
}
