package httpadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// statuses is the one table from code to HTTP status. A code that is not in it is answered as internal.
var statuses = map[humanhours.Code]int{
	humanhours.CodeMissingAuthorization: http.StatusUnauthorized,
	humanhours.CodeInvalidAPIKey:        http.StatusUnauthorized,
	humanhours.CodeKeyRevoked:           http.StatusUnauthorized,
	humanhours.CodeFeatureLocked:        http.StatusForbidden,
	humanhours.CodeInsufficientScope:    http.StatusForbidden,
	humanhours.CodeNotFound:             http.StatusNotFound,
	humanhours.CodeMethodNotAllowed:     http.StatusMethodNotAllowed,
	humanhours.CodePreconditionFailed:   http.StatusPreconditionFailed,
	humanhours.CodePayloadTooLarge:      http.StatusRequestEntityTooLarge,
	humanhours.CodeUnsupportedMediaType: http.StatusUnsupportedMediaType,
	humanhours.CodeValidation:           http.StatusUnprocessableEntity,
	humanhours.CodeUnknownTaskType:      http.StatusUnprocessableEntity,
	humanhours.CodeOccurredAtOutOfRange: http.StatusUnprocessableEntity,
	humanhours.CodeIdempotencyKeyReused: http.StatusUnprocessableEntity,
	humanhours.CodeRateLimited:          http.StatusTooManyRequests,
	humanhours.CodeQuotaExceeded:        http.StatusTooManyRequests,
	humanhours.CodeUnavailable:          http.StatusServiceUnavailable,
	humanhours.CodeInternal:             http.StatusInternalServerError,
}

// Status returns the HTTP status of an error, for people who answer errors of a Tracker themselves.
func Status(err error) int {
	if status, ok := statuses[humanhours.CodeOf(err)]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// errorJSON is the body of an error.
type errorJSON struct {
	Code    humanhours.Code `json:"code"`
	Message string          `json:"message"`
	Hint    string          `json:"hint,omitempty"`
	Field   string          `json:"field,omitempty"`
}

// public is what a client may know of an error. A 5xx says nothing of its cause.
func public(err error, requestID string) errorJSON {
	if Status(err) == http.StatusInternalServerError {
		return errorJSON{
			Code: humanhours.CodeInternal, Message: "something went wrong on the server",
			Hint: "Tell the operator the request id " + requestID + ".",
		}
	}
	var e *humanhours.Error
	if !errors.As(err, &e) { // a bare Code, from an Authenticate of somebody else
		code := humanhours.CodeOf(err)
		return errorJSON{Code: code, Message: strings.ReplaceAll(string(code), "_", " ")}
	}
	return errorJSON{Code: e.Code, Message: e.Message, Hint: e.Hint, Field: e.Field}
}

// panicError is a panic on its way to the log.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// writeError answers err, and logs it if it is the server's fault.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, requestID string, err error) {
	status := Status(err)
	a.logFailure(r, requestID, status, err)
	h := w.Header()
	h.Set("Content-Type", contentType)
	var e *humanhours.Error
	if errors.As(err, &e) {
		if e.RetryAfter > 0 {
			h.Set("Retry-After", retryAfter(e.RetryAfter))
		}
	}
	switch humanhours.CodeOf(err) {
	case humanhours.CodeMissingAuthorization:
		h.Set("WWW-Authenticate", "Bearer")
	case humanhours.CodeInvalidAPIKey, humanhours.CodeKeyRevoked:
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750, section 3.1
	}
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]errorJSON{"error": public(err, requestID)}))
}

// encode returns v as a line of JSON. Unlike json.Marshal it leaves '<' and '>' readable: no answer is ever put into a page. v is
// one of our own types that cannot fail to encode.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// logFailure writes the one line about an answer with a 5xx status.
func (a *API) logFailure(r *http.Request, requestID string, status int, err error) {
	if status < http.StatusInternalServerError {
		return
	}
	a.cfg.Logger.Log(r.Context(), failureLevel(r), "humanhours: request failed",
		"request_id", requestID, "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
}

// failureLevel is the level of a failure's log line.
func failureLevel(r *http.Request) slog.Level {
	if r.Context().Err() != nil {
		return slog.LevelInfo // the client is gone: nobody was failed
	}
	return slog.LevelError
}

// retryAfter is whole seconds, rounded up: at least 1 for any wait at all.
func retryAfter(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// invalid is a validation error. field is empty when the request as a whole is at fault.
func invalid(field, message string) error {
	return &humanhours.Error{Code: humanhours.CodeValidation, Message: message, Field: field}
}
