package httpadapter

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"strconv"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// inert makes a cell of text that a spreadsheet would run as a formula into one that it shows. Numbers need no such thing.
func inert(text string) string {
	if text != "" {
		switch text[0] {
		case '=', '+', '-', '@', '\t', '\r':
			return "'" + text
		}
	}
	return text
}

// reportCSV is a report as RFC 4180 has it: a header, and a line for each row.
func reportCSV(r *humanhours.Report) []byte {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	w.UseCRLF = true
	var record []string
	for _, d := range r.GroupBy {
		record = append(record, inert(string(d)))
	}
	record = append(record, "currency", "events")
	columns := &humanhours.ReportSums{}
	if r.Range {
		columns.Conservative, columns.Optimistic = &humanhours.Savings{}, &humanhours.Savings{}
	}
	for _, sum := range amounts(columns) {
		record = append(record, sum.name)
	}
	_ = w.Write(record) // to a buffer, which takes everything
	for i := range r.Rows {
		row := &r.Rows[i]
		record = record[:0]
		for _, v := range row.Values {
			if v.Kind == humanhours.TextValue {
				record = append(record, inert(v.Text))
			} else {
				record = append(record, v.Text)
			}
		}
		record = append(record, inert(row.Currency), strconv.FormatInt(row.Events, 10))
		for _, sum := range amounts(&row.ReportSums) {
			record = append(record, plainNumber(sum.value))
		}
		_ = w.Write(record)
	}
	w.Flush()
	return buf.Bytes()
}

func plainNumber(d decimal.Decimal) string { return string(humanhours.AppendDecimal(nil, d)) }

func csvReply(file string, body []byte) reply {
	return reply{status: http.StatusOK, contentType: csvType, file: file, body: body}
}

const csvType = "text/csv; charset=utf-8"
