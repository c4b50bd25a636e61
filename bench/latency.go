package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// latencyGoal is how many times the median the 99th percentile of latency is to be at most.
const latencyGoal = 5

// Latency is how long requests took at half of the rate at which the server is saturated, counted from the instant at which they were due.
type Latency struct {
	Rate     float64   // of requests in a second, half of what the server can do
	Ratios   []float64 // of the 99th percentile and the median of each round, sorted
	P50, P99 time.Duration
	Late     time.Duration // how long after they were due requests were sent, the 99th percentile
}

// Latencies measures POST /v1/track on a kind of server that needs neither a file nor Redis. It has a processor of its own, as the load has.
func Latencies(kind string, rounds int, each time.Duration) (l Latency, err error) {
	defer aside()()
	server, err := StartServer(kind, "", "")
	if err != nil {
		return l, err
	}
	c := &client{}
	defer func() {
		c.close()
		err = errors.Join(err, server.Stop())
	}()
	request := requestBytes("/v1/track", server.Key, Documented, true)
	saturate := func(n int) (Spent, error) {
		return Spent{}, c.flood(server.Address, request, 64, n)
	}
	n, err := calibrate(saturate, each, 0)
	if err != nil {
		return l, err
	}
	for range rounds { // the fastest: where neighbours slow one down, half of it would be less than half
		full, err := turn(saturate, n)
		if err != nil {
			return l, err
		}
		l.Rate = max(l.Rate, full.rate/2)
	}
	var p50s, p99s, lates []time.Duration
	for range rounds {
		took, late, err := c.sendAt(server.Address, request, l.Rate, max(100, int(l.Rate*each.Seconds())), 256)
		if err != nil {
			return l, err
		}
		p50, p99 := percentile(took, 50), percentile(took, 99)
		l.Ratios = append(l.Ratios, float64(p99)/float64(p50))
		p50s, p99s, lates = append(p50s, p50), append(p99s, p99), append(lates, percentile(late, 99))
	}
	slices.Sort(l.Ratios)
	l.P50, l.P99, l.Late = percentile(p50s, 50), percentile(p99s, 50), percentile(lates, 50)
	return l, nil
}

func percentile(list []time.Duration, p int) time.Duration {
	slices.Sort(list)
	return list[len(list)*p/100]
}

// flood is ask by a load that never sleeps, for POST /v1/track. One that sleeps is woken by the server, which takes that some microseconds for a
// request, and a slower server more of them: the load has nothing to do more often.
func (c *client) flood(address string, request []byte, connections, n int) error {
	if !readsNow {
		return c.ask(address, request, connections, n)
	}
	_, _, err := c.sendAt(address, request, math.Inf(1), n, connections)
	return err
}

// sendAt sends n requests when they are due, so many in a second, whatever has become of those before, and returns how long after that each was answered
// and each was sent. Requests that find all connections waiting for an answer wait too, and their clock runs.
//
// One loop does it all and never sleeps: a timer, or a goroutine that waits for its connection, wakes up later than what is measured.
func (c *client) sendAt(address string, request []byte, rate float64, n, connections int) (took, late []time.Duration, err error) {
	if err := c.dial(address, connections); err != nil {
		return nil, nil, err
	}
	lines := make([]*line, connections)
	for i, conn := range c.conns[:connections] {
		raw, err := conn.Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			return nil, nil, err
		}
		lines[i] = &line{conn: conn, raw: raw, answer: make([]byte, 0, 16<<10)}
	}
	first, mark := c.made, bytes.Index(request, []byte(keyMark))
	c.made += n
	request = slices.Clone(request)
	took, late = make([]time.Duration, n), make([]time.Duration, n)
	// All are used once before one is used again: servers close a connection that never has a request, and one that rests for long.
	free, busy := make([]*line, 0, connections), make([]*line, 0, connections)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	begin := time.Now()
	due := func(i int) time.Duration { return time.Duration(float64(i) / rate * float64(time.Second)) }
	for sent, answered := 0, 0; answered < n; {
		for sent < n && len(lines)+len(free) > 0 {
			at := due(sent)
			if late[sent] = time.Since(begin) - at; late[sent] < 0 {
				break
			}
			from := &lines
			if len(lines) == 0 {
				from = &free
			}
			l := (*from)[len(*from)-1]
			*from, busy = (*from)[:len(*from)-1], append(busy, l)
			l.number = sent
			digits := strconv.AppendInt(l.scratch[:0], int64(first+sent), 10)
			copy(request[mark+len(keyMark)-len(digits):], digits)
			if _, err := l.conn.Write(request); err != nil {
				return nil, nil, err
			}
			sent++
		}
		for i := 0; i < len(busy); i++ {
			l := busy[i]
			done, err := l.read()
			if err != nil {
				return nil, nil, err
			}
			if done {
				took[l.number] = time.Since(begin) - due(l.number)
				free, busy = append(free, l), slices.Delete(busy, i, i+1)
				answered++
				i--
			}
		}
	}
	return took, late, nil
}

// line is a connection that nobody waits for.
type line struct {
	conn    net.Conn
	raw     syscall.RawConn
	number  int    // of its request
	answer  []byte // what there is of it
	scratch [20]byte
}

// read reads what there is, and reports whether that is all of the answer.
func (l *line) read() (bool, error) {
	n, err := readNow(l.raw, l.answer[len(l.answer):cap(l.answer)])
	if n == 0 || err != nil {
		return false, err
	}
	l.answer = l.answer[:len(l.answer)+n]
	head, body, ok := bytes.Cut(l.answer, []byte("\r\n\r\n"))
	if !ok {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 201 ")) {
		return false, fmt.Errorf("the server answers %s", l.answer)
	}
	if bytes.Contains(head, []byte("\r\nTransfer-Encoding: chunked")) {
		if !bytes.HasSuffix(body, []byte("\r\n0\r\n\r\n")) {
			return false, nil
		}
	} else {
		_, length, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
		length, _, _ = bytes.Cut(length, []byte("\r\n"))
		size, err := strconv.Atoi(string(length))
		if err != nil || len(body) > size {
			return false, fmt.Errorf("the server answers %s", l.answer)
		}
		if len(body) < size {
			return false, nil
		}
	}
	l.answer = l.answer[:0]
	return true, nil
}
