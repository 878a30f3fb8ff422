// Package grid has no code. Its tests prove by simulation (package sim) what the house's
// TCP owes on paths of every kind: the rate that theory and the RFCs promise over a grid
// of loss, round trip, rate and controller; fairness; and that losses, reordering,
// delays and lost acknowledgments cost what they must and no more.
package grid
