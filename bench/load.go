package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server is one that Serve runs in a process of its own.
type Server struct {
	Address, Key string
	command      *exec.Cmd
	input        io.WriteCloser
	output       *bufio.Reader
}

// StartServer starts this program again as a server, on the first processor where the system lets one choose.
func StartServer(kind, folder, redis string) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{self, "-serve", kind, "-folder", folder, "-redis", redis}
	if pinned, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{pinned, "-c", "0"}, args...)
	}
	s := &Server{command: exec.Command(args[0], args[1:]...)}
	s.command.Stderr = os.Stderr
	input, err := s.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.input = input
	output, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	s.output = bufio.NewReader(output)
	line, err := s.output.ReadString('\n')
	if _, err2 := fmt.Sscan(line, &s.Address, &s.Key); err != nil || err2 != nil {
		return nil, errors.Join(err, err2, s.Stop())
	}
	return s, nil
}

// Stop ends it.
func (s *Server) Stop() error { return errors.Join(s.input.Close(), s.command.Wait()) }

// CPU is what the process has taken so far, as the kernel counts it.
func (s *Server) CPU() time.Duration {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(s.command.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100
}

// aside puts this process on the second processor, and back on all of them.
func aside() (back func()) {
	set := func(list string) {
		_ = exec.Command("taskset", "-a", "-p", "-c", list, strconv.Itoa(os.Getpid())).Run()
	}
	set("1")
	return func() { set("0-63") }
}

// client keeps connections open and sends the same request over and over, each with another idempotency key. It costs little, so that it is not
// what is measured.
type client struct {
	conns []*conn
	made  int
	rate  float64 // of the requests that are due in a second; 0: one follows the answer to another
}

type conn struct {
	net.Conn
	r *textproto.Reader
}

const keyMark = "0000000000000000"

// requestBytes is a request as it goes over the wire. That of a batch has its keys in the body, or none.
func requestBytes(path, key, body string, keyed bool) []byte {
	header := ""
	if keyed {
		header = "Idempotency-Key: k" + keyMark + "\r\n"
	}
	return []byte("POST " + path + " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + key + "\r\nContent-Type: application/json\r\n" + header +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func getBytes(path, key string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + key + "\r\n\r\n")
}

// send sends n requests over some connections, each waiting for its answer, and returns how long each took.
func (c *client) send(address string, request []byte, connections, n int) ([]time.Duration, error) {
	if err := c.dial(address, connections); err != nil {
		return nil, err
	}
	first := c.made
	c.made += n
	at := bytes.Index(request, []byte(keyMark))
	took, begin := make([]time.Duration, n), time.Now()
	err := callers(connections, n, func(i int) error {
		mine := request
		if at >= 0 {
			mine = slices.Clone(request)
			copy(mine[at:], fmt.Sprintf("%016d", first+i))
		}
		if c.rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / c.rate * float64(time.Second)))))
		}
		start := time.Now()
		err := c.conns[i%connections].exchange(mine)
		took[i] = time.Since(start)
		return err
	})
	return took, err
}

// ask is send for those who need not know how long each took. The load sleeps until there are answers, and leaves its processor to what else a server
// needs meanwhile: the kernel that writes to the disk, or Redis.
func (c *client) ask(address string, request []byte, connections, n int) error {
	_, err := c.send(address, request, connections, n)
	return err
}

func (c *client) dial(address string, connections int) error {
	for len(c.conns) < connections {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		c.conns = append(c.conns, &conn{raw, textproto.NewReader(bufio.NewReaderSize(raw, 16<<10))})
	}
	return nil
}

func (c *conn) exchange(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := c.r.ReadLineBytes()
	if err != nil {
		return err
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 20"))
	said := string(status)
	length := 0
	chunked := false
	for {
		line, err := c.r.ReadLineBytes()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(value))
		}
		chunked = chunked || bytes.Equal(line, []byte("Transfer-Encoding: chunked"))
	}
	for chunked {
		line, err := c.r.ReadLineBytes()
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := c.r.R.Discard(int(size) + 2); err != nil {
			return err
		}
		chunked = size > 0
	}
	if !good {
		body := make([]byte, length)
		_, _ = io.ReadFull(c.r.R, body)
		return fmt.Errorf("the server says %s: %s", said, body)
	}
	_, err = c.r.R.Discard(length)
	return err
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// HTTP are the rows that go over connections.
func HTTP(folder, redis string) []Row {
	posts := func(name string, goal float64, body string) Row {
		return Row{
			Name: name, Raw: "a bare net/http handler: ServeMux, body limit, timeouts, encoding/json", Unit: "requests", Goal: goal,
			Start: func() (Side, Side, func() error, error) {
				return versus(Memory, Bare, "/v1/track", body, (*client).flood, 64, 1, folder, redis)
			},
		}
	}
	rows := []Row{
		posts("POST /v1/track, memory store, 64 connections", 1, Documented),
		posts("POST /v1/track of the smallest request, likewise", 0, Small),
		posts("POST /v1/track of a full request, likewise", 0, Full),
		{
			Name: "POST /v1/track/batch, 1000 events, memory store", Raw: "decoding and encoding the same with encoding/json", Unit: "events", Goal: 0.7, Multiple: 2000,
			Start: func() (Side, Side, func() error, error) {
				return versus(Memory, Bare, "/v1/track/batch", batch(1000), (*client).ask, 2, 1000, folder, redis)
			},
		},
		{
			Name: "POST /v1/track on SQLite (FULL), 64 connections", Raw: "the same on memory", Unit: "requests", Goal: 0.6,
			Start: func() (Side, Side, func() error, error) {
				return versus(SQLite, Memory, "/v1/track", Documented, (*client).ask, 64, 1, folder, redis)
			},
		},
	}
	if redis != "" {
		rows = append(rows, Row{
			Name: "POST /v1/track on Redis, 64 connections", Raw: "the same on memory", Unit: "requests", Goal: 0.6,
			Start: func() (Side, Side, func() error, error) {
				return versus(Redis, Memory, "/v1/track", Documented, (*client).ask, 64, 1, folder, redis)
			},
		})
	}
	return rows
}

// versus sends the same to two servers, in one of the ways of a client.
func versus(ours, raw, path, body string, send func(c *client, address string, request []byte, connections, n int) error, connections, events int, folder, redis string) (Side, Side, func() error, error) {
	var stops []func() error
	stop := func() error {
		var errs []error
		for _, f := range stops {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	back := aside()
	stops = append(stops, func() error { back(); return nil })
	var sides [2]Side
	for i, kind := range []string{ours, raw} {
		server, err := StartServer(kind, folder, redis)
		if err != nil {
			return nil, nil, nil, errors.Join(err, stop())
		}
		c := &client{}
		stops = append(stops, func() error {
			c.close()
			return server.Stop()
		})
		request := requestBytes(path, server.Key, body, events == 1)
		sides[i] = func(n int) (Spent, error) {
			before := server.CPU()
			err := send(c, server.Address, request, connections, n/events)
			return Spent{Remote: server.CPU() - before}, err
		}
	}
	return sides[0], sides[1], stop, nil
}
