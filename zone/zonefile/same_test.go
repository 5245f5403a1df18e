package zonefile

import "testing"

func TestTrickyZonesReadAsNamedReadsThem(t *testing.T) {
	t.Parallel()
	if compilezone(t) == "" {
		return
	}
	for file, origin := range map[string]string{
		"types.zone": "example.test.", "syntax.zone": "example.test.", "generate.zone": "example.test.", "include.zone": "example.test.",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			res := namedSame(t, origin, "testdata/"+file)
			roundTrip(t, res.Snapshot)
		})
	}
}
