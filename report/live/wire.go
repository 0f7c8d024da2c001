package live

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// version is that of the format.
const version = 1

// mostLine is how long a line may be: more than any run has to say in one.
const mostLine = 64 << 20

// Writer writes messages.
type Writer struct{ w io.Writer }

// NewWriter returns one that has begun.
func NewWriter(w io.Writer, b Begin) (*Writer, error) {
	b.Version = version
	out := &Writer{w}
	return out, out.Write(&Message{Begin: &b})
}

// Write writes a message, in one piece.
func (w *Writer) Write(m *Message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.w.Write(append(line, '\n'))
	return err
}

// Reader reads messages.
type Reader struct{ lines *bufio.Scanner }

// NewReader reads the first message.
func NewReader(r io.Reader) (*Reader, *Begin, error) {
	in := &Reader{bufio.NewScanner(r)}
	in.lines.Buffer(nil, mostLine)
	m, err := in.Next()
	switch {
	case err != nil:
		return nil, nil, err
	case m.Begin == nil:
		return nil, nil, errors.New("what is read does not begin as sysprof would")
	case m.Begin.Version != version:
		return nil, nil, fmt.Errorf("sysprof and sysprof-live are of different versions (%d, %d): build them together", m.Begin.Version, version)
	}
	return in, m.Begin, nil
}

// Next reads the next message. The end is io.EOF.
func (r *Reader) Next() (*Message, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	m := new(Message)
	if err := json.Unmarshal(r.lines.Bytes(), m); err != nil {
		return nil, fmt.Errorf("what is read is not sysprof's: %w", err)
	}
	return m, nil
}
