package humanhours

import (
	"context"

	"github.com/shopspring/decimal"
)

// OrgSettings is what an org sees of its own settings.
type OrgSettings struct {
	ID         string
	Version    int64               // counts the changes to all settings of the org; 0: none was ever made
	Plan       string              // empty: no limits
	Currency   string              // in force
	HourlyRate decimal.NullDecimal // as the org has set it, in Currency; not Valid: not set
	Rate       HourlyRate          // in force for agents that have no rate of their own
}

func (o *Org) settings() OrgSettings {
	return OrgSettings{
		ID: o.ID, Version: o.Version, Plan: o.Plan, Currency: o.currency(), HourlyRate: o.HourlyRate,
		Rate: (&Org{HourlyRate: o.HourlyRate}).resolveRate(""),
	}
}

// Settings returns the settings of the caller's org.
func (t *Tracker) Settings(ctx context.Context, c Caller) (OrgSettings, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return OrgSettings{}, err
	}
	return org.settings(), nil
}

// SettingsPatch says which settings of an org to change; nil leaves one as it is.
type SettingsPatch struct {
	// Currency is an ISO 4217 code; empty: DefaultCurrency. Amounts are not converted: an hourly rate is from then on so much of the new
	// currency, so change the rates with it.
	Currency *string
	// HourlyRate is what an hour costs, 0 to MaxHourlyRate; not Valid: back to DefaultHourlyRate.
	HourlyRate *decimal.NullDecimal
}

// UpdateSettings changes the settings of the caller's org, for events that are tracked from then on.
func (t *Tracker) UpdateSettings(ctx context.Context, c Caller, p SettingsPatch, e Edit) (OrgSettings, error) {
	org, err := t.edit(ctx, c, e, 0, func(o *Org, log *changeLog) error {
		if p.Currency != nil {
			if *p.Currency != "" && !currencyCode.MatchString(*p.Currency) {
				return invalid("currency", ruleCurrency)
			}
			log.text("currency", o.currency(), (&Org{Currency: *p.Currency}).currency())
			o.Currency = *p.Currency
		}
		if p.HourlyRate != nil {
			return log.setNumber("default_hourly_rate", "default_hourly_rate", &o.HourlyRate, *p.HourlyRate, MaxHourlyRate)
		}
		return nil
	})
	if err != nil {
		return OrgSettings{}, err
	}
	return org.settings(), nil
}
