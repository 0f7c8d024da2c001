package session

import (
	"bufio"
	"io"
)

// content writes what a file is to hold, the same each time that it is called. It may be much more than is to be in memory at once.
type content func(io.Writer) error

// text is content that is in memory.
func text[T string | []byte](of T) content {
	return func(w io.Writer) error {
		_, err := w.Write([]byte(of))
		return err
	}
}

// to writes it in large pieces, and what is not large at once.
func (c content) to(w io.Writer) error {
	const large = 256 << 10
	b := bufio.NewWriterSize(w, large)
	if err := c(b); err != nil {
		return err
	}
	return b.Flush()
}

// size is how many bytes it is.
func (c content) size() (int64, error) {
	var n byteCount
	err := c(&n)
	return int64(n), err
}

// byteCount counts what is written to it.
type byteCount int64

func (n *byteCount) Write(p []byte) (int, error) {
	*n += byteCount(len(p))
	return len(p), nil
}
