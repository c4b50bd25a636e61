package contract

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const jsonType = "application/json"

func isCSV(mediaType string) bool { return strings.HasPrefix(mediaType, "text/csv") }

// decode reads JSON, with exact numbers.
func decode(text []byte) (any, error) {
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// decodeCut reads as much of an object as there is of its beginning: its first members, and of the last one, if that is a list, the first items.
func decodeCut(text []byte) (map[string]any, error) {
	decoder := newDecoder(text)
	if token, err := decoder.Token(); token != json.Delim('{') {
		return nil, fmt.Errorf("no object, but %v: %w", token, err)
	}
	members := map[string]any{}
	for {
		token, err := decoder.Token()
		name, _ := token.(string)
		switch {
		case ended(err):
			return members, nil
		case err != nil:
			return nil, err
		case token == json.Delim('}'):
			return nil, errors.New("it is whole, or something comes after it")
		}
		start := decoder.InputOffset()
		var value any
		err = decoder.Decode(&value)
		switch {
		case err == nil && decoder.InputOffset() < int64(len(text)): // else it may be half a number
			members[name] = value
			continue
		case err != nil && !ended(err):
			return nil, err
		}
		items, err := decodeItems(bytes.TrimLeft(text[start:], ": "))
		if items != nil {
			members[name] = items
		}
		return members, err
	}
}

// decodeItems reads the items that are whole of the beginning of a list; nil if it is none.
func decodeItems(text []byte) (items []any, err error) {
	decoder := newDecoder(text)
	if token, _ := decoder.Token(); token != json.Delim('[') {
		return nil, nil
	}
	items = []any{}
	for decoder.More() {
		var item any
		if err := decoder.Decode(&item); err != nil {
			if ended(err) {
				err = nil
			}
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

func newDecoder(text []byte) *json.Decoder {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder
}

// ended reports whether a text was over before what it says.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// validateCut holds what decodeCut has found against the schema of the whole.
func validateCut(s *jsonschema.Schema, members map[string]any) error {
	for name, value := range members {
		known := false
		for _, part := range partsOf(s) {
			property := part.Properties[name]
			if property == nil {
				continue
			}
			known = true
			list, ok := value.([]any)
			if !ok {
				if err := property.Validate(value); err != nil {
					return err
				}
				continue
			}
			for _, part := range partsOf(property) { // the list may be longer
				for i := 0; i < len(list) && part.Items2020 != nil; i++ {
					if err := part.Items2020.Validate(list[i]); err != nil {
						return fmt.Errorf("%s %d: %w", name, i, err)
					}
				}
			}
		}
		if !known {
			return fmt.Errorf("%s is not documented", name)
		}
	}
	return nil
}

// table is a body of CSV.
type table struct {
	columns []string
	lines   []any // objects by the names of the columns
}

var quotedCell = regexp.MustCompile(`"(?:[^"]|"")*"?`)

// readCSV reads CSV as RFC 4180 has it. Of what was cut it leaves out the last line, which may not be whole.
func readCSV(text []byte, cut bool) (table, error) {
	crlf := []byte("\r\n")
	bare := quotedCell.ReplaceAll(text, nil) // a text can have any line ends
	if bytes.Count(bare, crlf) != bytes.Count(bare, crlf[1:]) || !cut && !bytes.HasSuffix(text, crlf) {
		return table{}, errors.New("a line that does not end with CR and LF")
	}
	reader := csv.NewReader(bytes.NewReader(text))
	var t table
	for {
		record, err := reader.Read()
		if err == io.EOF || cut && reader.InputOffset() == int64(len(text)) {
			break
		}
		if err != nil {
			return table{}, err
		}
		if t.columns == nil {
			t.columns = record
			continue
		}
		line := map[string]any{}
		for i, name := range t.columns {
			line[name] = record[i]
		}
		t.lines = append(t.lines, line)
	}
	if t.lines == nil {
		t.lines = []any{}
	}
	return t, nil
}

// shape is what a report was asked to have beside its sums.
type shape struct {
	dimensions []string // in order
	ranged     bool     // also the sums that depend on another: see membersOf
}

// membersOf lists the members that a row of a shape has, in the order of the columns: its dimensions, what the schema requires, and, if that is asked for, the
// member on which others depend, with those. Without a shape it is only what the schema requires.
func membersOf(s *jsonschema.Schema, of *shape) (names []string) {
	if of != nil {
		names = slices.Clone(of.dimensions)
	}
	for _, part := range partsOf(s) {
		names = append(names, part.Required...)
	}
	for _, part := range partsOf(s) {
		for first, others := range part.DependentRequired {
			if of != nil && of.ranged {
				names = append(append(names, first), others...)
			}
		}
	}
	return names
}

func endsWith(list, tail []string) bool {
	return len(list) >= len(tail) && slices.Equal(list[len(list)-len(tail):], tail)
}

// checkRows checks that the rows and the totals of a report have what was asked for, and nothing else: a schema does not know the request.
func checkRows(s *jsonschema.Schema, body any, of *shape) error {
	totals := *of
	totals.dimensions = nil
	for name, of := range map[string]*shape{"rows": of, "totals": &totals} {
		for _, part := range partsOf(s) {
			if part.Properties[name] == nil {
				continue
			}
			want := slices.Sorted(slices.Values(membersOf(itemsOf(part.Properties[name]), of)))
			rows, _ := member(body, name).([]any)
			for i, row := range rows {
				object, _ := row.(map[string]any)
				if got := slices.Sorted(maps.Keys(object)); !slices.Equal(got, want) {
					return fmt.Errorf("%s %d has %q, and %q was asked for", name, i, got, want)
				}
			}
		}
	}
	return nil
}

// itemsOf returns the schema of the items of a list.
func itemsOf(s *jsonschema.Schema) *jsonschema.Schema {
	for _, part := range partsOf(s) {
		if part.Items2020 != nil {
			return part.Items2020
		}
	}
	return nil
}
