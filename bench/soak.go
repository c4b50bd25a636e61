package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	soakRate  = 500 // of events in a second
	soakReads = 4   // of lists and reports, likewise
)

// Held is what a server holds while it has nothing to do.
type Held struct {
	Heap       int64 // bytes, after garbage is collected
	Goroutines int
	Files      int // open ones, with connections; 0 if the system does not say
}

// held asks a server.
func (s *Server) held() (h Held, err error) {
	if _, err := fmt.Fprintln(s.input); err != nil {
		return h, err
	}
	line, err := s.output.ReadString('\n')
	if err != nil {
		return h, err
	}
	_, err = fmt.Sscan(line, &h.Heap, &h.Goroutines)
	files, _ := os.ReadDir("/proc/" + strconv.Itoa(s.command.Process.Pid) + "/fd")
	h.Files = len(files)
	return h, err
}

// Soak has a server take events at a steady rate for a while, and answer lists and reports, and says what it holds every few seconds, while it rests.
func Soak(kind, folder, redis string, long time.Duration) (list []Held, err error) {
	server, err := StartServer(kind, folder, redis)
	if err != nil {
		return nil, err
	}
	writer, reader := &client{}, &client{}
	defer func() {
		writer.close()
		reader.close()
		err = errors.Join(err, server.Stop())
	}()
	event := requestBytes("/v1/track", server.Key, recent, true)
	reads := [][]byte{getBytes("/v1/events?limit=50", server.Key), getBytes("/v1/reports/summary", server.Key)}
	load := func(events, lists int) error {
		var all sync.WaitGroup
		errs := make([]error, 1+len(reads))
		all.Go(func() { _, errs[0] = writer.send(server.Address, event, 16, events) })
		all.Go(func() {
			for i, read := range reads {
				_, errs[1+i] = reader.send(server.Address, read, 2, lists/len(reads))
			}
		})
		all.Wait()
		return errors.Join(errs...)
	}
	// At first as fast as it goes: until all connections are made, of the server to its store too.
	warm := min(10_000, max(1000, int(20*long.Seconds())))
	if err := load(warm, warm/10); err != nil {
		return nil, err
	}
	writer.rate, reader.rate = soakRate, soakReads
	window := min(5*time.Second, long/4)
	for end := time.Now().Add(long); ; {
		now, err := server.held()
		if err != nil {
			return nil, err
		}
		if list = append(list, now); time.Now().After(end) {
			return list, nil
		}
		if err := load(int(soakRate*window.Seconds()), int(soakReads*window.Seconds())); err != nil {
			return nil, err
		}
	}
}

// steady reports whether a server held no more at the end than at the start.
func steady(first, last Held) bool {
	return last.Heap <= max(first.Heap+first.Heap/10, first.Heap+2_000_000) && last.Goroutines == first.Goroutines && last.Files == first.Files
}

// recent is Documented without the time, which would become long ago.
var recent = strings.Replace(Documented, `,"occurred_at":"2026-05-14T09:29:00.000Z"`, "", 1)
