package zone

// Severity of a fault.
type Severity string

// An error keeps a zone from being served; a warning is worth a look.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Codes of faults. They are stable: scripts may match them.
const (
	FaultOutside       = "out-of-zone"
	FaultMeta          = "meta-type"
	FaultTTL           = "ttl-too-big"
	FaultRdata         = "malformed-rdata"
	FaultLong          = "record-too-long"
	FaultSOAPlace      = "soa-not-at-apex"
	FaultSOACount      = "several-soa"
	FaultNoNS          = "no-ns-at-apex"
	FaultCNAMEAndOther = "cname-and-other-data"
	FaultSeveral       = "several-of-singleton"
	FaultDNAMEAndNS    = "dname-and-delegation"
	FaultGlue          = "missing-glue"
	FaultSiblingGlue   = "missing-sibling-glue"
	FaultNoAddress     = "target-without-address"
	FaultToCNAME       = "target-is-cname"
	FaultBelowDNAME    = "target-below-dname"
	FaultOccluded      = "occluded"
	FaultDSAtApex      = "ds-at-apex"
	FaultDSAlone       = "ds-without-ns"
	FaultBigSet        = "large-rrset"
	FaultWildcardNS    = "wildcard-ns"
)

// Fault is something wrong with one RRset, or with a zone.
type Fault struct {
	Owner     Name
	Type      Type // 0: the owner as a whole
	Severity  Severity
	Code      string
	Msg, Hint string
}

// ID is that of the RRset; its Covers is always 0.
func (f Fault) ID() ID { return ID{Owner: f.Owner.Key(), Type: f.Type} }

// Relaxable says whether the fault is one of coexistence or glue, which a lax
// import lets pass as a warning.
func (f Fault) Relaxable() bool {
	switch f.Code {
	case FaultCNAMEAndOther, FaultSeveral, FaultDNAMEAndNS, FaultGlue, FaultNoAddress, FaultToCNAME, FaultBelowDNAME:
		return f.Type != TypeSOA
	}
	return false
}
