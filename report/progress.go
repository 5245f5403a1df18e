package report

// Progress is how far a long run has come on one server.
type Progress struct {
	Server      string
	Phase       string // "inventory", "questions", "adds", "transfers", "deletions"
	Done, Total int    // Total 0: not known
	Note        string
}
