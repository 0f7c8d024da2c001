package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/pprof/profile"
)

// maxProfile is how many bytes a profile may have when it is decompressed. One of sysprof's with all the samples that it
// may have, and a stack for each, has some 40 MB; a file of some kilobytes can be made to fill all memory.
const maxProfile = 512 << 20

// readProfile reads a profile, from stdin if the path is "-".
func readProfile(path string, stdin io.Reader) (*profile.Profile, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	p, err := parse(in, maxProfile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(path), err)
	}
	return p, nil
}

// nameOf is what to call the file of a path.
func nameOf(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// parse reads a profile of at most so many bytes.
func parse(in io.Reader, limit int64) (p *profile.Profile, err error) {
	data, err := readAll(in, limit)
	if err != nil {
		return nil, err
	}
	if isGzip(data) {
		unzipped, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = readAll(unzipped, limit); err != nil {
			return nil, err
		}
		if isGzip(data) { // ParseData would decompress that, too, without a limit
			return nil, errors.New("no profile: it is compressed twice")
		}
	}
	if len(data) == 0 {
		return nil, errors.New("no profile: it is empty")
	}
	if p, err = profile.ParseData(data); err != nil {
		return nil, fmt.Errorf("no profile in pprof format (%w)", err)
	}
	if len(p.SampleType) == 0 {
		return nil, errors.New("no profile: it says of no value what it is")
	}
	tame(p)
	return p, nil
}

// readAll reads all there is, unless it is more than so many bytes.
func readAll(in io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d MB: too big for a profile", limit>>20)
	}
	return data, err
}

// isGzip reports whether data begin as RFC 1952, 2.3.1, says.
func isGzip(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }
