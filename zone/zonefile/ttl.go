package zonefile

import (
	"errors"
	"math"
)

var (
	errNotPeriod = errors.New("not a number of seconds, nor one like 1h30m")
	errRange32   = errors.New("more than 4294967295")
)

// MaxTTL is the greatest TTL (RFC 2181 section 8).
const MaxTTL = math.MaxInt32

// ParseTTL reads a time: seconds, or numbers with the units w, d, h, m and s in
// either case, as 1w2d or 1h30m. A TTL over MaxTTL is for the caller to refuse.
func ParseTTL(text string) (uint32, error) { return parsePeriod([]byte(text)) }

func parsePeriod(b []byte) (uint32, error) {
	var sum, n uint64
	digits, units := false, false
	for _, c := range b {
		if c >= '0' && c <= '9' {
			n = n*10 + uint64(c-'0')
			digits = true
			if n > math.MaxUint32 {
				return 0, errRange32
			}
			continue
		}
		var unit uint64
		switch c | 0x20 {
		case 'w':
			unit = 7 * 24 * 3600
		case 'd':
			unit = 24 * 3600
		case 'h':
			unit = 3600
		case 'm':
			unit = 60
		case 's':
			unit = 1
		}
		if unit == 0 || !digits {
			return 0, errNotPeriod
		}
		if sum += n * unit; sum > math.MaxUint32 {
			return 0, errRange32
		}
		n, digits, units = 0, false, true
	}
	switch {
	case !digits && !units, digits && units: // nothing, or digits behind the last unit
		return 0, errNotPeriod
	case units:
		return uint32(sum), nil
	}
	return uint32(n), nil
}
