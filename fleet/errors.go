package fleet

import "errors"

// Errors of the store that callers tell apart with errors.Is.
var (
	ErrConflict   = errors.New("changed by somebody else meanwhile")
	ErrExists     = errors.New("exists already")
	ErrNoZone     = errors.New("no such zone")
	ErrNoPool     = errors.New("no such pool")
	ErrNoServer   = errors.New("no such server")
	ErrNoKey      = errors.New("no such TSIG key")
	ErrNotFound   = errors.New("not there, or not kept any more")
	ErrNoCopy     = errors.New("no such copy in quarantine")
	ErrInUse      = errors.New("still in use")
	ErrPurged     = errors.New("its content was purged")
	ErrStagedGone = errors.New("staged content has expired")
	ErrFeedGone   = errors.New("that part of the change feed was compacted")
	ErrLeaseLost  = errors.New("the lease is held by another process")
	ErrCorrupt    = errors.New("malformed row in the database")
)

// CorruptHint is the remedy for ErrCorrupt.
const CorruptHint = "the database was damaged or changed by hand: restore a backup, or delete the zone and import it again"
