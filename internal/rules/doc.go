// Package rules has no code. Its tests hold the rules of the house over the source of
// the whole module, so that nobody has to remember them: which room may import which,
// where the foreign packages stay, that the protocol reads no clock, and how long a
// file may be; ARCHITECTURE.md says why. And that CONFORMANCE.md is complete and true, and
// that assembly leaves the registers as others want them.
//
// A rule looks at files, whatever platform or build tag they are for.
package rules
