package fleet

// Identity says which store this is. A restored backup has the same id and an
// older feed; a new epoch says that somebody knows.
type Identity struct {
	Store   string // random, made once
	Epoch   int64
	Pending bool // the epoch was opened, and serials are not yet past what nameservers serve
}
