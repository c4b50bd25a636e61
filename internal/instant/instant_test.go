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
	day := string(instant.AppendDate(nil, ms))
	if want := time.UnixMilli(ms).UTC().Format(time.DateOnly); day != want {
		t.Fatalf("the day of %d is %s, want %s", ms, day, want)
	}
	if year := time.UnixMilli(ms).UTC().Year(); year < 0 || year > 9999 {
		return
	}
	if back, ok := instant.Parse([]byte(got)); !ok || back != ms {
		t.Fatalf("%s is read as %d (%t), want %d", got, back, ok, ms)
	}
	start := time.UnixMilli(ms).UTC().Truncate(24 * time.Hour)
	if back, ok := instant.ParseDate([]byte(day)); !ok || back != start.UnixMilli() {
		t.Fatalf("%s is read as %d (%t), want %d", day, back, ok, start.UnixMilli())
	}
}

// FuzzParse: what is read, package time reads alike.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"2026-05-14T09:30:00.123Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00.000Z", "1900-02-29T00:00:00.000Z", "0000-01-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z",
		"2026-00-10T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-05-14T24:00:00.000Z", "2026-05-14T09:60:00.000Z", "2026-05-14t09:30:00.123Z", "2026-05-14T09:30:00,123Z",
		"2026-05-14T09:30:00.123+00:00", "2026-05-14", "2026-05-00", "26-5-14", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if ms, ok := instant.Parse([]byte(text)); ok {
			if want, err := time.Parse(instant.Layout, text); err != nil || want.UnixMilli() != ms {
				t.Fatalf("%q is read as %d, want %v (%v)", text, ms, want, err)
			}
		}
		if ms, ok := instant.ParseDate([]byte(text)); ok {
			if want, err := time.Parse(time.DateOnly, text); err != nil || want.UnixMilli() != ms {
				t.Fatalf("%q is read as %d, want %v (%v)", text, ms, want, err)
			}
		}
	})
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
