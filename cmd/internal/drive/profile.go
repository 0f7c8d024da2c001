package drive

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	pprof "github.com/google/pprof/profile"
)

// Profiled runs sysprof --pprof with these flags on a command. It returns the file, what is in it, and what
// the command wrote.
func Profiled(t *testing.T, flags []string, command ...string) (file string, p *pprof.Profile, stdout string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "profile.pb.gz")
	stdout = Succeed(t, Plain(t, slices.Concat([]string{"--pprof", file}, flags, command)...))
	return file, ParseProfile(t, file), stdout
}

// ParseProfile reads a profile, which has to be a valid one.
func ParseProfile(t *testing.T, file string) *pprof.Profile {
	t.Helper()
	data, err := os.Open(file)
	Check(t, err)
	defer data.Close()
	p, err := pprof.Parse(data)
	Check(t, err)
	Check(t, p.CheckValid())
	return p
}

// Frames are the functions of a sample, the call first, of these mappings only, if any are named.
func Frames(s *pprof.Sample, of ...string) (names []string) {
	for _, l := range s.Location {
		if len(of) > 0 && (l.Mapping == nil || !slices.Contains(of, l.Mapping.File)) {
			continue
		}
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// MadeBy adds up a value of the samples of a call that function makes, itself or through others.
func MadeBy(p *pprof.Profile, call, function string, value int) (sum int64) {
	for _, s := range p.Sample {
		if names := Frames(s); names[0] == call && slices.Contains(names, function) {
			sum += s.Value[value]
		}
	}
	return sum
}

// ValueOf is the index of a sample type.
func ValueOf(t *testing.T, p *pprof.Profile, name string) int {
	t.Helper()
	i := slices.IndexFunc(p.SampleType, func(v *pprof.ValueType) bool { return v.Type == name })
	if i < 0 {
		t.Fatalf("there is no sample type %s", name)
	}
	return i
}
