package tcp

// extras are what only some connections ever need. A TCB has none as long as nothing in
// it differs from the default, so that the others do not pay for it.
type extras struct {
	path path
	soft error // the last soft error, until an acknowledgment
	// r1 and r2 are R1 and R2 where they are not the stack's (MUST-21); 0: they are.
	r1, r2 uint8
}

// extras returns t.extra, made if need be.
func (t *TCB) extras() *extras {
	if t.extra == nil {
		t.extra = new(extras)
	}
	return t.extra
}
