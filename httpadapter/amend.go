package httpadapter

import (
	"context"
	"net/http"

	"github.com/humanhours/humanhours-go"
)

// reason reads a body that has nothing but why. Anything else in it is refused: who writes a filter there would change other events than meant.
func (req request) reason() (string, error) {
	var w struct {
		Reason textField `json:"reason"`
	}
	if err := decodeOnly(req.body, &w, `"reason"`); err != nil {
		return "", err
	}
	if w.Reason.fault != "" {
		return "", invalid("reason", "reason "+w.Reason.fault)
	}
	return w.Reason.value, nil
}

// amendEvent answers POST /v1/events/{id}/void, reprice and redact: the event with its amendments.
func (a *API) amendEvent(
	amend func(ctx context.Context, c humanhours.Caller, id, reason string) (humanhours.Event, error),
) func(context.Context, request) (reply, error) {
	return func(ctx context.Context, req request) (reply, error) {
		if _, err := req.parameters(nil, false); err != nil {
			return reply{}, err
		}
		reason, err := req.reason()
		if err != nil {
			return reply{}, err
		}
		event, err := amend(ctx, req.caller, req.PathValue("id"), reason)
		if err != nil {
			return reply{}, err
		}
		return reply{status: http.StatusOK, body: append(event.AppendJSON(nil), '\n')}, nil
	}
}

// repriceEvents answers POST /v1/events/reprice.
func (a *API) repriceEvents(ctx context.Context, req request) (reply, error) {
	p, err := req.parameters(append([]string{"cursor"}, spanNames...), true)
	if err != nil {
		return reply{}, err
	}
	q := p.eventList()
	if q.Period == "" && !p.values.Has("from") && !p.values.Has("to") {
		q.Period = "all"
	}
	p.cursor(&q)
	if p.err != nil {
		return reply{}, p.err
	}
	reason, err := req.reason()
	if err != nil {
		return reply{}, err
	}
	done, err := a.tracker.RepriceEvents(ctx, req.caller, q, reason)
	if err != nil {
		return reply{}, err
	}
	body := struct {
		Repriced int    `json:"repriced"`
		Unpriced int    `json:"still_unpriced"`
		Next     string `json:"next_cursor,omitempty"`
	}{Repriced: done.Repriced, Unpriced: done.Unpriced}
	if !done.Next.IsZero() {
		body.Next = cursorText(done.Next)
	}
	return reply{status: http.StatusOK, body: encode(body)}, nil
}
