package httpadapter

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// events answers GET /v1/events.
func (a *API) events(ctx context.Context, req request) (reply, error) {
	p, err := req.parameters(append([]string{"order", "limit", "cursor"}, spanNames...), true)
	if err != nil {
		return reply{}, err
	}
	q := p.eventList()
	if q.Period == "" && !p.values.Has("from") && !p.values.Has("to") {
		q.Period = "all" // a list has pages, so it needs no period
	}
	q.Descending = true
	switch order := p.values.Get("order"); order {
	case "", "newest":
	case "oldest":
		q.Descending = false
	default:
		p.fail("order", "order must be newest or oldest")
	}
	q.Limit = p.count("limit", humanhours.MaxEventPage)
	p.cursor(&q)
	if p.err != nil {
		return reply{}, p.err
	}
	page, err := a.tracker.Events(ctx, req.caller, q)
	if err != nil {
		return reply{}, err
	}
	dst := append(make([]byte, 0, 64+640*len(page.Events)), `{"events":[`...)
	for i := range page.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = page.Events[i].AppendJSON(dst)
	}
	dst = append(dst, ']')
	if !page.Next.IsZero() {
		dst = append(append(append(dst, `,"next_cursor":"`...), cursorText(page.Next)...), '"')
	}
	return reply{status: http.StatusOK, body: append(dst, "}\n"...)}, nil
}

// eventList reads time and filters.
func (p *parameters) eventList() humanhours.EventListQuery {
	s := p.span()
	q := humanhours.EventListQuery{Period: s.period, From: s.from, To: s.to, Zone: s.zone, Filter: s.filter, Test: s.test}
	if !p.values.Has("period") {
		q.Period = ""
	}
	return q
}

// cursor reads where a page starts.
func (p *parameters) cursor(q *humanhours.EventListQuery) {
	if text := p.values.Get("cursor"); text != "" {
		var ok bool
		if q.After, ok = parseCursor(text); !ok {
			p.fail("cursor", "cursor must be the next_cursor of a page")
		}
	}
}

// cursorText writes a cursor as one word that says nothing.
func cursorText(c humanhours.Cursor) string {
	return base64.RawURLEncoding.EncodeToString(append(strconv.AppendInt(nil, c.At.UnixMilli(), 10), "."+c.ID...))
}

func parseCursor(text string) (humanhours.Cursor, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	at, id, ok := strings.Cut(string(raw), ".")
	if err != nil || !ok || id == "" {
		return humanhours.Cursor{}, false
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || ms < -1<<46 || ms > 1<<46 { // some thousand years
		return humanhours.Cursor{}, false
	}
	return humanhours.Cursor{At: time.UnixMilli(ms).UTC(), ID: id}, true
}

// event answers GET /v1/events/{id}.
func (a *API) event(ctx context.Context, req request) (reply, error) {
	if _, err := req.parameters(nil, false); err != nil {
		return reply{}, err
	}
	event, err := a.tracker.Event(ctx, req.caller, req.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: append(event.AppendJSON(nil), '\n')}, nil
}

// exportColumns are the columns of an export, named as the fields of an event.
var exportColumns = []string{
	"event_id", "occurred_at", "received_at", "test", "agent_id", "task_type", "outcome", "credited", "model", "tokens_in", "tokens_out",
	"agent_duration_seconds", "resolved_baseline_minutes", "resolved_baseline_source", "resolved_hourly_rate", "resolved_hourly_rate_source", "currency",
	"hours_saved", "cost_saved", "agent_cost", "resolved_cost_source", "cost_precision", "unpriced_reason", "net_saved", "metadata",
}

// export answers GET /v1/reports/export.
func (a *API) export(ctx context.Context, req request) (reply, error) {
	p, err := req.parameters(spanNames, true)
	if err != nil {
		return reply{}, err
	}
	q := p.eventList()
	if q.Period == "" && !p.values.Has("from") && !p.values.Has("to") {
		q.Period = "30d" // as the reports that it goes with
	}
	if p.err != nil {
		return reply{}, p.err
	}
	return reply{status: http.StatusOK, contentType: csvType, file: "events.csv", stream: func(to io.Writer) error {
		var lines csvLines
		for _, name := range exportColumns {
			lines.cell(name)
		}
		lines.end()
		for event, err := range a.tracker.Export(ctx, req.caller, q) {
			if err != nil {
				return err
			}
			lines.event(&event)
			if _, err := to.Write(lines.text); err != nil {
				return err
			}
			lines.text = lines.text[:0]
		}
		_, err := to.Write(lines.text) // the header, if there are no events
		return err
	}}, nil
}

// event appends the line of an event, in the order of exportColumns.
func (l *csvLines) event(e *humanhours.Event) {
	l.inert(e.ID)
	l.instant(e.OccurredAt)
	l.instant(e.ReceivedAt)
	l.flag(e.Test)
	l.inert(e.AgentID)
	l.inert(e.TaskType)
	l.cell(string(e.Outcome))
	l.flag(e.Credited)
	l.inert(e.Model)
	l.nullInteger(e.TokensIn)
	l.nullInteger(e.TokensOut)
	l.nullNumber(e.AgentDuration)
	l.number(e.Baseline.Minutes)
	l.cell(string(e.Baseline.Source))
	l.number(e.HourlyRate.Amount)
	l.cell(string(e.HourlyRate.Source))
	l.cell(e.Currency)
	l.number(e.HoursSaved)
	l.number(e.CostSaved)
	l.nullNumber(e.AgentCost)
	l.cell(string(e.Cost.Source))
	l.cell(string(e.Cost.Precision))
	l.cell(string(e.Cost.Unpriced))
	l.number(e.NetSaved)
	l.inert(string(e.Metadata))
	l.end()
}
