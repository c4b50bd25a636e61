package httpadapter

import (
	"bufio"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	// streamBuffer is how much of a body is written at once. As long as it all fits, nothing has been answered.
	streamBuffer = 64 << 10
	// streamPatience is how long a client may take for as much, also where a server allows less for a whole answer.
	streamPatience = 30 * time.Second
)

// streaming is the way of a body to a client. The header goes out with the first byte.
type streaming struct {
	w       http.ResponseWriter
	control *http.ResponseController
	header  func()
	begun   bool
}

// Write implements io.Writer.
func (s *streaming) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.header()
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(streamPatience)) // not every ResponseWriter has deadlines
	return s.w.Write(p)
}

// contained makes an error of a panic.
func contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return f()
}

// stream answers with a body that is made while it is written. When that fails in the middle, the connection is cut: so the client knows that it has not all.
func (a *API) stream(w http.ResponseWriter, r *http.Request, id string, answer reply) {
	to := &streaming{w: w, control: http.NewResponseController(w), header: func() { a.writeHeader(w, answer) }}
	buffered := bufio.NewWriterSize(to, streamBuffer)
	err := contained(func() error { return answer.stream(buffered) })
	if err != nil && !to.begun {
		a.writeError(w, r, id, err)
		return
	}
	if err == nil {
		if err = buffered.Flush(); err == nil && !to.begun {
			to.header()
		}
	}
	if err != nil {
		a.logFailure(r, id, Status(err), err)
		panic(http.ErrAbortHandler)
	}
}
