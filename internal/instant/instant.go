// Package instant writes instants the way events carry them, several times faster than package time, which looks at its layout anew each time.
package instant

import "time"

// Layout is RFC 3339 in UTC, always with three decimals.
const Layout = "2006-01-02T15:04:05.000Z07:00"

// Append appends the instant of a Unix time in milliseconds, in Layout.
func Append(dst []byte, ms int64) []byte {
	const day = 24 * 60 * 60 * 1000
	days, rest := ms/day, ms%day
	if rest < 0 {
		days, rest = days-1, rest+day
	}
	year, month, date := civil(days)
	if year < 0 || year > 9999 {
		return time.UnixMilli(ms).UTC().AppendFormat(dst, Layout)
	}
	dst = append(appendDate(dst, year, month, date), 'T')
	ofDay := uint32(rest)
	second, milli := ofDay/1000, ofDay%1000
	minute := second / 60
	second, hour := second%60, minute/60
	minute %= 60
	dst = append(dst, digit(hour/10), digit(hour), ':', digit(minute/10), digit(minute), ':', digit(second/10), digit(second), '.')
	return append(dst, digit(milli/100), digit(milli/10), digit(milli), 'Z')
}

// AppendDate appends the day, in UTC, that a Unix time in milliseconds is in, as YYYY-MM-DD.
func AppendDate(dst []byte, ms int64) []byte {
	const day = 24 * 60 * 60 * 1000
	days := ms / day
	if ms%day < 0 {
		days--
	}
	year, month, date := civil(days)
	if year < 0 || year > 9999 {
		return time.UnixMilli(ms).UTC().AppendFormat(dst, time.DateOnly)
	}
	return appendDate(dst, year, month, date)
}

func appendDate(dst []byte, y, m, d int64) []byte {
	year, month, date := uint32(y), uint32(m), uint32(d) // which divide faster
	return append(dst, digit(year/1000), digit(year/100), digit(year/10), digit(year), '-', digit(month/10), digit(month), '-', digit(date/10), digit(date))
}

func digit(n uint32) byte { return byte('0' + n%10) }

// civil is the Gregorian date of a day, counted from 1970-01-01. Years are taken to begin in March, so that the leap day is their last, and
// counted in eras of 400 years, which all have the same number of days.
func civil(days int64) (year, month, date int64) {
	const era = 146_097 // days
	days += 719_468     // from 0000-03-01
	n := days / era
	if days < 0 {
		n = (days - era + 1) / era
	}
	inEra := uint32(days - n*era)
	yearOfEra := (inEra - inEra/1460 + inEra/36_524 - inEra/146_096) / 365
	dayOfYear := inEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	m := (5*dayOfYear + 2) / 153 // March is 0
	year, month, date = int64(yearOfEra)+n*400, int64(m+3), int64(dayOfYear-(153*m+2)/5+1)
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, date
}
