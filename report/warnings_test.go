package report

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"sysprof/profile"
)

// TestEveryWarningHasWords reads the kinds from where they are declared.
func TestEveryWarningHasWords(t *testing.T) {
	source, err := os.ReadFile("../profile/warning.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`WarningKind = "(.+)"`).FindAllSubmatch(source, -1)
	if len(kinds) != len(sentences)+1 { // all but Sentence
		t.Errorf("%d kinds are declared and %d have words", len(kinds), len(sentences))
	}
	for _, kind := range kinds {
		w := profile.Warning{Kind: profile.WarningKind(kind[1]), Text: "its text"}
		text := sentence(&w)
		if text == string(w.Kind) {
			t.Errorf("%s has no words", w.Kind)
		}
		more := profile.Warning{Kind: w.Kind, Text: w.Text, Share: 0.5, Count: 7, ID: 3, LowNs: 2, HighNs: 9_000}
		_, brief := briefly[w.Kind]
		if hasFigures := sentence(&more) != text; hasFigures != brief {
			t.Errorf("%s has figures: %v, and words without figures: %v", w.Kind, hasFigures, brief)
		}
	}
	if digits := regexp.MustCompile(`\d`); slices.ContainsFunc(slices.Collect(maps.Values(briefly)), digits.MatchString) {
		t.Error("there are figures among the words without figures")
	}
}
