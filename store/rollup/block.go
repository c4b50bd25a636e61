// Package rollup helps a store to be a humanhours.Reporter. It has the form in which the stores of this module keep the sums of reports: a log of
// blocks, to which each group of events that is written adds one, in the same transaction. That takes a score of bytes for each event and no
// look-up, and a log that is merged is as large as its sums are many. A store keeps a log for each org and day, or week, and merges it now and then.
//
// A block is its length in four bytes (big-endian, of what follows), the number of its texts and each of them with its length, and then cells. A
// cell is either a fact, what one event adds with all that sums are apart by, or several that are alike in these; or a sum of facts that is apart by
// one dimension.
package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// kind is what a cell is of.
type kind uint8

const (
	fact kind = iota
	byAgent
	byTaskType
	byModel
	byOutcome
)

// cubes are all kinds but facts.
var cubes = [...]kind{byAgent, byTaskType, byModel, byOutcome}

func kindOf(d humanhours.Dimension) (kind, error) {
	switch d {
	case humanhours.ByAgent:
		return byAgent, nil
	case humanhours.ByTaskType:
		return byTaskType, nil
	case humanhours.ByModel:
		return byModel, nil
	case humanhours.ByOutcome:
		return byOutcome, nil
	}
	return 0, fmt.Errorf("rollup: there are no sums by %q", d)
}

// The first byte of a cell: its kind in three bits, and these.
const (
	kindBits     = 0x07
	testFlag     = 0x08
	failureFlag  = 0x10 // of a plain cell: Failures is 1
	unpricedFlag = 0x20 // likewise
	countsFlag   = 0x40 // the cell has counts; a plain one is of one event that counts
	wideFlag     = 0x80 // the sums are decimals as text; else whole numbers of 1e-9
)

const lengthBytes = 4

// Builder makes a block. The zero Builder is empty.
type Builder struct {
	texts  []byte
	places []place          // of the texts, as long as they are few
	index  map[string]place // then this
	count  uint32           // of texts
	last   [roles]place     // of the text that was last in a role: it often comes again
	cells  []byte
}

// place is where a text stands, and its number in the block.
type place struct{ from, to, number uint32 }

// few is how many texts are looked through one by one. A group of one event has five.
const few = 12

// The roles of texts are the kinds of what sums are apart by, and these.
const (
	currencyRole = 0
	unpricedRole = int(byOutcome) + 1
	roles        = unpricedRole + 1
)

// text returns the number of a text in the block. Zero is the empty one.
func (b *Builder) text(role int, s string) uint64 {
	if s == "" {
		return 0
	}
	if p := b.last[role]; string(b.texts[p.from:p.to]) != s {
		b.last[role] = b.place(s)
	}
	return uint64(b.last[role].number)
}

// place finds a text, or adds it.
func (b *Builder) place(s string) place {
	if p, ok := b.index[s]; ok {
		return p
	}
	for _, p := range b.places {
		if string(b.texts[p.from:p.to]) == s {
			return p
		}
	}
	if b.texts == nil {
		b.texts, b.places = make([]byte, 0, 96), make([]place, 0, 6)
	}
	b.texts = append(binary.AppendUvarint(b.texts, uint64(len(s))), s...)
	b.count++
	p := place{uint32(len(b.texts) - len(s)), uint32(len(b.texts)), b.count}
	if b.index == nil && len(b.places) < few {
		b.places = append(b.places, p)
		return p
	}
	if b.index == nil {
		b.index = make(map[string]place, 4*few)
		for _, p := range b.places {
			b.index[string(b.texts[p.from:p.to])] = p
		}
		b.places = nil
	}
	b.index[strings.Clone(s)] = p // or the map would keep alive what it was cut from
	return p
}

// Add adds what an event adds.
func (b *Builder) Add(r *humanhours.Rollup) {
	c := b.fact(r)
	b.write(&c)
}

// fact is the cell of what an event adds.
func (b *Builder) fact(r *humanhours.Rollup) cell {
	c := b.cell(fact, r)
	for i, text := range [...]string{r.Agent, r.TaskType, r.Model, string(r.Outcome)} {
		c.by[cubes[i]] = b.text(int(cubes[i]), text)
	}
	return c
}

// sum adds a sum that is apart by one dimension.
func (b *Builder) sum(k kind, r *humanhours.Rollup, by string) {
	c := b.cell(k, r)
	c.by[k] = b.text(int(k), by)
	b.write(&c)
}

// cell is one but for what it is apart by.
func (b *Builder) cell(k kind, r *humanhours.Rollup) cell {
	c := cell{
		kind: k, test: r.Test, hour: r.Hour, currency: b.text(currencyRole, r.Currency), unpriced: b.text(unpricedRole, r.UnpricedModel),
		events: r.Events, voided: r.Voided, failed: r.Failures, nocost: r.Unpriced,
	}
	for i, sum := range sumsOf(r) {
		var narrow bool
		if c.nanos[i], narrow = sum.Nano(); !narrow {
			c.wide = new([4]decimal.Decimal)
			break
		}
	}
	if c.wide != nil {
		for i, sum := range sumsOf(r) {
			c.wide[i] = sum.Decimal()
		}
	}
	return c
}

// plain reports whether a cell is of one event that counts.
func (c *cell) plain() bool {
	return c.events == 1 && c.voided == 0 && c.failed&^1 == 0 && c.nocost&^1 == 0
}

// write appends a cell.
func (b *Builder) write(c *cell) {
	if b.cells == nil {
		b.cells = make([]byte, 0, 48)
	}
	first := byte(c.kind)
	if c.test {
		first |= testFlag
	}
	if c.plain() {
		first |= byte(c.failed)*failureFlag | byte(c.nocost)*unpricedFlag
	} else {
		first |= countsFlag
	}
	if c.wide != nil {
		first |= wideFlag
	}
	cells := binary.AppendVarint(append(b.cells, first), c.hour)
	for _, k := range cubes {
		if c.kind == fact || c.kind == k {
			cells = binary.AppendUvarint(cells, c.by[k])
		}
	}
	cells = binary.AppendUvarint(binary.AppendUvarint(cells, c.currency), c.unpriced)
	if !c.plain() {
		for _, n := range [...]int64{c.events, c.voided, c.failed, c.nocost} {
			cells = binary.AppendVarint(cells, n)
		}
	}
	if c.wide == nil {
		for _, n := range c.nanos {
			cells = binary.AppendVarint(cells, n)
		}
	} else {
		for _, d := range c.wide {
			text := humanhours.AppendDecimal(nil, d)
			cells = append(binary.AppendUvarint(cells, uint64(len(text))), text...)
		}
	}
	b.cells = cells
}

func sumsOf(r *humanhours.Rollup) [4]*humanhours.Sum {
	return [4]*humanhours.Sum{&r.HoursSaved, &r.CostSaved, &r.AgentCost, &r.NetSaved}
}

// Len is about how many bytes the block has.
func (b *Builder) Len() int { return len(b.texts) + len(b.cells) + 8 }

// Cells is how many bytes its cells have: a cell that is added is what comes behind that.
func (b *Builder) Cells() []byte { return b.cells }

// Append appends the block to dst; nothing if it has no cells.
func (b *Builder) Append(dst []byte) []byte {
	if len(b.cells) == 0 {
		return dst
	}
	start := len(dst)
	if dst == nil {
		dst = make([]byte, 0, lengthBytes+binary.MaxVarintLen32+len(b.texts)+len(b.cells))
	}
	dst = binary.AppendUvarint(append(dst, 0, 0, 0, 0), uint64(b.count))
	dst = append(append(dst, b.texts...), b.cells...)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthBytes))
	return dst
}

// Size is how many bytes the first block of a log has.
func Size(log []byte) int {
	if len(log) < lengthBytes {
		return len(log)
	}
	return min(len(log), lengthBytes+int(binary.BigEndian.Uint32(log)))
}

var errDamaged = errors.New("rollup: the sums are damaged; Rebuild makes them anew")

// Damaged reports whether an error is about a log that is not one.
func Damaged(err error) bool { return errors.Is(err, errDamaged) }

// cell is one as it is read and written: its texts are their numbers in the block.
type cell struct {
	kind                           kind
	test                           bool
	hour                           int64
	by                             [5]uint64 // of a fact by kind; else one, likewise
	currency, unpriced             uint64
	events, voided, failed, nocost int64
	nanos                          [4]int64
	wide                           *[4]decimal.Decimal // instead of nanos, if set
}

// cursor takes bytes apart.
type cursor struct {
	data []byte
	bad  bool
}

func (c *cursor) number() uint64 {
	n, size := binary.Uvarint(c.data)
	if size <= 0 {
		c.bad, c.data = true, nil
		return 0
	}
	c.data = c.data[size:]
	return n
}

func (c *cursor) signed() int64 {
	n, size := binary.Varint(c.data)
	if size <= 0 {
		c.bad, c.data = true, nil
		return 0
	}
	c.data = c.data[size:]
	return n
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.data)) {
		c.bad, c.data = true, nil
		return nil
	}
	part := c.data[:n]
	c.data = c.data[n:]
	return part
}

// each calls f with the cells of a log and the texts of their block. f must not keep the cell.
func each(log []byte, f func(texts []string, c *cell)) error {
	for len(log) > 0 {
		size := Size(log)
		if size <= lengthBytes {
			return errDamaged
		}
		block := cursor{data: log[lengthBytes:size]}
		log = log[size:]
		n := block.number()
		if n > uint64(len(block.data)) {
			return errDamaged
		}
		texts := make([]string, 1, n+1)
		for range n {
			texts = append(texts, string(block.bytes(block.number())))
		}
		var one cell
		for len(block.data) > 0 && !block.bad {
			one.read(&block)
			if block.bad || !one.within(uint64(len(texts))) {
				return errDamaged
			}
			f(texts, &one)
		}
		if block.bad {
			return errDamaged
		}
	}
	return nil
}

func (c *cell) read(from *cursor) {
	first := from.data[0]
	from.data = from.data[1:]
	*c = cell{kind: kind(first & kindBits), test: first&testFlag != 0, hour: from.signed()}
	switch {
	case c.kind == fact:
		for _, k := range cubes {
			c.by[k] = from.number()
		}
	case int(c.kind) < len(c.by):
		c.by[c.kind] = from.number()
	default:
		from.bad = true
		return
	}
	c.currency, c.unpriced = from.number(), from.number()
	if first&countsFlag != 0 {
		c.events, c.voided, c.failed, c.nocost = from.signed(), from.signed(), from.signed(), from.signed()
	} else {
		c.events, c.failed, c.nocost = 1, int64(first&failureFlag)/failureFlag, int64(first&unpricedFlag)/unpricedFlag
	}
	if first&wideFlag == 0 {
		for i := range c.nanos {
			c.nanos[i] = from.signed()
		}
		return
	}
	c.wide = new([4]decimal.Decimal)
	for i := range c.wide {
		d, err := decimal.NewFromString(string(from.bytes(from.number())))
		if err != nil {
			from.bad = true
			return
		}
		c.wide[i] = d
	}
}

// within reports whether the cell has only texts that there are.
func (c *cell) within(texts uint64) bool {
	for _, n := range c.by {
		if n >= texts {
			return false
		}
	}
	return c.currency < texts && c.unpriced < texts
}

// rollup is the cell as a report takes it.
func (c *cell) rollup(texts []string) humanhours.Rollup {
	r := humanhours.Rollup{
		Hour: c.hour, Test: c.test, Currency: texts[c.currency], UnpricedModel: texts[c.unpriced],
		Agent: texts[c.by[byAgent]], TaskType: texts[c.by[byTaskType]], Model: texts[c.by[byModel]], Outcome: humanhours.Outcome(texts[c.by[byOutcome]]),
		Events: c.events, Voided: c.voided, Failures: c.failed, Unpriced: c.nocost,
	}
	for i, sum := range sumsOf(&r) {
		if c.wide != nil {
			sum.Add(c.wide[i])
		} else {
			sum.AddNano(c.nanos[i])
		}
	}
	return r
}
