package tcp

// extras are what only some connections ever need. A TCB has none as long as nothing in
// it differs from the default, so that the others do not pay for it.
type extras struct {
	path path
}

// extras returns t.extra, made if need be.
func (t *TCB) extras() *extras {
	if t.extra == nil {
		t.extra = new(extras)
	}
	return t.extra
}
