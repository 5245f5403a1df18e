package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of octets, written as 1048576, 512KiB, 64MiB or 2GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	octets int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	number, unit := s, int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.octets
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size: want octets, or a number with KiB, MiB or GiB", s)
	}
	return Size(n * unit), nil
}

// String is the size in the greatest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.octets == 0 {
			return strconv.FormatInt(int64(s)/u.octets, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
