package httpadapter

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

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
		line := appendCSV(nil, exportColumns)
		if _, err := to.Write(line); err != nil {
			return err
		}
		record := make([]string, 0, len(exportColumns))
		for event, err := range a.tracker.Export(ctx, req.caller, q) {
			if err != nil {
				return err
			}
			line = appendCSV(line[:0], appendRecord(record[:0], &event))
			if _, err := to.Write(line); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// appendRecord appends the cells of an event, in the order of exportColumns.
func appendRecord(dst []string, e *humanhours.Event) []string {
	number := func(d decimal.NullDecimal) string {
		if !d.Valid {
			return ""
		}
		return plainNumber(d.Decimal)
	}
	whole := func(n humanhours.NullInt64) string {
		if !n.Valid {
			return ""
		}
		return strconv.FormatInt(n.Int64, 10)
	}
	return append(dst,
		inert(e.ID), instantJSON(e.OccurredAt), instantJSON(e.ReceivedAt), strconv.FormatBool(e.Test), inert(e.AgentID), inert(e.TaskType),
		string(e.Outcome), strconv.FormatBool(e.Credited), inert(e.Model), whole(e.TokensIn), whole(e.TokensOut),
		number(e.AgentDuration), plainNumber(e.Baseline.Minutes), string(e.Baseline.Source), plainNumber(e.HourlyRate.Amount), string(e.HourlyRate.Source),
		e.Currency, plainNumber(e.HoursSaved), plainNumber(e.CostSaved), number(e.AgentCost), string(e.Cost.Source), string(e.Cost.Precision),
		string(e.Cost.Unpriced), plainNumber(e.NetSaved), inert(string(e.Metadata)))
}
