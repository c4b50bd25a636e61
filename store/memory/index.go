package memory

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/humanhours/humanhours-go"
)

// index keeps the places of records sorted by (instant, id), or by their id alone, in chunks. Events that come in order are appended, and so are ids that
// have the time in them; one that comes late costs a binary search and a move within one chunk, however many events there are.
type index struct {
	arena  *arena
	chunks [][]item // none is empty
}

// item is a record and the number that it is sorted by: an instant of it in Unix milliseconds, or what byID makes of its id.
type item struct {
	rank int64
	at   place
}

// chunkSize is where a full chunk is cut in two.
const chunkSize = 512

// position is a place in the order: before, at or after a record.
type position struct {
	rank int64
	id   string
}

func (p position) compare(o position) int {
	switch {
	case p.rank < o.rank:
		return -1
	case p.rank > o.rank:
		return 1
	}
	return strings.Compare(p.id, o.id)
}

// byID is where an id stands in an index by id: its first eight bytes are the number, so that fewer records are looked at. Ids of a Tracker have the time
// there, behind what all of them begin with.
func byID(id string) position {
	var first [8]byte
	copy(first[:], strings.TrimPrefix(id, "evt_"))
	return position{rank: int64(binary.BigEndian.Uint64(first[:])), id: id}
}

// compare says where an item stands from a position. Only of those with its number the id is looked at.
func (x *index) compare(i item, p position) int {
	switch {
	case i.rank < p.rank:
		return -1
	case i.rank > p.rank:
		return 1
	}
	switch id := x.arena.at(i.at).id(); {
	case string(id) < p.id:
		return -1
	case string(id) > p.id:
		return 1
	}
	return 0
}

// find returns where the first record at or after p stands; past the end, chunk is len(x.chunks).
func (x *index) find(p position) (chunk, i int) {
	before := func(c int) bool { return x.compare(x.chunks[c][len(x.chunks[c])-1], p) < 0 } // all of a chunk stands before p
	switch n := len(x.chunks); {
	case n == 0 || before(n-1): // the common case of what comes in order
		return n, 0
	case n == 1 || before(n-2): // and of what comes soon after
		chunk = n - 1
	default:
		chunk = sort.Search(n, func(c int) bool { return !before(c) })
	}
	i = sort.Search(len(x.chunks[chunk]), func(i int) bool {
		return x.compare(x.chunks[chunk][i], p) >= 0
	})
	return chunk, i
}

// at returns the record at p, if there is one.
func (x *index) at(p position) (at place, ok bool) {
	c, i := x.find(p)
	return x.holds(c, i, p)
}

// holds returns the record that stands where find says that p does, if it is the one at p.
func (x *index) holds(chunk, i int, p position) (at place, ok bool) {
	if chunk == len(x.chunks) || x.compare(x.chunks[chunk][i], p) != 0 {
		return 0, false
	}
	return x.chunks[chunk][i].at, true
}

func (x *index) insert(r item, id string) {
	c, i := x.find(position{r.rank, id})
	x.insertAt(c, i, r)
}

// insertAt inserts r where find says that it stands.
func (x *index) insertAt(c, i int, r item) {
	if n := len(x.chunks); c == n {
		if n == 0 || len(x.chunks[n-1]) >= chunkSize {
			room := chunkSize
			if n == 0 { // an org may have few events
				room = 8
			}
			x.chunks = append(x.chunks, append(make([]item, 0, room), r))
			return
		}
		x.chunks[n-1] = append(x.chunks[n-1], r)
		return
	}
	chunk := slices.Insert(x.chunks[c], i, r)
	x.chunks[c] = chunk
	if len(chunk) > chunkSize {
		half := slices.Clone(chunk[len(chunk)/2:])
		x.chunks[c] = chunk[:len(chunk)/2]
		x.chunks = slices.Insert(x.chunks, c+1, half)
	}
}

// span is a part of an index and a direction: from first (inclusive) up to last (exclusive), read upwards or downwards.
type span struct {
	first, last position
	down        bool
}

func newSpan(q humanhours.EventQuery) span {
	s := span{first: position{rank: math.MinInt64}, last: position{rank: math.MaxInt64}, down: q.Descending}
	if !q.From.IsZero() {
		s.first = position{rank: ceilMilli(q.From.UnixMilli(), q.From.Nanosecond())}
	}
	if !q.To.IsZero() {
		s.last = position{rank: ceilMilli(q.To.UnixMilli(), q.To.Nanosecond())}
	}
	if !q.After.IsZero() {
		s = s.after(position{rank: q.After.At.UnixMilli(), id: q.After.ID})
	}
	return s
}

// ceilMilli rounds a bound up: events stand on whole milliseconds.
func ceilMilli(ms int64, nanosecond int) int64 {
	if nanosecond%1e6 != 0 {
		ms++
	}
	return ms
}

// after cuts off what a reader has passed at p.
func (s span) after(p position) span {
	if s.down {
		if p.compare(s.last) < 0 {
			s.last = p
		}
		return s
	}
	next := position{rank: p.rank, id: p.id + "\x00"} // the least position greater than p
	if next.compare(s.first) > 0 {
		s.first = next
	}
	return s
}

// read appends up to limit records of s to dst.
func (x *index) read(dst []item, s span, limit int) []item {
	if s.down {
		c, i := x.find(s.last)
		for len(dst) < limit {
			if i--; i < 0 {
				if c--; c < 0 {
					break
				}
				i = len(x.chunks[c]) - 1
			}
			r := x.chunks[c][i]
			if x.compare(r, s.first) < 0 {
				break
			}
			dst = append(dst, r)
		}
		return dst
	}
	for c, i := x.find(s.first); c < len(x.chunks) && len(dst) < limit; c, i = c+1, 0 {
		for ; i < len(x.chunks[c]) && len(dst) < limit; i++ {
			r := x.chunks[c][i]
			if x.compare(r, s.last) >= 0 {
				return dst
			}
			dst = append(dst, r)
		}
	}
	return dst
}
