//go:build linux

package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/humanhours/humanhours-go/store/sqlite"
)

// For root there are no permission bits, so it gets folders that the kernel keeps from everybody.
func TestWhatCannotBeWrittenTo(t *testing.T) {
	paths := []string{"/proc/hours.db", "/sys/hours.db"}
	if os.Getuid() != 0 {
		full, empty, locked := filepath.Join(t.TempDir(), "hours.db"), t.TempDir(), t.TempDir()
		inside := filepath.Join(locked, "hours.db")
		for _, path := range []string{full, inside} {
			s := open(t, path, sqlite.Config{})
			mustAppend(t, s, entries(0, 3)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for path, mode := range map[string]os.FileMode{full: 0o400, empty: 0o500, locked: 0o500} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o700) }) // so that it can be deleted
		}
		unreadable := file(t)
		if err := os.WriteFile(unreadable, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, full, inside, filepath.Join(empty, "hours.db"), unreadable)
	}
	for _, path := range paths {
		s, err := sqlite.Open(path, sqlite.Config{})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s is opened", path)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, "sqlite: "+path+" cannot be ") || !strings.Contains(got, "its folder must be writable") ||
			strings.Contains(got, "\n") {
			t.Errorf("%s: %q", path, got)
		}
	}
}
