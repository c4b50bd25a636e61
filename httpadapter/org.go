package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// orgJSON is the answer of /v1/org.
type orgJSON struct {
	ID                 string          `json:"org_id"`
	Plan               string          `json:"plan,omitempty"`
	Currency           string          `json:"currency"`
	DefaultHourlyRate  json.RawMessage `json:"default_hourly_rate"` // as the org has set it; null: not set
	ResolvedRate       json.RawMessage `json:"resolved_hourly_rate"`
	ResolvedRateSource string          `json:"resolved_hourly_rate_source"`
}

func orgReply(s humanhours.OrgSettings, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, etag: etag(s.Version), body: encode(orgJSON{
		ID: s.ID, Plan: s.Plan, Currency: s.Currency, DefaultHourlyRate: numberJSON(s.HourlyRate),
		ResolvedRate: numberJSON(decimal.NewNullDecimal(s.Rate.Amount)), ResolvedRateSource: string(s.Rate.Source),
	})}, nil
}

// settings answers GET /v1/org.
func (a *API) settings(ctx context.Context, req request) (reply, error) {
	return orgReply(a.tracker.Settings(ctx, req.caller))
}

// updateSettings answers PATCH /v1/org.
func (a *API) updateSettings(ctx context.Context, req request) (reply, error) {
	var w struct {
		Currency   textField   `json:"currency"`
		HourlyRate numberField `json:"default_hourly_rate"`
		Reason     textField   `json:"reason"`
	}
	if err := decodeObject(req.body, &w); err != nil {
		return reply{}, err
	}
	e, err := req.edit(&w.Reason)
	if err != nil {
		return reply{}, err
	}
	var p humanhours.SettingsPatch
	if err := read(w.Currency.into("currency", &p.Currency), w.HourlyRate.into("default_hourly_rate", &p.HourlyRate)); err != nil {
		return reply{}, err
	}
	if p == (humanhours.SettingsPatch{}) {
		return reply{}, nothingToChange("currency, default_hourly_rate")
	}
	return orgReply(a.tracker.UpdateSettings(ctx, req.caller, p, e))
}
