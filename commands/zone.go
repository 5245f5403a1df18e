package commands

import (
	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
)

func newZoneCmd(a *App) *cobra.Command {
	return group("zone", "Create, import, list and delete zones",
		`Creates, imports, shows, exports and deletes zones. A zone is in one pool or
several, and so on the nameservers of those pools. Deleting a zone keeps it for a
while: zone undelete brings it back.`,
		newZoneCreateCmd(a), newZoneListCmd(a), newZoneShowCmd(a), newZoneSetCmd(a), newZoneDeleteCmd(a), newZoneUndeleteCmd(a),
		newZoneImportCmd(a), newZoneExportCmd(a), newZoneCheckCmd(a), newZoneAdoptCmd(a), newZoneHistoryCmd(a), newZoneRollbackCmd(a))
}

// zoneColumns show zones.
var zoneColumns = render.List[fleet.Zone]{
	Nothing: "there are no such zones",
	Columns: []render.Column[fleet.Zone]{
		{Name: "zone", Value: func(z fleet.Zone) any { return z.Name }},
		{Name: "serial", Value: func(z fleet.Zone) any { return uint32(z.Edition.Serial) }},
		{Name: "records", Value: func(z fleet.Zone) any { return z.Edition.Records }},
		{Name: "pools", Value: func(z fleet.Zone) any { return z.Pools }},
		{Name: "changed", Value: func(z fleet.Zone) any { return z.Edition.Changed }},
		{Name: "rrsets", Value: func(z fleet.Zone) any { return z.Edition.RRsets }, Show: render.WideOnly},
		{Name: "octets", Value: func(z fleet.Zone) any { return z.Edition.Octets }, Show: render.WideOnly},
		{Name: "signed", Value: func(z fleet.Zone) any { return z.Edition.Signed }, Show: render.WideOnly},
		{Name: "serial_style", Value: func(z fleet.Zone) any { return string(z.SerialStyle) }, Show: render.WideOnly},
		{Name: "priority", Value: func(z fleet.Zone) any { return z.Priority }, Show: render.WideOnly},
		{Name: "group", Value: func(z fleet.Zone) any { return z.Group }, Show: render.WideOnly},
		{Name: "created", Value: func(z fleet.Zone) any { return z.Created }, Show: render.WideOnly},
		{Name: "deleted", Value: func(z fleet.Zone) any { return z.Deleted }, Show: render.WideOnly},
		{Name: "purged", Value: func(z fleet.Zone) any { return z.Purged }, Show: render.DataOnly},
	},
}
