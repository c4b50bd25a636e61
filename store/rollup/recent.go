package rollup

import "github.com/humanhours/humanhours-go"

// Recent makes a block, as Builder does, of events that come one by one over some time. Once the block is large, it adds up facts that
// are alike before it writes them, as long as those that come in between are of few kinds. The zero Recent is empty.
type Recent struct {
	block Builder
	open  []cell // facts added up, not in the block yet, each where its hash says; a zero one is free
}

const (
	openCells = 256      // of 144 bytes
	openFrom  = 64 << 10 // bytes of cells from which on they are worth their memory
)

// Add adds what an event adds.
func (r *Recent) Add(adds *humanhours.Rollup) {
	c := r.block.fact(adds)
	if r.open == nil && len(r.block.cells) >= openFrom {
		r.open = make([]cell, openCells)
	}
	if r.open == nil || c.wide != nil {
		r.block.write(&c)
		return
	}
	there := &r.open[c.hash()%openCells]
	if there.alike(&c) && addNanos(&there.nanos, &c.nanos) {
		there.events, there.voided, there.failed, there.nocost = there.events+c.events, there.voided+c.voided, there.failed+c.failed, there.nocost+c.nocost
		return
	}
	r.close(there)
	*there = c
}

// hash is of what a fact is apart by.
func (c *cell) hash() uint64 {
	h := uint64(c.hour)
	for _, n := range c.by {
		h = (h ^ n) * 0x9E3779B97F4A7C15 // 2^64 / golden ratio, made odd
		h ^= h >> 32
	}
	return h
}

// alike reports whether two facts go into the same sums.
func (c *cell) alike(o *cell) bool {
	return c.hour == o.hour && c.test == o.test && c.by == o.by && c.currency == o.currency && c.unpriced == o.unpriced
}

// close writes an open cell, unless it adds nothing.
func (r *Recent) close(c *cell) {
	if c.events != 0 || c.voided != 0 || c.failed != 0 || c.nocost != 0 || c.nanos != [4]int64{} {
		r.block.write(c)
	}
	*c = cell{}
}

// Amend adds the difference that an amendment makes of an event: see Builder.Amend.
func (r *Recent) Amend(e humanhours.Event, a humanhours.Amendment) { r.block.Amend(e, a) }

// Len is about how many bytes are written of the block. What is added up still has no more than openCells cells.
func (r *Recent) Len() int { return r.block.Len() }

// Append appends the block to dst; nothing if it has no cells.
func (r *Recent) Append(dst []byte) []byte {
	for i := range r.open {
		r.close(&r.open[i])
	}
	return r.block.Append(dst)
}
