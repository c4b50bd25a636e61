package pricebook

import (
	"encoding/json"

	"github.com/shopspring/decimal"
)

// Bounds of a price, a discount or a rate. A product of two of them still is within what the root package computes with, 64 digits and
// 64 decimals, and 1e999999999 costs nothing.
const (
	maxAmountText   = 64 // characters
	maxAmountPlaces = 36 // decimals of a price; real ones have up to 22
	maxAmountDigits = 9  // before the point
)

// parseAmount reads a decimal number exactly; false when it is none or out of bounds.
func parseAmount(text string) (decimal.Decimal, bool) {
	if len(text) > maxAmountText {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(text)
	if err != nil || !bounded(d) {
		return decimal.Decimal{}, false
	}
	return d, true
}

func bounded(d decimal.Decimal) bool {
	places := -int64(d.Exponent())
	return -maxAmountDigits <= places && places <= maxAmountPlaces && int64(d.NumDigits())-places <= maxAmountDigits
}

// scalar returns the text of a JSON string or number, the latter digit by digit as it was sent; false for anything else. A feed
// that writes 1e-7 where it wrote "0.0000001" means the same.
func scalar(raw json.RawMessage) (string, bool) {
	if absent(raw) {
		return "", false
	}
	switch c := raw[0]; {
	case c == '"':
		return jsonString(raw)
	case c == '-', '0' <= c && c <= '9':
		return string(raw), true
	}
	return "", false
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// jsonString returns the value of a JSON string; false for anything else.
func jsonString(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// appendJSONString appends s as a JSON string.
func appendJSONString(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // of a string it never fails
	return append(dst, text...)
}
