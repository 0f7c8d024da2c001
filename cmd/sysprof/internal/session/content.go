package session

import "io"

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
	p := collector{to: w}
	if err := c(&p); err != nil {
		return err
	}
	return p.flush()
}

// collector collects what is written, until that is large. It takes no more memory than there is to collect: most of what is
// written again and again, as intervals are, is small.
type collector struct {
	to      io.Writer
	waiting []byte
}

func (p *collector) Write(more []byte) (int, error) {
	const large = 256 << 10
	if len(p.waiting) == 0 && len(more) >= large/8 {
		return p.to.Write(more) // as it comes: who writes that much collects it himself
	}
	p.waiting = append(p.waiting, more...)
	if len(p.waiting) < large {
		return len(more), nil
	}
	return len(more), p.flush()
}

func (p *collector) flush() error {
	if len(p.waiting) == 0 {
		return nil
	}
	_, err := p.to.Write(p.waiting)
	p.waiting = p.waiting[:0]
	return err
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
