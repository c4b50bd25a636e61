package humanhours

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/humanhours/humanhours-go/internal/scan"
)

func (r *checked) validateMetadata() error {
	if n := len(r.Metadata); 0 < n && n <= MaxMetadataSize && r.Metadata[0] == '{' && utf8.Valid(r.Metadata) && orderly(r.Metadata) {
		r.Metadata, r.canonical = bytes.Clone(r.Metadata), true
		return nil
	}
	raw := bytes.Trim(r.Metadata, " \t\r\n") // JSON knows fewer spaces than bytes.TrimSpace
	if len(raw) == 0 || string(raw) == "null" {
		r.Metadata, r.canonical = nil, true
		return nil
	}
	if raw[0] != '{' {
		return invalid("metadata", "must be a JSON object")
	}
	if !utf8.Valid(raw) {
		return invalid("metadata", "must be valid UTF-8")
	}
	// Depth first: it is a plain scan, and nothing deep reaches a recursive parser.
	if depth(raw) > MaxMetadataDepth {
		return invalid("metadata", "must be nested at most 8 deep")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return invalid("metadata", "must be valid JSON")
	}
	if compact.Len() > MaxMetadataSize {
		return invalid("metadata", "must be at most 16 KiB")
	}
	r.Metadata, r.canonical = compact.Bytes(), false
	return nil
}

// depth returns how deep JSON is nested.
func depth(raw []byte) int {
	level, deepest, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// canonicalJSON returns valid JSON with the members of its objects sorted, numbers as they were written. Many
// languages write maps in a new order every time.
func canonicalJSON(raw json.RawMessage) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return raw
	}
	text, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return text
}

// orderly reports whether metadata is as most is: valid, at most MaxMetadataDepth deep, compact and canonical already. It saves the work of finding
// that out with encoding/json, and of what it says no to, nothing is known. The text must be valid UTF-8.
func orderly(raw []byte) bool {
	s := scanner{scan.Scanner{Data: raw}}
	s.orderly(1)
	return s.Done()
}

// orderly skips a value that is.
func (s *scanner) orderly(depth int) {
	switch c := s.Peek(); {
	case depth > MaxMetadataDepth && (c == '{' || c == '['):
		s.Bad = true
	case c == '{':
		s.At++
		var last []byte
		for first := true; s.Peek() != '}'; first = false {
			if !first {
				s.Next(',')
			}
			name := s.verbatim()
			s.Next(':')
			s.Bad = s.Bad || !first && bytes.Compare(last, name) >= 0
			if s.orderly(depth + 1); s.Bad {
				return
			}
			last = name
		}
		s.At++
	case c == '[':
		s.At++
		for first := true; s.Item(first); first = false {
			s.orderly(depth + 1)
		}
	case c == '"':
		s.verbatim()
	case c == 't' || c == 'f' || c == 'n':
		switch string(s.Raw()) {
		case "true", "false", "null":
		default:
			s.Bad = true
		}
	default:
		_, _, ok := s.Digits()
		s.Bad = s.Bad || !ok
	}
}

// verbatim skips a string that encoding/json writes as it is, and returns what is between the quotes. It says no to some that are
// written so.
func (s *scanner) verbatim() []byte {
	const lineSeparators = 0xe2 // the first byte of two characters that are escaped, and of others
	s.Next('"')
	start := s.At
	for ; s.At < len(s.Data); s.At++ {
		switch c := s.Data[s.At]; {
		case c == '"':
			s.At++
			return s.Data[start : s.At-1]
		case c < ' ' || c == '\\' || c == '<' || c == '>' || c == '&' || c == lineSeparators:
			s.Bad = true
			return nil
		}
	}
	s.Bad = true
	return nil
}
