package httpadapter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/humanhours/humanhours-go"
)

// track answers POST /v1/track.
func (a *API) track(ctx context.Context, req request) (reply, error) {
	key, err := headerKey(req.Header)
	if err != nil {
		return reply{}, err
	}
	r, err := decodeTrack(req.body)
	if err != nil {
		return reply{}, err
	}
	switch {
	case key == "":
	case r.IdempotencyKey != "" && r.IdempotencyKey != key:
		return reply{}, invalid("idempotency_key", "idempotency_key differs from the Idempotency-Key header")
	default:
		r.IdempotencyKey = key
	}
	result, err := a.tracker.Record(ctx, req.caller, r)
	if err != nil {
		return reply{}, err
	}
	lent := a.buffers.Get().(*[]byte)
	return reply{
		status: created(result), replayed: result.Replayed, differ: result.Mismatch,
		body: append(result.Event.AppendJSON(*lent), '\n'), lent: lent,
	}, nil
}

// maxBuffer is the largest that goes back to API.buffers. Nearly all answers have less than 2 KiB.
const maxBuffer = 16 << 10

// created is the status of a result: 201 for a new event, 200 for a replay.
func created(r humanhours.Result) int {
	if r.Replayed {
		return http.StatusOK
	}
	return http.StatusCreated
}

// headerKey returns the Idempotency-Key header; empty if there is none.
func headerKey(h http.Header) (string, error) {
	switch values := h["Idempotency-Key"]; {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", invalid("idempotency_key", "the Idempotency-Key header was sent more than once")
	case values[0] == "":
		return "", invalid("idempotency_key", "the Idempotency-Key header must be 1 to 255 characters")
	default:
		return values[0], nil
	}
}

// trackBatch answers POST /v1/track/batch.
func (a *API) trackBatch(ctx context.Context, req request) (reply, error) {
	if len(req.Header["Idempotency-Key"]) > 0 {
		// Ignoring it would double every event of a retry.
		return reply{}, &humanhours.Error{
			Code: humanhours.CodeValidation, Field: "idempotency_key",
			Message: "a batch has no Idempotency-Key header",
			Hint:    "Give each event its own idempotency_key.",
		}
	}
	items, err := decodeBatch(req.body)
	if err != nil {
		return reply{}, err
	}
	rs := make([]humanhours.TrackRequest, 0, len(items))
	for i := range items {
		if items[i].err == nil {
			rs = append(rs, items[i].request)
		}
	}
	recorded, err := a.tracker.RecordBatch(ctx, req.caller, rs)
	if err != nil {
		return reply{}, err
	}
	results := recorded
	if len(rs) < len(items) {
		results = make([]humanhours.BatchResult, 0, len(items))
		for i := range items {
			if items[i].err != nil {
				results = append(results, humanhours.BatchResult{Err: items[i].err})
				continue
			}
			results, recorded = append(results, recorded[0]), recorded[1:]
		}
	}
	a.logBatchFailure(req, results)
	return reply{status: http.StatusOK, body: appendResults(make([]byte, 0, 64+900*len(results)), results, req.id)}, nil
}

// decodeBatch reads the body of a batch.
func decodeBatch(body []byte) ([]batchItem, error) {
	if items, ok := scanBatch(body); ok {
		return items, nil
	}
	return decodeAnyBatch(body)
}

// decodeAnyBatch is decodeBatch for anything that may be sent.
func decodeAnyBatch(body []byte) ([]batchItem, error) {
	var batch struct {
		Events json.RawMessage `json:"events"`
	}
	if err := decodeObject(body, &batch); err != nil {
		return nil, err
	}
	if batch.Events == nil || string(batch.Events) == "null" {
		return nil, invalid("events", "events is required")
	}
	events, err := splitArray(batch.Events, humanhours.MaxBatch)
	if err == nil && len(events) == 0 {
		err = errors.New("must have at least one item")
	}
	if err != nil {
		return nil, invalid("events", "events "+err.Error())
	}
	items := make([]batchItem, len(events))
	for i, raw := range events {
		items[i].request, items[i].err = decodeAny(raw)
	}
	return items, nil
}

// logBatchFailure writes one line about the items with a 5xx status, with the first cause.
func (a *API) logBatchFailure(req request, results []humanhours.BatchResult) {
	var first error
	failed := 0
	for i := range results {
		if err := results[i].Err; err != nil && Status(err) >= http.StatusInternalServerError {
			if failed++; first == nil {
				first = err
			}
		}
	}
	if failed > 0 {
		a.cfg.Logger.Log(req.Context(), failureLevel(req.Request), "humanhours: events of a batch failed",
			"request_id", req.id, "method", req.Method, "path", req.URL.Path, "failed", failed, "of", len(results), "error", first)
	}
}

// appendResults appends {"results":[{"status","event"|"error"}]}.
func appendResults(dst []byte, results []humanhours.BatchResult, requestID string) []byte {
	dst = append(dst, `{"results":[`...)
	for i := range results {
		r := &results[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"status":`...)
		if r.Err != nil {
			dst = strconv.AppendInt(dst, int64(Status(r.Err)), 10)
			body := bytes.TrimSuffix(encode(public(r.Err, requestID)), []byte("\n"))
			dst = append(append(append(dst, `,"error":`...), body...), '}')
			continue
		}
		dst = strconv.AppendInt(dst, int64(created(r.Result)), 10)
		if r.Replayed {
			dst = append(dst, `,"idempotency_replayed":true`...)
		}
		if r.Mismatch {
			dst = append(dst, `,"idempotency_mismatch":true`...)
		}
		dst = append(r.Event.AppendJSON(append(dst, `,"event":`...)), '}')
	}
	return append(dst, "]}\n"...)
}
