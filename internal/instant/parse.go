package instant

// Parse reads what Append writes for a year of four digits, as Unix milliseconds; false: it is something else.
func Parse(text []byte) (ms int64, ok bool) {
	if !formed(text, "0000-00-00T00:00:00.000Z") {
		return 0, false
	}
	days, ok := parseDate(text)
	hour, minute, second := number(text[11:13]), number(text[14:16]), number(text[17:19])
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return ((days*24+hour)*60+minute)*60_000 + second*1000 + number(text[20:23]), true
}

// ParseDate likewise reads what AppendDate writes.
func ParseDate(text []byte) (ms int64, ok bool) {
	if !formed(text, "0000-00-00") {
		return 0, false
	}
	days, ok := parseDate(text)
	return days * 24 * 60 * 60 * 1000, ok
}

// formed reports whether a text has digits where a form has zeros, and else the same.
func formed(text []byte, form string) bool {
	if len(text) != len(form) {
		return false
	}
	for i, c := range text {
		if digit := form[i] == '0'; digit && (c < '0' || c > '9') || !digit && c != form[i] {
			return false
		}
	}
	return true
}

func number(digits []byte) int64 {
	n := int64(0)
	for _, c := range digits {
		n = 10*n + int64(c-'0')
	}
	return n
}

// parseDate returns the day that a text begins with, counted from 1970-01-01; false: there is no such day.
func parseDate(text []byte) (days int64, ok bool) {
	year, month, date := number(text[0:4]), number(text[5:7]), number(text[8:10])
	if month < 1 || month > 12 || date < 1 {
		return 0, false
	}
	days = daysOf(year, month, date)
	y, m, d := civil(days)
	return days, y == year && m == month && d == date
}

// daysOf is the inverse of civil.
func daysOf(year, month, date int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	n := year / 400
	if year < 0 {
		n = (year - 399) / 400
	}
	yearOfEra := year - n*400
	dayOfYear := (153*(month-3)+2)/5 + date - 1
	return n*146_097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719_468
}
