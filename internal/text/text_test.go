// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package text

import (
	"slices"
	"strings"
	"testing"
)

// TestShorten counts bytes, as the schema of the status does for ASCII, and never cuts a character in two.
func TestShorten(t *testing.T) {
	for _, tc := range []struct {
		text string
		most int
		want string
	}{
		{"", 10, ""},
		{"exactly 10", 10, "exactly 10"},
		{"more than 10", 10, "more th..."},
		{"ééééé", 9, "ééé..."},
		{"ééééé", 8, "éé..."},
		{"longer", 3, "..."},
	} {
		if got := Shorten(tc.text, tc.most); got != tc.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", tc.text, tc.most, got, tc.want)
		}
	}
}

func TestEnumerate(t *testing.T) {
	for want, things := range map[string][]string{
		"": nil, "a": {"a"}, "a, b": {"a", "b"}, "a, b and 1 more": {"a", "b", "c"}, "a, b and 2 more": {"a", "b", "c", "d"},
	} {
		if got := Enumerate(things, 2); got != want {
			t.Errorf("Enumerate(%q) = %q, want %q", things, got, want)
		}
	}
	things := []string{"a", "b", "c"}
	if Enumerate(things, 1); things[1] != "b" {
		t.Error("the list was changed")
	}
}

func TestShare(t *testing.T) {
	lists := [][]string{{"a1", "a2", "a3", "a4"}, {"b1"}, {"c1", "c2"}}
	for most, want := range map[int][]string{0: nil, 1: {"a1"}, 4: {"a1", "a2", "b1", "c1"}, 9: {"a1", "a2", "a3", "a4", "b1", "c1", "c2"}} {
		if got := Share(lists, most, strings.Compare); !slices.Equal(got, want) {
			t.Errorf("at most %d: %q, want %q", most, got, want)
		}
	}
}
