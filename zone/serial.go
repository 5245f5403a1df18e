package zone

import (
	"time"
)

// Serial is a zone's serial number; it is compared by RFC 1982 only.
type Serial uint32

// Ahead says whether s is greater than t in the sense of RFC 1982 section 3.2.
// For two serials exactly 2^31 apart, where the RFC leaves the answer open, it
// is false both ways round.
func (s Serial) Ahead(t Serial) bool { return int32(s-t) > 0 && s-t != 1<<31 }

// Behind says whether s is less than t in the sense of RFC 1982.
func (s Serial) Behind(t Serial) bool { return t.Ahead(s) }

// SerialStyle says how the next serial of a zone is chosen.
type SerialStyle string

// The serial styles.
const (
	SerialIncrement SerialStyle = "increment" // one more
	SerialDate      SerialStyle = "date"      // YYYYMMDDnn in UTC
	SerialUnix      SerialStyle = "unix"      // seconds since 1970
)

// SerialStyles lists the styles in the order of their documentation.
var SerialStyles = []SerialStyle{SerialIncrement, SerialDate, SerialUnix}

// Next is the serial that follows s at the time now. It is always ahead of s:
// where the style's own value is not (the clock went back, the zone came with a
// serial from the future, a hundred changes in a day), it just counts on.
func (s Serial) Next(style SerialStyle, now time.Time) Serial {
	want := s + 1
	switch now = now.UTC(); style {
	case SerialDate:
		want = Serial(now.Year()*1000000 + int(now.Month())*10000 + now.Day()*100)
	case SerialUnix:
		want = Serial(now.Unix())
	}
	if want.Ahead(s) {
		return want
	}
	return s + 1
}
