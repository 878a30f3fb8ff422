package tcp

// extras are what only some connections ever learn. A TCB has none as long as nothing is
// out of the ordinary, so that the others do not pay for it.
type extras struct {
	path path
	soft error // the last soft error, until an acknowledgment
}

// extras returns t.extra, made if need be.
func (t *TCB) extras() *extras {
	if t.extra == nil {
		t.extra = new(extras)
	}
	return t.extra
}
