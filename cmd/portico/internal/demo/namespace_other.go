//go:build !linux

package demo

import (
	"context"
	"errors"
	"io"
)

// ExitUnable is the exit code of a demo that could not set up its scene.
const ExitUnable = 3

// InNamespace needs Linux.
func InNamespace(context.Context, []string, io.Writer) error {
	return &UnableError{errors.New("network namespaces are Linux's")}
}
