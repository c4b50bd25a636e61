package contract

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/docs"
)

// allowed is what the tests of httpadapter do against the document, on purpose.
func allowed() allowances {
	return allowances{
		// They answer every code that there is, whatever the endpoint.
		madeUp: []string{"TestErrorShape", "TestUnknownCodeIsInternal", "TestCustomAuthenticate"},
		// Its callers come from a header of its own.
		credentials: []string{"TestCustomAuthenticate"},
		// Among them are fields of answers, which a request cannot set.
		ignored: []string{"x", "y", "unknown", "event_id", "hours_saved"},
	}
}

// notShown are obligations that no test of httpadapter can show, with the reason.
func notShown() map[string]string {
	return map[string]string{
		"/components/schemas/Report/properties/truncated": "it comes behind more rows than are recorded of an answer; TestTooManyRows has seen it",
	}
}

// documented loads the document.
func documented(t *testing.T) *contract {
	t.Helper()
	c, err := load(docs.OpenAPI)
	require.NoError(t, err)
	return c
}

// TestRecordedExchanges runs the tests of httpadapter, and holds what they sent and got against the document, and the document
// against that.
func TestRecordedExchanges(t *testing.T) {
	folder := t.TempDir()
	tests := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".")
	tests.Dir = ".."
	tests.Env = append(os.Environ(), "HUMANHOURS_RECORD="+folder)
	output, err := tests.CombinedOutput()
	require.NoError(t, err, "the tests of httpadapter:\n%s", output)

	c := newChecker(documented(t), allowed())
	count, failed := 0, 0
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	for _, name := range files {
		file, err := os.Open(name)
		require.NoError(t, err)
		defer file.Close()
		for lines := json.NewDecoder(file); ; count++ {
			var e exchange
			if err := lines.Decode(&e); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err)
			}
			if err := c.check(&e); err != nil {
				if failed++; failed <= 20 {
					t.Errorf("%s\n%v", &e, err)
				}
			}
		}
	}
	require.Zero(t, failed, "of %d exchanges", count)
	require.Greater(t, count, 1000, "the recording is not whole")

	reasons := notShown()
	var missing []string
	for _, name := range c.unseen() {
		if _, ok := reasons[name]; !ok {
			missing = append(missing, name)
		}
		delete(reasons, name)
	}
	require.Empty(t, strings.Join(missing, "\n"), "no test shows these parts of the document")
	require.Empty(t, reasons, "these are no exceptions any more")
}
