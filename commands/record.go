package commands

import (
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

func newRecordCmd(a *App) *cobra.Command {
	return group("record", "Change and list the records of a zone",
		`Changes and lists the records of a zone. NAME is relative to the zone unless it
ends in a dot; @ is the zone itself. DATA is one record in the form of zone files,
and names in it are relative to the zone as well unless they end in a dot. TXT
text without quotes is one text, however long.

A change is checked as a whole, gets a new serial, and is on the way to the
nameservers when the command ends. Zones that arrived signed cannot be edited.`,
		newRecordSetCmd(a), newRecordAddCmd(a), newRecordDeleteCmd(a), newRecordListCmd(a), newRecordApplyCmd(a))
}

// changeFlags are those of every command that changes a zone's content.
type changeFlags struct {
	ifSerial int64
	comment  string
}

func (f *changeFlags) bind(c *cobra.Command) {
	c.Flags().Int64Var(&f.ifSerial, "if-serial", -1, "refuse unless the zone has this `serial`")
	c.Flags().StringVar(&f.comment, "comment", "", "a `text` for the zone's history")
}

func (a *App) changeMeta(f changeFlags) (edit.Meta, error) {
	m := a.meta(f.comment)
	if f.ifSerial >= 0 {
		if f.ifSerial > math.MaxUint32 {
			return m, usagef("", "--if-serial %d is more than 4294967295", f.ifSerial)
		}
		s := zone.Serial(f.ifSerial)
		m.IfSerial = &s
	}
	return m, nil
}

// ttlFlag reads --ttl: seconds, or as in zone files 1h30m; "" is none.
func ttlFlag(text string) (*uint32, error) {
	if text == "" {
		return nil, nil
	}
	ttl, err := zonefile.ParseTTL(text)
	if err != nil {
		return nil, usagef("write seconds, or 1h30m, 1d, 1w", "--ttl: %v", err)
	}
	return &ttl, nil
}

// parseOp makes a step of a record edit of what a person typed.
func (a *App) parseOp(verb edit.Verb, z zone.Name, name, typ string, data []string) (edit.Op, error) {
	op := edit.Op{Verb: verb}
	var err error
	if op.Owner, err = parseOwner(name, z); err != nil {
		return op, err
	}
	if typ == "" {
		return op, nil
	}
	if op.Type, err = zone.ParseType(typ); err != nil {
		return op, usagef("", "%v", err)
	}
	for _, text := range data {
		if err := a.checkTarget(op.Type, text, z); err != nil {
			return op, err
		}
		wire, err := zonefile.ParseRdata(op.Type, text, z)
		if err != nil {
			return op, usagef("", "%v", err)
		}
		op.Data = append(op.Data, wire)
	}
	return op, nil
}

// targets says which types' data ends in the name of another host.
func targets(t zone.Type) bool {
	switch t {
	case zone.TypeNS, zone.TypeCNAME, zone.TypeDNAME, zone.TypePTR, zone.TypeMX, zone.TypeSRV:
		return true
	}
	return false
}

// checkTarget refuses the name of a host that would get the zone's name twice,
// and remarks on one that reads as if it were absolute.
func (a *App) checkTarget(t zone.Type, text string, z zone.Name) error {
	words := strings.Fields(text)
	if !targets(t) || len(words) == 0 || strings.HasPrefix(text, `\#`) {
		return nil
	}
	host := words[len(words)-1]
	if err := relativeTwice(host, z); err != nil {
		return err
	}
	if n, absolute, err := zone.ParseRelative(host, z); err == nil && !absolute && strings.Contains(host, ".") {
		a.warn("", fmt.Sprintf("%s %s is relative and becomes %s; end it in a dot if it is whole", t, host, n))
	}
	return nil
}
