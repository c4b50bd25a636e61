package humanhours

import (
	"context"
	"errors"
	"strconv"
	"unicode/utf8"
)

// MaxTextLength is the longest reason, display name, unit, category or source of a baseline, in characters.
const MaxTextLength = 500

// Edit goes with every change to the assumptions of an org.
type Edit struct {
	// IfVersion is the Version of the settings that the change was decided on: when the org has been changed since, the edit is refused with
	// CodePreconditionFailed. Any change to the org's settings counts. Not Valid: change what is there.
	IfVersion NullInt64
	// Reason is why, for the history. Up to MaxTextLength characters; may be empty.
	Reason string
}

// errUnchanged ends an update that would change nothing: it makes no version and no line of history.
var errUnchanged = errors.New("humanhours: nothing to change")

// edit runs f on the settings of the caller's org, as they are stored and not as they are cached, and stores them with the changes that f
// notes, if its plan has the features. f may run several times.
func (t *Tracker) edit(ctx context.Context, c Caller, e Edit, need Features, f func(*Org, *changeLog) error) (Org, error) {
	if err := checkOptional("reason", e.Reason); err != nil {
		return Org{}, err
	}
	id := c.Org
	if id == "" {
		id = t.cfg.DefaultOrg
	}
	if len(id) > MaxOrgLength {
		return Org{}, invalid("org", "must be at most 255 bytes")
	}
	var seen Org
	org, err := t.UpdateOrg(ctx, id, func(org *Org) ([]Change, error) {
		if err := t.unlocked(org.Plan, need); err != nil {
			return nil, err
		}
		if e.IfVersion.Valid && e.IfVersion.Int64 != org.Version {
			return nil, &Error{
				Code:    CodePreconditionFailed,
				Message: "the settings were changed meanwhile: they are at version " + strconv.FormatInt(org.Version, 10) + " now",
				Hint:    "Read them again, and decide on what they are now.",
			}
		}
		// The time of the try that is stored: so a history is in the order of its instants, as far as clocks agree.
		log := &changeLog{at: t.now(), keyID: mend(c.KeyID), reason: e.Reason}
		if err := f(org, log); err != nil {
			return nil, err
		}
		if len(log.changes) == 0 {
			seen = org.Clone()
			return nil, errUnchanged
		}
		return log.changes, nil
	})
	if errors.Is(err, errUnchanged) {
		return seen, seen.normalize()
	}
	return org, err
}

// checkOptional checks a text that may be empty.
func checkOptional(field, s string) error {
	if utf8.RuneCountInString(s) > MaxTextLength {
		return invalid(field, "must be at most "+strconv.Itoa(MaxTextLength)+" characters")
	}
	return checkText(field, s)
}
