package pricebook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"unicode/utf8"
)

// listing is what OpenRouter's list of models says, all pages of it.
type listing struct {
	rows     map[string]*row   // every model with a usable id; those of faults have no price
	faults   map[string]string // what is wrong with a model's row
	nameless int               // rows without a usable id, which are ignored
}

func newListing() *listing { return &listing{rows: map[string]*row{}, faults: map[string]string{}} }

// maxModelID is the longest id, in characters: what a Tracker accepts as a model.
const maxModelID = 200

func validID(id string) bool { return id != "" && utf8.RuneCountInString(id) <= maxModelID }

// maxPages is how many pages a listing may have.
const maxPages = 100

// readListing fetches a listing and all its further pages.
func readListing(ctx context.Context, address string, get func(context.Context, string) ([]byte, error)) (*listing, error) {
	l := newListing()
	collected := 0
	for range maxPages {
		body, err := get(ctx, address)
		if err != nil {
			return nil, err
		}
		p, err := l.addPage(body)
		if err != nil {
			return nil, err
		}
		collected += len(p.Data)
		if p.next == "" {
			if p.total > collected {
				return nil, fmt.Errorf("the listing is incomplete: it has %d of the %d models that it announces", collected, p.total)
			}
			return l, nil
		}
		if address, err = follow(address, p.next); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the listing has more than %d pages", maxPages)
}

// follow resolves the address of the next page. A feed does not send its readers elsewhere.
func follow(address, next string) (string, error) {
	from, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	to, err := from.Parse(next)
	if err != nil {
		return "", fmt.Errorf("the next page has no usable address: %w", err)
	}
	if to.Scheme != from.Scheme || to.Host != from.Host {
		return "", fmt.Errorf("the next page is at another host, %.200q", to.Host)
	}
	return to.String(), nil
}

// maxRows is how many rows one answer may have: hundreds of times what there are, and few enough for the memory.
const maxRows = 100_000

// rowList is the items of a JSON array. They share the memory of the answer.
type rowList []json.RawMessage

var errTooManyRows = fmt.Errorf("the listing has more than %d rows", maxRows)

// UnmarshalJSON implements json.Unmarshaler. Package json would make millions of items before anybody counts them.
func (l *rowList) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		var list []json.RawMessage
		return json.Unmarshal(data, &list) // null, or says what it is instead
	}
	level, inString, start := 0, false, 1
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case level == 0 && (c == ',' || c == ']'):
			if item := bytes.TrimSpace(data[start:i]); len(item) > 0 {
				*l = append(*l, item)
			}
			if start = i + 1; len(*l) > maxRows {
				return errTooManyRows
			}
		case c == '{' || c == '[':
			level++
		case c == '}' || c == ']':
			level--
		}
	}
	return nil
}

// page is one answer of the feed.
type page struct {
	Data  rowList
	next  string // the address of the next page; empty: this is the last
	total int    // how many rows all pages have; 0: it does not say
}

// addPage reads one answer of the feed. Fields that are not known here are ignored.
func (l *listing) addPage(body []byte) (*page, error) {
	var w struct {
		page
		Total json.RawMessage `json:"total_count"`
		Links json.RawMessage
	}
	if err := decodeFeed(body, &w); err != nil {
		return nil, err
	}
	p := &page{Data: w.Data}
	if total, fault := parseWhole(w.Total, 1_000_000_000); fault == "" {
		p.total = int(total)
	}
	var links struct{ Next json.RawMessage }
	if json.Unmarshal(w.Links, &links) == nil {
		p.next, _ = jsonString(links.Next)
	}
	for _, raw := range p.Data {
		l.addRow(raw)
	}
	return p, nil
}

// decodeFeed decodes a JSON object, and says in a sentence what it got instead.
func decodeFeed(body []byte, v any) error {
	text := bytes.TrimSpace(body)
	if len(text) == 0 {
		return errors.New("the answer is empty")
	}
	err := json.Unmarshal(text, v)
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooManyRows):
		return err
	case text[0] != '{':
		return fmt.Errorf("the answer is not a JSON object: it starts with %q", text[:min(len(text), 40)])
	case errors.As(err, &wrongType):
		return fmt.Errorf("the answer is no listing: %q is a JSON %s", wrongType.Field, wrongType.Value)
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		return fmt.Errorf("the answer is cut off after %d bytes", len(body))
	}
	return fmt.Errorf("the answer is not JSON: %w", err)
}

func (l *listing) addRow(raw json.RawMessage) {
	var w struct {
		ID      json.RawMessage
		Pricing json.RawMessage
		Alias   json.RawMessage `json:"alias_target"`
	}
	if json.Unmarshal(raw, &w) != nil {
		l.nameless++
		return
	}
	id, _ := jsonString(w.ID)
	if !validID(id) {
		l.nameless++
		return
	}
	var alias struct{ Slug json.RawMessage }
	var target string
	if json.Unmarshal(w.Alias, &alias) == nil {
		if slug, _ := jsonString(alias.Slug); validID(slug) {
			target = slug
		}
	}
	var pricing map[string]json.RawMessage
	err := json.Unmarshal(w.Pricing, &pricing) // of what is absent fails, of null leaves nil
	r, fault := parsePricing(pricing, target)
	if err != nil || pricing == nil {
		fault = "has no pricing"
	}
	if first, twice := l.rows[id]; twice && (first.text != r.text || l.faults[id] != fault) {
		r, _ = parsePricing(nil, "") // nobody knows which of the two is right
		fault = "is listed more than once, with different prices"
	}
	l.rows[id] = r
	if fault != "" {
		l.faults[id] = fault
	}
}
