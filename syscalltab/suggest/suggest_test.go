package suggest

import "testing"

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"open", "open", 0},
		{"opne", "open", 1},
		{"opn", "open", 1},
		{"opeen", "open", 1},
		{"opon", "open", 1},
		{"pone", "open", 2},
		{"abcd", "dcba", 3}, // more than the limit is limit+1
		{"read", "readahead", 3},
	}
	for _, tt := range tests {
		t.Run(tt.a+" "+tt.b, func(t *testing.T) {
			if got := distance(tt.a, tt.b, 2); got != tt.want {
				t.Errorf("distance = %d, want %d", got, tt.want)
			}
			if got := distance(tt.b, tt.a, 2); got != tt.want {
				t.Errorf("the other way round %d, want %d", got, tt.want)
			}
		})
	}
}
