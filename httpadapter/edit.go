package httpadapter

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/instant"
)

// etag is the ETag of everything that shows or changes the settings of an org: their version. So an If-Match fails whatever part of
// them was changed meanwhile.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads the If-Match header: one ETag, or * for any.
func ifMatch(values []string) (humanhours.NullInt64, error) {
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "*" {
		return humanhours.NullInt64{}, nil
	}
	tag := strings.TrimSpace(values[0])
	if len(values) > 1 || len(tag) < 2 || tag[len(tag)-1] != '"' || strings.Count(tag, `"`) != 2 {
		return humanhours.NullInt64{}, invalid("", `the If-Match header must be one ETag as it came, such as "7", or *`)
	}
	version, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil || etag(version) != tag || version < 0 { // not one of ours, or a weak one, which never matches
		version = -1
	}
	return humanhours.Int64(version), nil
}

// edit reads what goes with a change: If-Match, and the reason from the body, or from the query where there is none.
func (req request) edit(reason *textField) (e humanhours.Edit, err error) {
	if e.IfVersion, err = ifMatch(req.Header["If-Match"]); err != nil {
		return e, err
	}
	if reason == nil {
		query, err := req.query()
		e.Reason = query.Get("reason")
		return e, err
	}
	e.Reason = reason.value
	if reason.fault != "" {
		err = invalid("reason", "reason "+reason.fault)
	}
	return e, err
}

// query parses the query, strictly.
func (req request) query() (url.Values, error) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, invalid("", "the query is malformed: "+err.Error())
	}
	return query, nil
}

// textField is a JSON string of a body that tells absent from null, which is the empty text.
type textField struct {
	set   bool
	value string
	fault string // what is wrong with it; the sentence starts with the field's name
}

// UnmarshalJSON implements json.Unmarshaler. It never fails: the error would lack the field's name.
func (f *textField) UnmarshalJSON(data []byte) error {
	*f = textField{set: true}
	if string(data) == "null" {
		return nil
	}
	if data[0] != '"' || json.Unmarshal(data, &f.value) != nil {
		f.fault = "must be a string"
	}
	return nil
}

// into returns what sets *to, if the field is there.
func (f *textField) into(name string, to **string) func() error {
	return func() error {
		if f.fault != "" {
			return invalid(name, name+" "+f.fault)
		}
		if f.set {
			*to = &f.value
		}
		return nil
	}
}

// numberField is a JSON number of a body that tells absent from null.
type numberField struct {
	set bool
	number
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *numberField) UnmarshalJSON(data []byte) error {
	f.set = true
	return f.number.UnmarshalJSON(data)
}

// into returns what sets *to, if the field is there.
func (f *numberField) into(name string, to **decimal.NullDecimal) func() error {
	return func() error {
		if f.fault != "" {
			return invalid(name, name+" "+f.fault)
		}
		if f.set {
			*to = &f.value
		}
		return nil
	}
}

// read runs steps up to the first that fails.
func read(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// nothingToChange refuses a PATCH without a field that it knows: most likely one is misspelt.
func nothingToChange(fields string) error {
	return invalid("", "there is nothing to change: send at least one of "+fields)
}

// instantJSON is an instant as answers have it; empty for the zero time.
func instantJSON(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(instant.Layout)
}

// numberJSON writes a decimal as a JSON number; nil (null, or left out) if there is none.
func numberJSON(d decimal.NullDecimal) json.RawMessage {
	if !d.Valid {
		return nil
	}
	return humanhours.AppendDecimal(nil, d.Decimal)
}
