package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB that notes failures instead of failing the test around it.
type recorder struct {
	testing.TB // for what it does not note: Context, TempDir and so on

	mu     sync.Mutex
	failed bool
	log    []string
	after  []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Log(args ...any) { r.note(fmt.Sprintln(args...)) }

func (r *recorder) Logf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }

func (r *recorder) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, strings.TrimSpace(line))
}

func (r *recorder) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Error(args ...any) {
	r.Log(args...)
	r.Fail()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.Fail()
}

func (r *recorder) Fatal(args ...any) {
	r.Log(args...)
	r.FailNow()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Logf(format, args...)
	r.FailNow()
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = append(r.after, f)
}

// text is all that was said.
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, "\n")
}

// judge runs a case that may fail.
func judge[S any](t *testing.T, p proof[S], patience time.Duration, fresh func(testing.TB) S) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				r.Errorf("panic: %v", cause)
			}
		}()
		p.on(r, patience, fresh)
	}()
	<-done
	for i := len(r.after) - 1; i >= 0; i-- {
		r.after[i]()
	}
	return r
}

// liar is a broken implementation and the case that must find it out.
type liar[S any] struct {
	lie      string
	caughtBy string
	fresh    func() S
	patience time.Duration // for those that hang; defaults to defaultPatience
}

// expose runs, on each liar, the case that must catch it. Each case must catch somebody: one that cannot fail proves nothing.
func expose[S any](t *testing.T, proofs []proof[S], liars []liar[S]) {
	t.Helper()
	caught := make(map[string]bool)
	for _, l := range liars {
		t.Run(l.lie, func(t *testing.T) {
			patience := l.patience
			if patience == 0 {
				patience = defaultPatience
			}
			at := slices.IndexFunc(proofs, func(p proof[S]) bool { return p.name == l.caughtBy })
			if at < 0 {
				t.Fatalf("there is no case %q", l.caughtBy)
			}
			verdict := judge(t, proofs[at], patience, func(testing.TB) S { return l.fresh() })
			if !verdict.Failed() {
				t.Fatalf("the case %q did not catch it", l.caughtBy)
			}
			if !strings.Contains(verdict.text(), proofs[at].contract) {
				t.Fatalf("the case %q failed without a word of the contract:\n%s", l.caughtBy, verdict.text())
			}
			t.Log(verdict.text())
		})
		caught[l.caughtBy] = true
	}
	for _, p := range proofs {
		if !caught[p.name] {
			t.Errorf("no liar is there for the case %q", p.name)
		}
	}
}

// lift makes a case for one store a case for a shared one.
func lift[S any](proofs []proof[S]) []proof[[]S] {
	lifted := make([]proof[[]S], len(proofs))
	for i, p := range proofs {
		lifted[i] = proof[[]S]{p.name, p.contract, func(k *kit, stores []S) { p.run(k, stores[0]) }}
	}
	return lifted
}
