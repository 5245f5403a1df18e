package fleetfile

import (
	"fmt"
	"reflect"
	"strings"
)

// Kind of a thing in the document.
type Kind string

// The kinds.
const (
	KindPool   Kind = "pool"
	KindKey    Kind = "key"
	KindServer Kind = "server"
)

// Action is what makes the database like the document.
type Action string

// The actions. Extra is no action: the thing is in the database only.
const (
	Add    Action = "add"
	Change Action = "change"
	Extra  Action = "remove"
)

// Field is one that differs. A list is its elements between commas.
type Field struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Difference between the database and the document: one thing.
type Difference struct {
	Kind   Kind
	Name   string
	Action Action
	Fields []Field // of a Change
}

// Compare says what is different between what there is and what is wanted, both
// as Of would have written them, in the order in which it can be carried out:
// pools before the keys and servers that name them, and what goes last, the other
// way round.
func Compare(have, want Document) []Difference {
	pools, noPools := compare(KindPool, have.Pools, want.Pools, func(p Pool) string { return p.Name })
	keys, noKeys := compare(KindKey, have.Keys, want.Keys, func(k Key) string { return k.Name })
	servers, noServers := compare(KindServer, have.Servers, want.Servers, func(s Server) string { return s.Name })
	var out []Difference
	for _, list := range [][]Difference{pools, keys, servers, noServers, noKeys, noPools} {
		out = append(out, list...)
	}
	return out
}

// compare compares the things of one kind, whose names it gets by name.
func compare[T any](kind Kind, have, want []T, name func(T) string) (change, extra []Difference) {
	old := map[string]T{}
	for _, h := range have {
		old[name(h)] = h
	}
	for _, w := range want {
		h, ok := old[name(w)]
		delete(old, name(w))
		if !ok {
			change = append(change, Difference{Kind: kind, Name: name(w), Action: Add})
		} else if fields := differing(h, w); len(fields) > 0 {
			change = append(change, Difference{Kind: kind, Name: name(w), Action: Change, Fields: fields})
		}
	}
	for _, h := range have {
		if _, ok := old[name(h)]; ok {
			extra = append(extra, Difference{Kind: kind, Name: name(h), Action: Extra})
		}
	}
	return change, extra
}

// once are fields that say how a thing is made, not what it is.
var once = map[string]bool{"secret-file": true, "control-key-file": true, "control-cert-dir": true, "new": true}

// differing is the fields in which two things of a kind differ.
func differing(have, want any) []Field {
	h, w := reflect.ValueOf(have), reflect.ValueOf(want)
	var out []Field
	for i := range h.NumField() {
		name, _, _ := strings.Cut(h.Type().Field(i).Tag.Get("yaml"), ",")
		from, to := text(h.Field(i)), text(w.Field(i))
		if from != to && !once[name] {
			out = append(out, Field{name, from, to})
		}
	}
	return out
}

func text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if list, ok := v.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Interface())
}
