package humanhours

import (
	"errors"
	"time"
)

// Code names a kind of failure. Codes are part of the public contract and never change their spelling.
//
// A Code is itself an error, so that it can be the target of errors.Is:
//
//	if errors.Is(err, humanhours.CodeQuotaExceeded) { ... }
type Code string

// The codes. Which HTTP status each one has is the business of package httpadapter.
const (
	// CodeMissingAuthorization: no credentials were presented.
	CodeMissingAuthorization Code = "missing_authorization"
	// CodeInvalidAPIKey: the credentials are malformed or unknown.
	CodeInvalidAPIKey Code = "invalid_api_key"
	// CodeKeyRevoked: the API key was good once and has been revoked.
	CodeKeyRevoked Code = "key_revoked"
	// CodeFeatureLocked: the org's plan lacks the feature.
	CodeFeatureLocked Code = "feature_locked"
	// CodeInsufficientScope: the API key lacks the scope.
	CodeInsufficientScope Code = "insufficient_scope"
	// CodeNotFound: there is no such thing, or no such endpoint.
	CodeNotFound Code = "not_found"
	// CodeMethodNotAllowed: the endpoint exists and does not take this HTTP method.
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodePreconditionFailed: If-Match does not hold; somebody else changed the resource first.
	CodePreconditionFailed Code = "precondition_failed"
	// CodePayloadTooLarge: the request body is over its limit.
	CodePayloadTooLarge Code = "payload_too_large"
	// CodeUnsupportedMediaType: the request body is not application/json.
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	// CodeValidation: malformed JSON, a wrong type, or a broken rule; Error.Field names the first broken field.
	CodeValidation Code = "validation_error"
	// CodeUnknownTaskType: the task type has no baseline and the request brought none.
	CodeUnknownTaskType Code = "unknown_task_type"
	// CodeOccurredAtOutOfRange: occurred_at is more than MaxEventAge old or more than MaxEventLead ahead.
	CodeOccurredAtOutOfRange Code = "occurred_at_out_of_range"
	// CodeIdempotencyKeyReused: the key was used for a different request (MismatchRefuse only).
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	// CodeRateLimited: the caller sent more requests in one second than its plan allows.
	CodeRateLimited Code = "rate_limited"
	// CodeQuotaExceeded: the org has used up the events of its plan for this UTC month.
	CodeQuotaExceeded Code = "quota_exceeded"
	// CodeUnavailable: a backend did not answer. Nothing is half-written, but whether the event
	// was stored may be unknown: retry with the same idempotency key.
	CodeUnavailable Code = "unavailable"
	// CodeInternal: anything else, and every error that did not come from this module.
	CodeInternal Code = "internal"
)

// Error makes a Code usable as the target of errors.Is.
func (c Code) Error() string { return string(c) }

// Error is the error type of this module. Message, Hint and Field are written for the caller and are safe to
// send over a network; Err is the cause, for logs only.
type Error struct {
	Code    Code
	Message string // one sentence: what is wrong
	Hint    string // one sentence: what to do about it; may be empty
	Field   string // dotted path of the field at fault; empty when no single field is
	// RetryAfter is how long to wait before trying again; zero means that waiting does not help, or that it is not known.
	RetryAfter time.Duration
	Err        error // cause; may be nil
}

// Error implements error. The text includes the cause: it is for logs, not for clients.
func (e *Error) Error() string {
	s := "humanhours: " + string(e.Code) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the Code of e.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the Code of err: "" for nil, CodeInternal for an error that this module did not make.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		if e == nil { // a nil pointer in an error, the classic slip
			return CodeInternal
		}
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return CodeInternal
}

// invalid is a validation error on one field. rule completes the sentence that starts with the field's name.
func invalid(field, rule string) *Error {
	return &Error{Code: CodeValidation, Message: field + " " + rule, Field: field}
}
