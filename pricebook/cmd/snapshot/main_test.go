package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/pricebook"
)

const fixture = "../../testdata/openrouter_fixture.json"

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "snapshot.json")
	snapshot := func(listing string) string {
		var printed strings.Builder
		require.NoError(t, run([]string{"-listing", listing, "-date", "2026-11-23", "-out", out}, &printed))
		return printed.String()
	}
	printed := snapshot(fixture)
	require.Contains(t, printed, "16 models; before: , 0 models\n16 new, 0 gone, 0 priced differently\n")
	require.Contains(t, printed, "new: example/plain\n")
	require.Contains(t, printed, `faulty: "example/bad-price" prompt is "n/a", which is no price`)
	first, err := os.ReadFile(out)
	require.NoError(t, err)
	book, err := pricebook.ParseSnapshot(first)
	require.NoError(t, err)
	require.Equal(t, "2026-11-23", book.Info().Date.Format("2006-01-02"))
	require.Equal(t, book.Info().Date, book.Info().Fetched)

	require.Contains(t, snapshot(fixture), "0 new, 0 gone, 0 priced differently\n")
	again, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, string(first), string(again), "the same listing and day give the same file")

	listing, err := os.ReadFile(fixture)
	require.NoError(t, err)
	changed := filepath.Join(dir, "listing.json")
	require.NoError(t, os.WriteFile(changed, []byte(strings.NewReplacer(
		`"id":"example/song"`, `"id":"example/hymn"`,
		`"prompt":"0.00000125"`, `"prompt":"0.0000015"`, // plain:batch, by exactly 20 %
		`"prompt":"0.00000044"`, `"prompt":"0.00000054"`, // night-rate, by more
		`"min_prompt_tokens":32000,"prompt":"0.00000117"`, `"min_prompt_tokens":32000,"prompt":"0.00000017"`,
		`"image":"0.0000003"`, `"image":"-1"`,
	).Replace(string(listing))), 0o600))
	printed = snapshot(changed)
	require.Contains(t, printed, "1 new, 1 gone, 4 priced differently\nnew: example/hymn\ngone: example/song\n")
	require.Contains(t, printed, "changed by more than 20 %: example/night-rate prompt: 0.00000044 to 0.00000054\n")
	require.Contains(t, printed, `example/two-tiers prompt {"min_prompt_tokens":32000}: 0.00000117 to 0.00000017`)
	require.Contains(t, printed, "example/long-decimal image: 0.0000003 to none\n")
	require.NotContains(t, printed, "example/plain:batch")
	require.Equal(t, 3, strings.Count(printed, "changed by"))

	require.NoError(t, os.WriteFile(out, []byte("{"), 0o600))
	require.Contains(t, snapshot(fixture), "is compared with nothing")
	again, err = os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))
}

func TestErrorsAreOneSentence(t *testing.T) {
	dir := t.TempDir()
	html := filepath.Join(dir, "listing.html")
	require.NoError(t, os.WriteFile(html, []byte("<html>"), 0o600))
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"-listing must name", nil},
		{"-date must be a day", []string{"-listing", fixture}},
		{"-date must be a day", []string{"-listing", fixture, "-date", "yesterday"}},
		{"cannot be read", []string{"-listing", filepath.Join(dir, "none"), "-date", "2026-11-23"}},
		{"not a JSON object", []string{"-listing", html, "-date", "2026-11-23"}},
		{"cannot be written", []string{"-listing", fixture, "-date", "2026-11-23", "-out", filepath.Join(dir, "none", "out.json")}},
		{"too many", []string{"-listing", fixture, "-date", "2026-11-23", "x"}},
		{"not defined", []string{"-x"}},
	} {
		err := run(tc.args, &strings.Builder{})
		require.ErrorContains(t, err, tc.want)
		require.NotContains(t, err.Error(), "\n")
	}
}
