package httpadapter

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// inert makes a cell of text that a spreadsheet would run as a formula into one that it shows. A spreadsheet of another place splits lines at semicolons or
// tabs, so each part that could be a cell counts. Numbers need no such thing.
func inert(text string) string {
	if !strings.ContainsAny(text, "=+-@＝＋－＠\t\r") {
		return text
	}
	var b strings.Builder
	start := true
	for i, c := range text {
		switch {
		case strings.ContainsRune("=+-@＝＋－＠", c) && start, (c == '\t' || c == '\r') && i == 0:
			b.WriteByte('\'')
			start = c == '\t' || c == '\r'
		case strings.ContainsRune(";|\t\r\n", c):
			start = true
		case c != ' ':
			start = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

// appendCSV appends a line as RFC 4180 has it. Package csv would end lines like this too, but then drop every carriage return of a text.
func appendCSV(dst []byte, cells []string) []byte {
	for i, cell := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !strings.ContainsAny(cell, "\",;\r\n\t ") {
			dst = append(dst, cell...)
			continue
		}
		dst = append(append(append(dst, '"'), strings.ReplaceAll(cell, `"`, `""`)...), '"')
	}
	return append(dst, "\r\n"...)
}

// reportCSV is a report as RFC 4180 has it: a header, and a line for each row.
func reportCSV(r *humanhours.Report) []byte {
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
	lines := appendCSV(nil, record)
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
		lines = appendCSV(lines, record)
	}
	return lines
}

func plainNumber(d decimal.Decimal) string { return string(humanhours.AppendDecimal(nil, d)) }

func csvReply(file string, body []byte) reply {
	return reply{status: http.StatusOK, contentType: csvType, file: file, body: body}
}

const csvType = "text/csv; charset=utf-8"
