package httpadapter

import (
	"context"
	"net/http"
	"strconv"

	"github.com/humanhours/humanhours-go"
)

// historyDefault is how many lines GET /v1/history gives.
const historyDefault = 100

// changeJSON is one line of GET /v1/history.
type changeJSON struct {
	Seq     int64   `json:"seq"` // grows with each line, and may have gaps
	At      string  `json:"at"`
	KeyID   *string `json:"key_id"` // null: changed in process, or by the operator
	Subject string  `json:"subject"`
	Old     *string `json:"old"` // null: there was none
	New     *string `json:"new"` // null: removed
	Reason  string  `json:"reason,omitempty"`
}

// history answers GET /v1/history, newest first.
func (a *API) history(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	limit, before := historyDefault, int64(0)
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > humanhours.MaxHistoryPage {
			return reply{}, invalid("limit", "limit must be a whole number from 1 to "+strconv.Itoa(humanhours.MaxHistoryPage))
		}
	}
	if text := query.Get("before"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return reply{}, invalid("before", "before must be the next_before of a page")
		}
	}
	page, err := a.tracker.History(ctx, req.caller, before, limit)
	if err != nil {
		return reply{}, err
	}
	body := struct {
		History []changeJSON `json:"history"`
		Before  int64        `json:"next_before,omitempty"` // before of the next page; left out: that was all
	}{History: make([]changeJSON, 0, len(page.Changes))}
	for i := len(page.Changes) - 1; i >= 0; i-- {
		c := &page.Changes[i]
		body.History = append(body.History, changeJSON{
			Seq: c.Seq, At: instantJSON(c.At), KeyID: textJSON(c.KeyID), Subject: c.Subject, Old: textJSON(c.Old), New: textJSON(c.New), Reason: c.Reason,
		})
	}
	if page.More {
		body.Before = page.Changes[0].Seq
	}
	return reply{status: http.StatusOK, body: encode(body)}, nil
}

// textJSON is null for the empty text.
func textJSON(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
