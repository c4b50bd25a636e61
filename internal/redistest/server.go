// Package redistest runs real Redis servers for tests: private ones, on free ports of the loopback interface, that end with the test.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// patience is how long a server may take to do what it is told.
const patience = 30 * time.Second

// Server is a redis-server process.
type Server struct {
	tb   testing.TB
	dir  string
	port int
	args []string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

// Start starts a server that keeps nothing on the disk, unless args, which are like those of redis-server, say so. Where redis-server is
// not installed the test fails in CI and is skipped elsewhere.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	need(tb, "redis-server")
	var err error
	for range 10 { // a free port may be taken by somebody else meanwhile
		s := &Server{tb: tb, dir: tb.TempDir(), port: freePort(tb), args: args}
		if err = s.start(); err == nil {
			tb.Cleanup(s.Kill)
			return s
		}
		s.Kill()
	}
	tb.Fatal(err)
	return nil
}

// need looks for a program.
func need(tb testing.TB, program string) {
	tb.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatalf("%s is not installed", program)
	}
	tb.Skipf("SKIPPED: %s is not installed, so nothing is shown about Redis", program)
}

// freePort returns a port that is free, with the one of the cluster bus above it.
func freePort(tb testing.TB) int {
	tb.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		_ = listener.Close()
		if port >= 50000 { // plus 10000 is no port
			port -= 20000
		}
		ok := true
		for _, p := range []int{port, port + 10000} {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if ok = ok && err == nil; err == nil {
				_ = l.Close()
			}
		}
		if ok {
			return port
		}
	}
}

func (s *Server) start() error {
	log := filepath.Join(s.dir, "redis.log")
	args := append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no", "--logfile", log,
	}, s.args...)
	// The shell waits for the end of its input, which comes with the end of this process however it ends, and takes the server along.
	script := `redis-server "$@" & server=$!; (cat >/dev/null; kill -9 $server) <&3 3<&- & wait $server`
	cmd := exec.Command("sh", append([]string{"-c", "exec 3<&0; " + script, "sh"}, args...)...)
	if _, err := cmd.StdinPipe(); err != nil { // closed by the end of this process
		return err
	}
	// Through a pipe, Wait waits for the server too and not only for the shell: one that has been killed in the middle of a write goes on for a
	// moment, and must not add to a file that the next one has read already.
	cmd.Stdout = io.Discard
	own(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	client := goredis.NewClient(&goredis.Options{Addr: s.Addr(), MaxRetries: -1, DialTimeout: time.Second})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return poll(ctx, func() error {
		select {
		case <-ended:
			text, _ := os.ReadFile(log)
			return fmt.Errorf("%w: redis-server has ended:\n%s", errGiveUp, text)
		default:
		}
		// Not by the client: it dials again a tenth of a second later, which would be most of the time that a start takes.
		conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
		if err != nil {
			return err
		}
		_ = conn.Close()
		return client.Ping(ctx).Err() // an error while it loads its data
	})
}

var errGiveUp = errors.New("giving up")

// poll calls f until it has no error.
func poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errGiveUp) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// Eventually waits until f has no error.
func Eventually(tb testing.TB, f func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := poll(ctx, f); err != nil {
		tb.Fatal(err)
	}
}

// Addr is the host and port of the server.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is what a client can be configured with.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Client returns a client of the server, closed at the end of the test.
func (s *Server) Client(tb testing.TB) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr()})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server at once: nothing that it has not written is written. To kill it again does nothing.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return
	}
	killGroup(cmd)
	<-ended
}

// Restart starts the server again, after a Kill, on its port and in its folder, and returns when it has loaded its data.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Kill()
	s.mend()
	var err error
	for range 20 {
		if err = s.start(); err == nil {
			return
		}
		s.Kill()
	}
	s.tb.Fatal(err)
}

// mend does what docs/operations.md says to do after a server was killed: where its last write to the append-only file was torn, Redis 7.0 cuts the file
// within the transaction and not before it, and at the start after the next one takes the first part of that transaction for whole.
func (s *Server) mend() {
	manifest := filepath.Join(s.dir, "appendonlydir", "appendonly.aof.manifest")
	if _, err := os.Stat(manifest); err != nil {
		return
	}
	cmd := exec.Command("redis-check-aof", "--fix", manifest)
	cmd.Stdin = strings.NewReader("y\n")
	_ = cmd.Run() // a file that needs no mending, or that Redis itself will complain of
}

// Must runs a command of Redis on a new connection and returns its answer as text.
func (s *Server) Must(tb testing.TB, args ...any) string {
	tb.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: s.Addr()})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := c.Do(ctx, args...).Result()
	if err != nil {
		tb.Fatalf("%v: %v", args, err)
	}
	return strings.TrimSpace(fmt.Sprint(answer))
}
