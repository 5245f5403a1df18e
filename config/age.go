package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Age is how long something is kept, written as 90d, 36h or 0, which is for ever.
type Age time.Duration

const day = 24 * time.Hour

// ParseAge reads an age.
func ParseAge(s string) (Age, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not an age: want days as 90d, or 36h", s)
		}
		return Age(time.Duration(n) * day), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not an age: want days as 90d, or 36h", s)
	}
	return Age(d), nil
}

// String is the age in days where it is whole ones.
func (a Age) String() string {
	switch d := time.Duration(a); {
	case d == 0:
		return "0"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	default:
		return d.String()
	}
}

// MarshalText is String.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
