// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"strings"
	"testing"
)

func TestTemplatesThatCouldRunForEver(t *testing.T) {
	for name, c := range map[string]struct{ text, problem string }{
		"nothing":                          {"", ""},
		"fields":                           {"sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)", ""},
		"a range over a field":             {"<<range .GroupBySlice>><<.>>,<<end>>", ""},
		"a range with variables":           {"<<range $i, $l := .GroupBySlice>><<$l>><<else>>x<<end>>", ""},
		"an index":                         {`<<index .LabelValuesByName "namespace">>`, ""},
		"a range over a number":            {"<<range 9000000000>><<end>>", "goes over a field"},
		"one in an if":                     {"<<if .Series>><<range 9>><<end>><<end>>", "goes over a field"},
		"one in an else":                   {"<<with .Series>><<else>><<range 9>><<end>><<end>>", "goes over a field"},
		"one in another":                   {"<<range .GroupBySlice>><<range 9>><<end>><<end>>", "goes over a field"},
		"a range over a variable":          {"<<$n := 9>><<range $n>><<end>>", "goes over a field"},
		"a range over a function's result": {`<<range (len .Series)>><<end>>`, "goes over a field"},
		"a template that calls itself":     {`<<define "x">><<template "x">><<end>><<template "x">>`, "templates of its own"},
		"a call of the template itself":    {`<<template "metricsQuery">>`, "templates are not called"},
		"no template":                      {"<<.Series", "is no template"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkTemplate("metricsQuery", c.text)
			switch {
			case c.problem == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Errorf("got %v, want %q", err, c.problem)
			}
		})
	}
}
