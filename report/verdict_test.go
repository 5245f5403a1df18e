package report

import "testing"

func TestVerdictIsTheWorstOfWhatHappened(t *testing.T) {
	item := func(c Class, a Action, o Outcome) Item { return Item{Class: c, Action: a, Outcome: o} }
	ok, done := item(OK, None, ""), item(Missing, Add, Done)
	foreign := item(Foreign, None, "")
	tests := []struct {
		name                    string
		servers                 []Server
		looked, dryRun, applied Exit
	}{
		{"agreement", []Server{{Complete: true, Items: []Item{ok}}}, 0, 0, 0},
		{"a planned step", []Server{{Complete: true, Items: []Item{item(Missing, Add, Planned)}}}, 3, 3, 0},
		{"a step done", []Server{{Complete: true, Items: []Item{done}}}, 3, 0, 0},
		{"a foreign zone on warn", []Server{{Complete: true, Items: []Item{foreign}}}, 3, 0, 0},
		{"a restored copy", []Server{{Complete: true, Items: []Item{{Class: Foreign, Action: None, Attributes: []string{Protected}}}}}, 0, 0, 0},
		{"an ignored zone", []Server{{Complete: true, Items: []Item{{Class: Foreign, Attributes: []string{Ignored}}}}}, 0, 0, 0},
		{"somebody's marker", []Server{{Complete: true, Items: []Item{{Class: Foreign, Attributes: []string{MarkerZone}}}}}, 0, 0, 0},
		{"a withheld step", []Server{{Complete: true, Items: []Item{item(Foreign, Delete, Withheld)}}}, 3, 5, 5},
		{"a dropped step", []Server{{Complete: true, Items: []Item{item(Foreign, Delete, Dropped)}}}, 3, 6, 6},
		{"a failed step", []Server{{Complete: true, Items: []Item{item(Missing, Add, Failed), item(Foreign, Delete, Withheld)}}}, 3, 4, 4},
		{"an unknown zone", []Server{{Complete: true, Items: []Item{item(Unknown, None, "")}}}, 4, 4, 4},
		{"a zone that the server cannot have", []Server{{Complete: true, Items: []Item{item(Missing, None, "")}}}, 3, 4, 4},
		{"a zone that cannot be put right", []Server{{Complete: true, Items: []Item{item(Misconfigured, None, "")}}}, 3, 4, 4},
		{"all writes withheld", []Server{{Complete: true, Withheld: "marker"}}, 3, 5, 5},
		{"all writes withheld, a zone unknown", []Server{{Complete: true, Withheld: "marker", Items: []Item{item(Unknown, None, "")}}}, 4, 5, 5},
		{"all but adds withheld, a zone unknown", []Server{{Complete: true, Withheld: "marker", Allowed: []Action{Add}, Items: []Item{item(Unknown, None, "")}}}, 4, 4, 4},
		{"a server lost", []Server{{Error: "x"}, {Complete: true, Items: []Item{done}}}, 4, 4, 4},
		{"an incomplete inventory", []Server{{}, {Complete: true}}, 4, 4, 4},
		{"all servers lost", []Server{{Error: "x"}, {Error: "x"}}, 1, 1, 1},
		{"the only server busy", []Server{{Error: "x", Busy: true}}, 11, 11, 11},
		{"one of two busy", []Server{{Error: "x", Busy: true}, {Complete: true}}, 4, 4, 4},
		{"both busy", []Server{{Error: "x", Busy: true}, {Error: "x", Busy: true}}, 4, 4, 4},
		{"one busy and one lost", []Server{{Error: "x", Busy: true}, {Error: "x"}}, 1, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Report{Servers: tt.servers}
			for mode, want := range map[Mode]Exit{Looked: tt.looked, DryRun: tt.dryRun, Applied: tt.applied} {
				if got := r.Verdict(mode); got != want {
					t.Errorf("mode %d: exit %d, want %d", mode, got, want)
				}
			}
		})
	}
}
