package pricebook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

var _ humanhours.PriceBook = (*Static)(nil)

// Static is one edition of a price list. It does not change: the same answer for every org, at any time but for prices that depend on
// the hour of the run. It is safe for concurrent use. The zero value is an edition without models.
type Static struct {
	rows     map[string]*row
	currency string
	info     Info
	past     map[string]*row // of models without a price, the last that they had
}

// Info says which edition of a list a book holds. Equal content has an equal Version. Fetched is when the list was last seen at its source, of
// an embedded one its Date. For rates, Models is the number of currencies.
type Info = humanhours.PriceBookInfo

// newStatic makes an edition of rows, which it takes over. It sets the version.
func newStatic(info Info, currency string, rows map[string]*row) *Static {
	b := &Static{rows: rows, currency: currency, info: info}
	sum := sha256.New()
	for id := range b.Models() {
		sum.Write(appendModel(nil, id, rows[id].text))
	}
	b.info.Version, b.info.Models = hex.EncodeToString(sum.Sum(nil))[:12], len(rows)
	for id, r := range rows {
		if r.unpriced == "" && !r.kept {
			r.price.Model, r.price.Currency, r.price.Source, r.price.Version, r.price.Date = id, currency, info.Source, b.info.Version, info.Date
		}
		r.target = target(rows, r)
	}
	return b
}

// target follows the aliases from r to the row that it is priced as; nil: itself. Rows that point at each other are priced as themselves.
func target(rows map[string]*row, r *row) *row {
	var last *row
	for range 4 {
		next := rows[r.alias]
		if next == nil {
			return last
		}
		r, last = next, next
	}
	return nil
}

// renewed is b, seen at its source again.
func (b *Static) renewed(at time.Time) *Static {
	c := *b
	c.info.Fetched = at.UTC()
	return &c
}

// Info returns which edition b holds.
func (b *Static) Info() Info { return b.info }

// Models yields the ids of the models, sorted.
func (b *Static) Models() iter.Seq[string] { return slices.Values(slices.Sorted(maps.Keys(b.rows))) }

// Quote implements humanhours.PriceBook. An id matches exactly; one with a routing suffix and without a row of its own is priced as
// the id without it, and the quote is marked as estimated. It never fails.
func (b *Static) Quote(_ context.Context, q humanhours.PriceQuery) (quote humanhours.Quote, err error) {
	b.quote(&q, &quote)
	return quote, nil
}

// quote answers q in an empty quote. Both have some hundreds of bytes: to copy them once more takes longer than to find the price.
func (b *Static) quote(q *humanhours.PriceQuery, quote *humanhours.Quote) {
	r, found := b.rows[q.Model]
	guessed := false
	if !found {
		if base, ok := routed(q.Model); ok {
			r, found = b.rows[base]
			guessed = found
		}
	}
	if !found {
		quote.Unpriced = humanhours.UnpricedUnknownModel
		return
	}
	if r.target != nil {
		r = r.target
	}
	r.quote(q, quote)
	quote.Estimated = quote.Estimated || guessed && quote.Unpriced == ""
}

// routed takes a suffix off an id that only says how a request finds its way to the model, and that no price list has rows for. The
// price may differ by the way. Suffixes such as ":free" and ":batch" name models of their own, and are never taken off.
func routed(model string) (base string, ok bool) {
	i := strings.LastIndexByte(model, ':')
	if i < 0 {
		return "", false
	}
	switch model[i+1:] {
	case "nitro", "floor", "exacto", "online":
		return model[:i], true
	}
	return "", false
}

// ParseListing makes an edition of a saved listing of OpenRouter's, a single page, as of a day. It also returns what it could not read:
// such models have no price. With it a Book can start from a list of one's own.
func ParseListing(data []byte, date time.Time) (*Static, []Held, error) {
	l := newListing()
	p, err := l.addPage(data)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("pricebook: %w", err)
	case p.next != "" || p.total > len(p.Data):
		return nil, nil, errors.New("pricebook: the listing is incomplete: there are more pages")
	}
	date = date.UTC().Truncate(24 * time.Hour)
	b, _, held, err := l.merge(&Static{}, date, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("pricebook: %w", err)
	}
	return b, held, nil
}

// ParseSnapshot reads an edition that WriteTo wrote. It refuses one whose version does not belong to its models: somebody has
// changed it, or something has damaged it.
func ParseSnapshot(data []byte) (*Static, error) {
	b, stated, err := decodeSnapshot(data)
	if err == nil && stated != b.info.Version {
		err = fmt.Errorf("the version is %s, but the models are those of %s", stated, b.info.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("pricebook: the price snapshot is broken: %w", err)
	}
	return b, nil
}

// stamp is where a row is from that an edition kept from an earlier one.
type stamp struct{ Version, Date string }

func decodeSnapshot(data []byte) (b *Static, version string, err error) {
	var file struct {
		Source, Version, Date, Currency string
		Fetched                         time.Time
		Models                          map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, "", err
	}
	info := Info{Source: file.Source, Fetched: file.Fetched.UTC()}
	if info.Date, err = time.Parse(time.DateOnly, file.Date); err != nil {
		return nil, "", err
	}
	if year := info.Fetched.Year(); year < 1 || year > 9999 {
		return nil, "", errors.New("it was fetched at no year that can be written")
	}
	rows := make(map[string]*row, len(file.Models))
	for id, pricing := range file.Models {
		if !validID(id) {
			return nil, "", fmt.Errorf("%.40q is not a model's id", id)
		}
		alias, _ := jsonString(pricing["alias_target"])
		r, fault := parsePricing(pricing, alias)
		if fault != "" && pricing["prompt"] != nil {
			return nil, "", fmt.Errorf("%s: %s", id, fault)
		}
		if raw := pricing["kept"]; raw != nil && r.unpriced == "" {
			var from stamp
			if err := json.Unmarshal(raw, &from); err != nil {
				return nil, "", fmt.Errorf("%s: %w", id, err)
			}
			r.kept = true
			r.price.Model, r.price.Currency, r.price.Source, r.price.Version = id, file.Currency, file.Source, from.Version
			if r.price.Date, err = time.Parse(time.DateOnly, from.Date); err != nil {
				return nil, "", fmt.Errorf("%s: %w", id, err)
			}
		}
		rows[id] = r
	}
	return newStatic(info, file.Currency, rows), file.Version, nil
}

// WriteTo writes the edition as JSON, one model a line, sorted: equal editions have equal bytes. ParseSnapshot reads it.
func (b *Static) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.encode())
	return int64(n), err
}

func (b *Static) encode() []byte {
	dst := appendHead([]byte("{\n"), b.info)
	dst = append(appendJSONString(append(dst, `"currency":`...), b.currency), ",\n\"models\":{\n"...)
	for id := range b.Models() {
		r := b.rows[id]
		text := r.text
		if r.kept && r.unpriced == "" {
			line := append([]byte(text[:len(text)-1]), `,"kept":{"version":`...)
			line = appendJSONString(line, r.price.Version)
			text = string(append(line, `,"date":"`+r.price.Date.Format(time.DateOnly)+`"}}`...))
		}
		dst = appendModel(dst, id, text)
	}
	return append(endLines(dst), "}}\n"...)
}

// appendHead appends what the files of prices and of rates start with.
func appendHead(dst []byte, info Info) []byte {
	dst = append(appendJSONString(append(dst, `"source":`...), info.Source), ",\n"...)
	dst = append(dst, `"version":"`+info.Version+"\",\n"...)
	dst = append(dst, `"date":"`+info.Date.Format(time.DateOnly)+"\",\n"...)
	return append(dst, `"fetched":"`+info.Fetched.Format(time.RFC3339Nano)+"\",\n"...)
}

func appendModel(dst []byte, id, text string) []byte {
	return append(append(appendJSONString(dst, id), ':'), text+",\n"...)
}

// endLines takes the comma off the last of some lines.
func endLines(dst []byte) []byte {
	if lines, ok := bytes.CutSuffix(dst, []byte(",\n")); ok {
		return append(lines, '\n')
	}
	return dst
}
