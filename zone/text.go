package zone

// MarshalText is the presentation form, for JSON and YAML.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads the presentation form.
func (n *Name) UnmarshalText(b []byte) error {
	m, err := ParseName(string(b))
	if err != nil {
		return err
	}
	*n = m
	return nil
}
