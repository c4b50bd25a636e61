package memory

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/compact"
)

// Events are kept as bytes in a few large blocks, and found by numbers. So the garbage collector, which follows every pointer each time that it runs, has
// nothing to do with them, however many they are; and no caller can reach what is stored.

// arena holds records one after the other. Blocks grow with it, so that an org of one event takes little.
type arena struct {
	blocks [][]byte
}

const firstBlock = 4 << 10

// place says where a record begins: the number of its block, and the offset in it in the lower 32 bits.
type place uint64

// add makes room for n bytes.
func (a *arena) add(n int) (place, []byte) {
	last := len(a.blocks) - 1
	if last < 0 || cap(a.blocks[last])-len(a.blocks[last]) < n {
		last++
		a.blocks = append(a.blocks, make([]byte, 0, max(n, firstBlock<<min(last, 8)))) // at most 1 MiB
	}
	block := a.blocks[last]
	at := len(block)
	a.blocks[last] = block[:at+n]
	return place(last)<<32 | place(at), a.blocks[last][at:]
}

// at returns the record at a place.
func (a *arena) at(p place) record {
	rest := a.blocks[p>>32][uint32(p):]
	return rest[:record(rest).size()]
}

// record is an event and the use of its idempotency key:
//
//	8 bytes   when it occurred, in Unix milliseconds; all numbers are little-endian
//	8 bytes   when it was received, likewise
//	12 bytes  when its key is free again: Unix seconds in 8, and nanoseconds
//	16 bytes  fingerprint of the request
//	3 x 4     lengths of what follows: the id, the key, which may be none, and all else, as package compact has it
type record []byte

const (
	receivedAt    = 8
	untilAt       = 16
	fingerprintAt = 28
	lengthsAt     = 44
	headSize      = lengthsAt + 3*4
)

// put adds the record of an entry whose event is encoded already.
func (a *arena) put(entry *humanhours.Entry, stored []byte) place {
	e := &entry.Event
	p, r := a.add(headSize + len(e.ID) + len(entry.Key) + len(stored))
	binary.LittleEndian.PutUint64(r, uint64(e.OccurredAt.UnixMilli()))
	binary.LittleEndian.PutUint64(r[receivedAt:], uint64(e.ReceivedAt.UnixMilli()))
	if entry.Key != "" {
		until := entry.At.Add(entry.Window)
		binary.LittleEndian.PutUint64(r[untilAt:], uint64(until.Unix()))
		binary.LittleEndian.PutUint32(r[untilAt+8:], uint32(until.Nanosecond()))
		copy(r[fingerprintAt:], entry.Fingerprint[:])
	}
	for i, n := range [...]int{len(e.ID), len(entry.Key), len(stored)} {
		binary.LittleEndian.PutUint32(r[lengthsAt+4*i:], uint32(n))
	}
	n := headSize + copy(r[headSize:], e.ID)
	n += copy(r[n:], entry.Key)
	copy(r[n:], stored)
	return p
}

func (r record) length(i int) int { return int(binary.LittleEndian.Uint32(r[lengthsAt+4*i:])) }
func (r record) size() int        { return headSize + r.length(0) + r.length(1) + r.length(2) }

func (r record) occurred() int64 { return int64(binary.LittleEndian.Uint64(r)) }
func (r record) received() int64 { return int64(binary.LittleEndian.Uint64(r[receivedAt:])) }
func (r record) id() []byte      { return r[headSize:][:r.length(0)] }
func (r record) key() []byte     { return r[headSize+r.length(0):][:r.length(1)] }
func (r record) stored() []byte  { return r[headSize+r.length(0)+r.length(1):] }

// holds reports whether the key of r still names it.
func (r record) holds(at time.Time) bool {
	return at.Before(time.Unix(int64(binary.LittleEndian.Uint64(r[untilAt:])), int64(binary.LittleEndian.Uint32(r[untilAt+8:]))))
}

func (r record) differs(f humanhours.Fingerprint) bool {
	return humanhours.Fingerprint(r[fingerprintAt:lengthsAt]) != f
}

// event decodes r; a sparse one as EventQuery.Sparse says.
func (r record) event(org string, sparse bool) (humanhours.Event, error) {
	e := humanhours.Event{
		Org: org, ID: string(r.id()), OccurredAt: time.UnixMilli(r.occurred()).UTC(), ReceivedAt: time.UnixMilli(r.received()).UTC(),
	}
	err := compact.Decode(r.stored(), &e, sparse)
	return e, err
}

// redact erases what a redaction does, in place.
func (r record) redact() error {
	stored := r.stored()
	clean, err := compact.Redact(make([]byte, 0, len(stored)), stored)
	if err != nil {
		return err
	}
	clear(stored[copy(stored, clean):])
	return nil
}

// places finds records by their key. It is a map of hashes: one that is taken by another key makes way for the next, and none is ever removed.
type places struct {
	seed maphash.Seed
	by   map[uint64]place
}

func newPlaces() places { return places{seed: maphash.MakeSeed(), by: make(map[uint64]place)} }

// find returns the place of a key, and the hash to put it under.
func (p *places) find(a *arena, key string) (at place, hash uint64, ok bool) {
	for hash = maphash.String(p.seed, key); ; hash++ {
		if at, ok = p.by[hash]; !ok || string(a.at(at).key()) == key {
			return at, hash, ok
		}
	}
}
