package report

import (
	"os"
	"regexp"
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
		if text := sentence(&w); text == string(w.Kind) {
			t.Errorf("%s has no words", w.Kind)
		}
	}
}
