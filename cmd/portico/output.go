package main

import (
	"errors"
	"fmt"
	"os"
)

// outFile is a file to be written anew, that keeps what was in it until there is something to
// write: a command that comes to nothing takes nobody's file away.
type outFile struct {
	file  *os.File
	begun bool
}

func createFile(path string) (*outFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	return &outFile{file: file}, err
}

// Write implements io.Writer. A Write of nothing begins, too.
func (o *outFile) Write(p []byte) (int, error) {
	if !o.begun {
		// What is no regular file, a pipe for one, has nothing to keep.
		if info, err := o.file.Stat(); err == nil && info.Mode().IsRegular() {
			if err := o.file.Truncate(0); err != nil {
				return 0, err
			}
		}
		o.begun = true
	}
	return o.file.Write(p)
}

func (o *outFile) Close() error { return o.file.Close() }

// createPCAP creates the file of a capture.
func createPCAP(path string) (*outFile, error) {
	if path == "-" {
		return nil, errors.New("cannot write the capture: - names no file: choose one, or /dev/stdout, with --pcap")
	}
	file, err := createFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write the capture: %w: choose another file with --pcap", err)
	}
	return file, nil
}
