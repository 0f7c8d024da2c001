package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"sysprof/profile"
)

// objectReader reads one object as it comes, so that neither its text nor all of what is decoded of it is in memory: rows and
// groups are converted one by one.
//
// A text that is no JSON, or of another format, is said to be that before anything else is found wrong with it, wherever in it
// the format stands. So what is wrong is kept, and the rest is read for its form only.
type objectReader struct {
	in      *json.Decoder
	version json.RawMessage
	format  json.RawMessage
	wrong   error // the first one
	octaves int

	meta      Meta
	overhead  *jsonOverhead
	rows      []profile.Row
	overTime  *jsonOverTime
	inFlight  []profile.Flight
	warnings  jsonList[string]
	kinds     jsonList[profile.Warning] // of the warnings
	groupsBy  []string
	groups    []profile.Group
	groupRows int
	unread    json.RawMessage // groups that stand before groups_by
}

// readObject reads one object, behind which there may be blanks only.
func readObject(from io.Reader) (*profile.Snapshot, Meta, error) {
	text := &limited{from: from, left: maxJSONBytes}
	o := objectReader{in: json.NewDecoder(text)}
	o.in.UseNumber() // what is read for its form only may have numbers that fit into nothing
	err := o.read()
	if err == nil {
		err = o.end(text)
	}
	switch {
	case text.failed != nil:
		return nil, Meta{}, text.failed
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("unexpected end of JSON input")
	}
	var format string
	var version int
	if err == nil {
		err = cmp.Or(unmarshalMember(o.format, &format), unmarshalMember(o.version, &version))
	}
	if err != nil {
		return nil, Meta{}, fmt.Errorf("it is not what --json writes, or not all of it: %w", err)
	}
	if err := checkVersion(format, version); err != nil {
		return nil, Meta{}, err
	}
	return o.result()
}

// unmarshalMember is json.Unmarshal, unless there is no text.
func unmarshalMember(text json.RawMessage, to any) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal(text, to)
}

// read reads all members. What it returns is an error of the form.
func (o *objectReader) read() error {
	first, err := o.in.Token()
	if err != nil {
		return err
	}
	if first == nil {
		return nil
	}
	if first != json.Delim('{') {
		return &json.UnmarshalTypeError{Value: kindOf(first), Type: reflect.TypeFor[map[string]any](), Offset: o.in.InputOffset()}
	}
	for o.in.More() {
		name, err := o.in.Token()
		if err != nil {
			return err
		}
		if err := o.member(name.(string)); err != nil {
			if isForm(err) {
				return err
			}
			if o.wrong == nil {
				o.wrong = err
			}
		}
	}
	_, err = o.in.Token()
	return err
}

// kindOf is what encoding/json calls the kind of a value.
func kindOf(token json.Token) string {
	switch token.(type) {
	case json.Delim:
		return "array"
	case string:
		return "string"
	case bool:
		return "bool"
	}
	return "number"
}

// isForm reports whether text is no JSON, rather than something else than what is wanted.
func isForm(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errRead)
}

// member reads the value of one.
func (o *objectReader) member(name string) error {
	switch name {
	case "format":
		return o.in.Decode(&o.format)
	case "version":
		return o.in.Decode(&o.version)
	case "meta":
		return o.readMeta()
	case "overhead":
		return o.in.Decode(&o.overhead)
	case "rows":
		o.rows = nil
		return at(name, eachOf(o.in, o.row))
	case "over_time":
		return o.in.Decode(&o.overTime)
	case "in_flight":
		return o.readInFlight()
	case "warnings":
		return o.in.Decode(&o.warnings)
	case "warning_kinds":
		return o.in.Decode(&o.kinds)
	case "groups_by":
		return o.in.Decode(&o.groupsBy)
	case "groups":
		if o.groups = nil; o.groupsBy == nil {
			return o.in.Decode(&o.unread)
		}
		return at(name, eachOf(o.in, o.group))
	}
	return skip(o.in)
}

// skip reads a value for its form only.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// at says where something is wrong, unless it is the form, which is so all over.
func at(place string, err error) error {
	if err == nil || isForm(err) {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}

func (o *objectReader) readMeta() error {
	var text json.RawMessage
	if err := o.in.Decode(&text); err != nil {
		return err
	}
	if len(text) > maxMetaBytes {
		return fmt.Errorf("meta is larger than %d MB", maxMetaBytes>>20)
	}
	m := &o.meta
	*m = Meta{}
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("meta: %w", err)
	}
	if m.Duration < 0 || m.CPUs < 0 || m.Threads < 0 || m.Interval < 0 || m.Intervals < 0 {
		return errors.New("meta: a negative duration, or number of CPUs, threads or intervals")
	}
	if len(m.PIDs) == 0 {
		m.PIDs = nil // as a list that is left out
	}
	if len(m.Command) == 0 {
		m.Command = nil
	}
	return nil
}

func (o *objectReader) row(j *jsonRow) error {
	r, err := j.row(&o.octaves)
	if err == nil {
		o.rows = append(o.rows, r)
	}
	return err
}

func (o *objectReader) readInFlight() error {
	var list jsonList[jsonFlight]
	if err := o.in.Decode(&list); err != nil {
		return err
	}
	o.inFlight = nil
	for i := range list {
		f, err := list[i].flight()
		if err != nil {
			return fmt.Errorf("in_flight %d: %w", i, err)
		}
		o.inFlight = append(o.inFlight, f)
	}
	return nil
}

func (o *objectReader) group(j *jsonGroup) error {
	if len(o.groupsBy) > maxGroupFields {
		return nil // which is said
	}
	if o.groupRows += len(j.Rows); o.groupRows > maxGroupRows {
		return fmt.Errorf("there are more than %d rows of groups", maxGroupRows)
	}
	g, err := j.group(o.groupsBy)
	if err != nil {
		return fmt.Errorf("%s: %w", shortened(j.Who), err)
	}
	o.groups = append(o.groups, g)
	return nil
}

// end reads what stands behind an object.
func (o *objectReader) end(text io.Reader) error {
	rest := io.MultiReader(o.in.Buffered(), text)
	var some [512]byte
	for {
		n, err := rest.Read(some[:])
		for _, c := range some[:n] {
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				return fmt.Errorf("invalid character %q after top-level value", rune(c))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// result is what has been read.
func (o *objectReader) result() (*profile.Snapshot, Meta, error) {
	if len(o.groupsBy) > maxGroupFields && o.wrong == nil {
		o.wrong = errors.New("groups_by: there are too many fields")
	}
	if o.wrong == nil && o.unread != nil && o.groupsBy != nil {
		o.wrong = at("groups", eachItem(o.unread, func(item json.RawMessage) error {
			var j jsonGroup
			if err := json.Unmarshal(item, &j); err != nil {
				return err
			}
			return o.group(&j)
		}))
	}
	if o.wrong != nil {
		return nil, Meta{}, o.wrong
	}
	whole := profile.Merge(&profile.Snapshot{Rows: o.rows, InFlight: o.inFlight}) // sorts, and adds the totals up
	whole.Warnings = o.warningsOf()
	if o.groupsBy != nil {
		whole.Groups = profile.NewGroups(o.groupsBy, o.groups)
	}
	var err error
	if o.overTime != nil {
		if o.meta.OverTime, err = o.overTime.timeline(); err != nil {
			return nil, Meta{}, fmt.Errorf("over_time: %w", err)
		}
	}
	if o.overhead != nil {
		if whole.Overhead, err = o.overhead.overhead(); err != nil {
			return nil, Meta{}, fmt.Errorf("overhead: %w", err)
		}
	}
	return whole, o.meta, nil
}

// warningsOf are those of a file. One that gives no kinds, or kinds that are not known here, has its sentences.
func (o *objectReader) warningsOf() (warnings []profile.Warning) {
	for i, text := range o.warnings {
		w := profile.Warning{Kind: profile.Sentence, Text: text}
		if len(o.kinds) == len(o.warnings) && sentences[o.kinds[i].Kind] != nil {
			w = o.kinds[i]
		}
		warnings = append(warnings, w)
	}
	return warnings
}

// eachOf decodes the items of a list and hands them to f, one after the other; null is an empty list. Behind an item that is
// wrong the others are read for their form only.
func eachOf[T any](d *json.Decoder, f func(*T) error) error {
	begin, err := d.Token()
	if err != nil {
		return err
	}
	if begin != json.Delim('[') {
		return notAList(d, begin)
	}
	var wrong error
	var unread json.RawMessage
	for i := 0; d.More(); i++ {
		if i == maxListItems && wrong == nil {
			wrong = fmt.Errorf("there are more than %d items", maxListItems)
		}
		if wrong != nil {
			if err := d.Decode(&unread); err != nil {
				return err
			}
			continue
		}
		item := new(T)
		err := d.Decode(item)
		if err == nil {
			err = f(item)
		}
		if wrong = at("item "+strconv.Itoa(i), err); isForm(err) {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	return wrong
}

// notAList reads a value that begins with a token, and says what it is instead of a list.
func notAList(d *json.Decoder, begin json.Token) error {
	switch begin {
	case nil:
		return nil
	case json.Delim('{'):
		text := "{}"
		for d.More() {
			text = "{…}"
			if err := skip(d); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return err
		}
		return errors.New("want a list, not " + text)
	}
	text, err := marshalText(begin)
	if err != nil {
		return err
	}
	return fmt.Errorf("want a list, not %s", shortened(string(text)))
}

var errRead = errors.New("it can't be read")

// limited reads no more than there may be, and keeps what went wrong.
type limited struct {
	from   io.Reader
	left   int
	failed error
}

func (l *limited) Read(p []byte) (int, error) {
	if l.failed != nil {
		return 0, errRead
	}
	n, err := l.from.Read(p[:min(len(p), l.left+1)])
	if l.left -= n; l.left < 0 {
		err = errTooLarge
	}
	if err != nil && err != io.EOF {
		l.failed, err = err, errRead
	}
	return n, err
}
