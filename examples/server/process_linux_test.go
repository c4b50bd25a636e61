package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// asProcess runs a command, in which this binary is the server, until it ends.
func asProcess(t *testing.T, name string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), asServer+"=1")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		var ended *exec.ExitError
		require.ErrorAs(t, err, &ended)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestExitCodes: a script notices, and a person reads one line.
func TestExitCodes(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	fails := func(t *testing.T, want string, args ...string) {
		t.Helper()
		stdout, stderr, exit := asProcess(t, self, args...)
		require.Equal(t, 1, exit, stderr)
		require.Empty(t, stdout)
		require.True(t, strings.HasPrefix(stderr, "server: "), stderr)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		require.Contains(t, stderr, want)
	}
	for name, bad := range badDatabases(t) {
		t.Run(name, func(t *testing.T) {
			fails(t, bad.want, "-addr", "127.0.0.1:0", "-db", bad.db)
		})
	}
	none := filepath.Join(t.TempDir(), "none.db")
	fails(t, "there is no database at "+none, "keys", "list", "-org", "acme", "-db", none)
	fails(t, "there is no database at "+none, "keys", "revoke", "-db", none, "AAAAAAAA")
	fails(t, "1 to 255 bytes", "keys", "create", "-org", " ", "-db", none)
	require.NoFileExists(t, none)
	_, _, exit := asProcess(t, self, "keys", "list", "-nonsense")
	require.Equal(t, 2, exit)
}

// TestHintWorksAsPasted gives to a shell what a second start prints.
func TestHintWorksAsPasted(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	for _, db := range []string{defaultDB, "hours.db", `it's a "$HOME" \x;*.db`} {
		require.NoError(t, start(t, "-db", db).stop())
		s := start(t, "-db", db)
		_, rest, ok := strings.Cut(hint(t, s), " keys create ")
		require.True(t, ok)
		stdout, stderr, exit := asProcess(t, "sh", "-c", quote(self)+" keys create "+rest)
		require.Zero(t, exit, stderr)
		require.NoError(t, s.stop())

		stored, err := sqlite.Open(db, sqlite.Config{})
		require.NoError(t, err)
		caller, err := humanhours.NewKeys(stored, humanhours.KeysConfig{}).Authenticate(t.Context(), strings.TrimSpace(stdout))
		require.NoError(t, err, db)
		require.Equal(t, firstOrgID, caller.Org)
		require.NoError(t, stored.Close())
	}
}
