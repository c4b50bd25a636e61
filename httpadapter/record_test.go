package httpadapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/humanhours/humanhours-go/httpadapter"
)

// The tests of this package know what the API answers. httpadapter/contract runs them with this variable set to a folder, and holds
// every exchange that they had against docs/openapi.yaml.
const recordVariable = "HUMANHOURS_RECORD"

// recordMost is how much of a body is recorded: some tests send bodies without end.
const recordMost = 128 << 10

// measured are the tests that measure how much memory an answer takes, and must not measure the recorder. Others send the same requests.
var measured = []string{"TestWorstInputsAreCheap", "TestWorstBatchIsCheap"}

// exchange is one line of a recording: a request, and what the API answered. httpadapter/contract has the same type.
type exchange struct {
	Test           string      `json:"test"`
	Method         string      `json:"method"`
	Path           string      `json:"path"` // escaped, as it came
	Query          string      `json:"query"`
	RequestHeader  http.Header `json:"request_header"`
	RequestBody    []byte      `json:"request_body"` // as far as the API read it; base64, for it may be no UTF-8
	RequestCut     bool        `json:"request_cut"`  // RequestBody is not all of it
	Status         int         `json:"status"`
	ResponseHeader http.Header `json:"response_header"`
	ResponseBody   []byte      `json:"response_body"`
	ResponseCut    bool        `json:"response_cut"`
}

// recording is the file of this process; nil if nothing is recorded. It is never closed: each line is written at once.
var recording = sync.OnceValue(func() *os.File {
	folder := os.Getenv(recordVariable)
	if folder == "" {
		return nil
	}
	file, err := os.Create(filepath.Join(folder, fmt.Sprintf("exchanges-%d.jsonl", os.Getpid())))
	if err != nil {
		panic(err)
	}
	return file
})

// ServeHTTP comes before that of the embedded Handler, and records what goes through it. What a test mounts in a router of its own is
// not recorded: its paths, and what its middleware does, are not those of the contract.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file := recording()
	test, _, _ := strings.Cut(s.t.Name(), "/")
	if _, whole := s.Handler.(*httpadapter.API); file == nil || !whole || slices.Contains(measured, test) {
		s.Handler.ServeHTTP(w, r)
		return
	}
	e := exchange{Test: s.t.Name(), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, RequestHeader: r.Header.Clone()}
	request := *r // the test's own stays as it is
	body := &recordedBody{ReadCloser: r.Body}
	request.Body = body
	answer := &recordedAnswer{ResponseWriter: w, to: &e}
	s.Handler.ServeHTTP(answer, &request)
	if e.Status == 0 {
		answer.WriteHeader(http.StatusOK)
	}
	e.RequestBody, e.RequestCut = body.kept.bytes()
	e.RequestCut = e.RequestCut || !body.ended && len(e.RequestBody) > 0
	e.ResponseBody, e.ResponseCut = answer.kept.bytes()
	if err := json.NewEncoder(file).Encode(&e); err != nil { // it writes once: lines of parallel tests do not mix
		panic(err)
	}
}

// kept is the beginning of what was written.
type kept struct {
	buf bytes.Buffer
	all int
}

func (k *kept) write(p []byte) {
	k.all += len(p)
	k.buf.Write(p[:min(len(p), recordMost-k.buf.Len())])
}

func (k *kept) bytes() (b []byte, cut bool) { return k.buf.Bytes(), k.all > k.buf.Len() }

// recordedBody keeps what is read of a body. It reads nothing by itself.
type recordedBody struct {
	io.ReadCloser
	kept  kept
	ended bool
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.kept.write(p[:n])
	b.ended = b.ended || err == io.EOF
	return n, err
}

// recordedAnswer keeps an answer as the API gives it: net/http adds headers of its own, and takes the body from a HEAD.
type recordedAnswer struct {
	http.ResponseWriter
	to   *exchange
	kept kept
}

func (a *recordedAnswer) WriteHeader(status int) {
	if a.to.Status == 0 {
		a.to.Status, a.to.ResponseHeader = status, a.Header().Clone()
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *recordedAnswer) Write(p []byte) (int, error) {
	if a.to.Status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.kept.write(p)
	return a.ResponseWriter.Write(p)
}
