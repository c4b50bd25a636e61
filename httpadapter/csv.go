package httpadapter

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/instant"
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

// csvLines are lines as RFC 4180 has them. Package csv would end lines like this too, but then drop every carriage return of a text.
type csvLines struct {
	text []byte
	open bool // a line, with a cell
}

func (l *csvLines) next() {
	if l.open {
		l.text = append(l.text, ',')
	}
	l.open = true
}

// cell appends a text of ours.
func (l *csvLines) cell(text string) {
	l.next()
	if !strings.ContainsAny(text, "\",;\r\n\t ") {
		l.text = append(l.text, text...)
		return
	}
	l.text = append(append(append(l.text, '"'), strings.ReplaceAll(text, `"`, `""`)...), '"')
}

// inert appends a text of somebody else's.
func (l *csvLines) inert(text string) { l.cell(inert(text)) }

func (l *csvLines) number(d decimal.Decimal) {
	l.next()
	l.text = humanhours.AppendDecimal(l.text, d)
}

// nullNumber is empty where there is none, as nullInteger is.
func (l *csvLines) nullNumber(d decimal.NullDecimal) {
	if !d.Valid {
		l.next()
		return
	}
	l.number(d.Decimal)
}

func (l *csvLines) integer(n int64) {
	l.next()
	l.text = strconv.AppendInt(l.text, n, 10)
}

func (l *csvLines) nullInteger(n humanhours.NullInt64) {
	if !n.Valid {
		l.next()
		return
	}
	l.integer(n.Int64)
}

func (l *csvLines) flag(set bool) {
	l.next()
	l.text = strconv.AppendBool(l.text, set)
}

func (l *csvLines) instant(t time.Time) {
	l.next()
	if t.IsZero() {
		return
	}
	l.text = instant.Append(l.text, t.UnixMilli())
}

func (l *csvLines) end() {
	l.text, l.open = append(l.text, "\r\n"...), false
}

// reportCSV is a report: a header, and a line for each row.
func reportCSV(r *humanhours.Report) []byte {
	var lines csvLines
	for _, d := range r.GroupBy {
		lines.inert(string(d))
	}
	lines.cell("currency")
	lines.cell("events")
	columns := &humanhours.ReportSums{}
	if r.Range {
		columns.Conservative, columns.Optimistic = &humanhours.Savings{}, &humanhours.Savings{}
	}
	for _, sum := range amounts(columns) {
		lines.cell(sum.name)
	}
	lines.end()
	for i := range r.Rows {
		row := &r.Rows[i]
		for _, v := range row.Values {
			if v.Kind == humanhours.TextValue {
				lines.inert(v.Text)
			} else {
				lines.cell(v.Text)
			}
		}
		lines.inert(row.Currency)
		lines.integer(row.Events)
		for _, sum := range amounts(&row.ReportSums) {
			lines.number(sum.value)
		}
		lines.end()
	}
	return lines.text
}

func csvReply(file string, body []byte) reply {
	return reply{status: http.StatusOK, contentType: csvType, file: file, body: body}
}

const csvType = "text/csv; charset=utf-8"
