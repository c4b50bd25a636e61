package humanhours_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/humanhours/humanhours-go"
)

func TestCodeOf(t *testing.T) {
	quota := &humanhours.Error{Code: humanhours.CodeQuotaExceeded, Message: "used up", RetryAfter: time.Hour}
	for name, tc := range map[string]struct {
		err  error
		want humanhours.Code
	}{
		"nil":                 {nil, ""},
		"an Error":            {quota, humanhours.CodeQuotaExceeded},
		"a wrapped Error":     {fmt.Errorf("track: %w", fmt.Errorf("again: %w", quota)), humanhours.CodeQuotaExceeded},
		"a joined Error":      {errors.Join(io.EOF, quota), humanhours.CodeQuotaExceeded},
		"a Code":              {humanhours.CodeNotFound, humanhours.CodeNotFound},
		"a wrapped Code":      {fmt.Errorf("org: %w", humanhours.CodeNotFound), humanhours.CodeNotFound},
		"a stranger":          {io.EOF, humanhours.CodeInternal},
		"the outermost Error": {&humanhours.Error{Code: humanhours.CodeUnavailable, Err: quota}, humanhours.CodeUnavailable},
	} {
		assert.Equal(t, tc.want, humanhours.CodeOf(tc.err), name)
	}
}

func TestErrorIsItsCode(t *testing.T) {
	err := fmt.Errorf("track: %w", &humanhours.Error{
		Code: humanhours.CodeUnavailable, Message: "the store did not answer", Hint: "try again", Field: "f", Err: io.ErrUnexpectedEOF,
	})
	assert.ErrorIs(t, err, humanhours.CodeUnavailable)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "the cause is reachable")
	assert.NotErrorIs(t, err, humanhours.CodeInternal)
	assert.NotErrorIs(t, err, io.EOF)
	assert.EqualError(t, err, "track: humanhours: unavailable: the store did not answer: unexpected EOF")
	assert.EqualError(t, &humanhours.Error{Code: humanhours.CodeNotFound, Message: "no such key"}, "humanhours: not_found: no such key")
	assert.NoError(t, (&humanhours.Error{Code: humanhours.CodeNotFound}).Unwrap())
	assert.EqualError(t, humanhours.CodeRateLimited, "rate_limited")
}

func TestCodesKeepTheirSpelling(t *testing.T) {
	assert.Equal(t, []humanhours.Code{
		"missing_authorization", "invalid_api_key", "key_revoked", "feature_locked", "insufficient_scope", "not_found", "method_not_allowed",
		"precondition_failed", "payload_too_large", "unsupported_media_type", "validation_error", "unknown_task_type", "occurred_at_out_of_range",
		"idempotency_key_reused", "rate_limited", "quota_exceeded", "unavailable", "internal",
	}, []humanhours.Code{
		humanhours.CodeMissingAuthorization, humanhours.CodeInvalidAPIKey, humanhours.CodeKeyRevoked, humanhours.CodeFeatureLocked,
		humanhours.CodeInsufficientScope, humanhours.CodeNotFound, humanhours.CodeMethodNotAllowed, humanhours.CodePreconditionFailed,
		humanhours.CodePayloadTooLarge, humanhours.CodeUnsupportedMediaType, humanhours.CodeValidation, humanhours.CodeUnknownTaskType,
		humanhours.CodeOccurredAtOutOfRange, humanhours.CodeIdempotencyKeyReused, humanhours.CodeRateLimited, humanhours.CodeQuotaExceeded,
		humanhours.CodeUnavailable, humanhours.CodeInternal,
	})
}

func TestCodeOfANilPointer(t *testing.T) {
	var e *humanhours.Error
	assert.Equal(t, humanhours.CodeInternal, humanhours.CodeOf(error(e)))
}
