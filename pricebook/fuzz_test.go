package pricebook

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// requireRoundTrip holds an edition against what every edition is: it survives its file, and nothing in it is negative.
func requireRoundTrip(t *testing.T, b *Static) {
	t.Helper()
	text := b.encode()
	again, stated, err := decodeSnapshot(text)
	require.NoError(t, err, "%s", text)
	require.Equal(t, b.info.Version, stated)
	require.Equal(t, b.info, again.info)
	require.Equal(t, string(text), string(again.encode()))
	for id, r := range b.rows {
		if r.unpriced == "" {
			requireSane(t, id, r)
		}
		q := humanhours.PriceQuery{Model: id, At: today, Usage: humanhours.Usage{TokensIn: n(1_000_000)}}
		require.Equal(t, prices(quote(t, b, q)), prices(quote(t, again, q)))
	}
}

func FuzzListing(f *testing.F) {
	fixture, err := os.ReadFile("testdata/openrouter_fixture.json")
	require.NoError(f, err)
	f.Add(fixture)
	for _, pricing := range []string{
		`"prompt":"0.0000000833333333333333","completion":1e-7,"discount":0.1`, `"prompt":"1e999999999","completion":"-1"`, `"prompt":"0","completion":"0","image":"0"`,
		`"prompt":"1","completion":"2","overrides":[{"min_prompt_tokens":5,"utc_start":2330,"utc_end":2400,"utc_days":["sunday"],"prompt":"-1"},{"x":1}]`,
	} {
		f.Add([]byte(list(model("m", pricing), `{"id":"a","alias_target":{"slug":"m"},"pricing":{`+pricing+`}}`)))
	}
	f.Add([]byte(`{"data":[{"id":7},{"id":"m"},{"id":"m","pricing":null}],"total_count":3,"links":{"next":null}}`))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, held, err := ParseListing(data, today)
		if err != nil {
			require.Nil(t, b)
			return
		}
		for _, h := range held {
			require.NotEmpty(t, h.Reason)
		}
		requireRoundTrip(t, b)
	})
}

func FuzzSnapshot(f *testing.F) {
	fixture, err := os.ReadFile("testdata/openrouter_fixture.json")
	require.NoError(f, err)
	b, _, err := ParseListing(fixture, today)
	require.NoError(f, err)
	file := string(b.encode())
	f.Add([]byte(file))
	f.Add([]byte(strings.Replace(file, `"completion":"0.00001"`, `"completion":"0.00001","kept":{"version":"v","date":"2026-01-02"}`, 1)))
	f.Add((&Static{}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, _, err := decodeSnapshot(data); err == nil {
			requireRoundTrip(t, b)
		}
	})
}

func FuzzECB(f *testing.F) {
	f.Add([]byte(ecb(tuesday)))
	f.Add([]byte(ecb("2026-11-24 USD=1e-5 JPY=0.0000000833333333333333 GBP=-1", "2026-11-25 USD=1e999999999 JPY=x")))
	f.Add([]byte("<html>"))
	f.Add([]byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	base := SnapshotRates()
	f.Fuzz(func(t *testing.T, data []byte) {
		days, held, err := parseECB(data)
		if err != nil {
			return
		}
		e, _, err := newRateEdition(nil, base, base.date).merge(days, held, today)
		if err != nil {
			return
		}
		for _, day := range e.days {
			for code, rate := range day.rates {
				require.True(t, rate.IsPositive(), code)
			}
		}
		again, err := decodeRates(e.encode(), base)
		if len(e.days) > 0 {
			require.NoError(t, err, "%s", e.encode())
			require.Equal(t, string(e.encode()), string(again.encode()))
			require.Equal(t, e.info, again.info)
		}
	})
}
