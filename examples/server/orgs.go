package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// orgsFile is what -orgs names. Applying it creates or updates; it deletes nothing and never un-revokes a key.
type orgsFile struct {
	Orgs []orgEntry `json:"orgs"`
}

// orgEntry is one org. What is left out stays as it is.
type orgEntry struct {
	ID          string              `json:"id"`
	Plan        string              `json:"plan"`
	Currency    string              `json:"currency"`
	HourlyRate  decimal.NullDecimal `json:"hourly_rate"`
	Keys        []key               `json:"keys"`         // whole keys; only their hashes are stored
	RevokedKeys []key               `json:"revoked_keys"` // whole keys; known from then on, and refused

	by string // who changes the org, for its history
}

// key is the text of an API key on its way from the file.
type key struct{ humanhours.Secret }

// UnmarshalJSON implements json.Unmarshaler.
func (k *key) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a key must be a string") // the default error would repeat the value
	}
	k.Secret = humanhours.NewSecret(text)
	return nil
}

// applyOrgsFile reads the file, checks all of it, and applies it. Advice goes to notes.
func applyOrgsFile(ctx context.Context, path string, tracker *humanhours.Tracker, keys *humanhours.Keys, notes io.Writer) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the file of -orgs: %w", err)
	}
	orgs, err := parseOrgs(data)
	if err != nil {
		return fmt.Errorf("%s: %s", path, hideKeys(err.Error()))
	}
	for _, org := range orgs {
		org.by = "orgs file"
		if org.Currency != "" && org.Currency != humanhours.DefaultCurrency && !org.HourlyRate.Valid {
			fmt.Fprintf(notes, "note: org %q has no hourly_rate of its own: an hour counts as %d %s\n",
				org.ID, humanhours.DefaultHourlyRate, org.Currency)
		}
		if err := org.apply(ctx, tracker, keys); err != nil {
			return fmt.Errorf("%s: org %q: %w", path, org.ID, err)
		}
	}
	return nil
}

// keyText finds API keys in a text, also broken ones.
var keyText = regexp.MustCompile(`hh_(live|test)_[A-Za-z0-9_]*`)

// hideKeys takes keys out of a message that repeats a part of the file: a key may stand where none belongs.
func hideKeys(message string) string { return keyText.ReplaceAllString(message, "hh_...") }

// parseOrgs reads and checks the content of the file, so that a file with a mistake changes nothing.
func parseOrgs(data []byte) ([]orgEntry, error) {
	var file orgsFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a misspelt field would silently not apply
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("not valid: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not valid: there is something after the JSON object")
	}
	if len(file.Orgs) == 0 {
		return nil, errors.New(`there are no orgs; expected {"orgs":[{"id":"acme","plan":"pro","keys":["hh_live_..."]}]}`)
	}
	seen := make(map[string]bool)
	type owner struct{ org, text string }
	owners := make(map[string]owner) // by key id
	plans := humanhours.DefaultPlans()
	for i, org := range file.Orgs {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("orgs[%d] (%q): %s", i, org.ID, fmt.Sprintf(format, args...))
		}
		if err := checkOrgID(org.ID); err != nil {
			return nil, fail("id must be %s", err)
		}
		if seen[org.ID] {
			return nil, fail("the id stands twice in the file")
		}
		seen[org.ID] = true
		if _, ok := plans[org.Plan]; !ok && org.Plan != "" {
			return nil, fail("there is no plan %q; choose one of %s", org.Plan, strings.Join(slices.Sorted(maps.Keys(plans)), ", "))
		}
		settings := humanhours.Org{Currency: org.Currency, HourlyRate: org.HourlyRate}
		if err := settings.Validate(); err != nil {
			return nil, fail("%s", message(err))
		}
		for _, k := range slices.Concat(org.Keys, org.RevokedKeys) {
			if err := humanhours.CheckKey(k.Secret); err != nil {
				return nil, fail("key %s: %s", k.Secret, message(err))
			}
			public := k.Secret.String()[len("hh_live_"):] // the id
			if other, ok := owners[public]; ok && (other.org != org.ID || other.text != k.Reveal()) {
				return nil, fail("the key id %s belongs to another key or org already", strings.TrimSuffix(public, "_..."))
			}
			owners[public] = owner{org: org.ID, text: k.Reveal()}
		}
	}
	return file.Orgs, nil
}

// checkOrgID says what the id of an org must be.
func checkOrgID(id string) error {
	if strings.TrimSpace(id) == "" || len(id) > 255 {
		return errors.New("1 to 255 bytes and not blank")
	}
	return nil
}

// message is what an error says to people: those who run the server, who are told the cause when a store does not answer.
func message(err error) string {
	var e *humanhours.Error
	if errors.As(err, &e) {
		if e.Code == humanhours.CodeUnavailable && e.Err != nil {
			return e.Message + ": " + e.Err.Error()
		}
		if e.Hint != "" {
			return e.Message + ". " + e.Hint
		}
		return e.Message
	}
	return err.Error()
}

func (o *orgEntry) apply(ctx context.Context, tracker *humanhours.Tracker, keys *humanhours.Keys) error {
	_, err := tracker.UpdateOrg(ctx, o.ID, o.update)
	if err != nil && !errors.Is(err, errUnchanged) {
		return errors.New(message(err))
	}
	for _, k := range o.Keys {
		if _, _, err := keys.Import(ctx, o.ID, k.Secret, 0); err != nil {
			return errors.New(message(err))
		}
	}
	for _, k := range o.RevokedKeys {
		stored, _, err := keys.Import(ctx, o.ID, k.Secret, 0)
		if err != nil {
			return errors.New(message(err))
		}
		if _, err := keys.Revoke(ctx, stored.ID); err != nil {
			return errors.New(message(err))
		}
	}
	return nil
}

// errUnchanged: the org is already as the file says, and its history is not to grow with every start.
var errUnchanged = errors.New("unchanged")

// update changes an org to what the file says, and says what it changed.
func (o *orgEntry) update(org *humanhours.Org) ([]humanhours.Change, error) {
	var changes []humanhours.Change
	set := func(subject, old, new string) {
		changes = append(changes, humanhours.Change{
			At: time.Now().UTC().Truncate(time.Millisecond), Subject: subject, Old: old, New: new, Reason: o.by,
		})
	}
	if o.Plan != "" && o.Plan != org.Plan {
		set("plan", org.Plan, o.Plan)
		org.Plan = o.Plan
	}
	if o.Currency != "" && o.Currency != org.Currency {
		set("currency", cmp.Or(org.Currency, humanhours.DefaultCurrency), o.Currency)
		org.Currency = o.Currency
	}
	if o.HourlyRate.Valid && (!org.HourlyRate.Valid || !o.HourlyRate.Decimal.Equal(org.HourlyRate.Decimal)) {
		old := ""
		if org.HourlyRate.Valid {
			old = org.HourlyRate.Decimal.String()
		}
		set("default_hourly_rate", old, o.HourlyRate.Decimal.String())
		org.HourlyRate = o.HourlyRate
	}
	if len(changes) == 0 && org.Version > 0 {
		return nil, errUnchanged
	}
	return changes, nil
}
