// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"fmt"
	"regexp"
	"strings"
)

// varying are the parts of an output that differ from run to run. What looks like one in the document stands for every other of
// its kind; everything else, the number of replicas for example, has to be as it is shown.
var varying = []struct {
	name string
	// looks is how it is told in the document, and stands what may be in its place.
	looks, stands string
}{
	{"a time", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`},
	{"the value of a metric in JSON", `"value":"[^"]*"`, `"value":"[^"]*"`},
	{"the hashes in a pod's name", `-` + hash + `{8,10}-` + hash + `{5}\b`, `-` + hash + `{6,10}-` + hash + `{5}`},
	{"what an HPA reads at the moment", `\b\d+m? ?/`, `\d+m? ?/`},
	{"an age, or a quantity with a unit", `\b` + measure + `(?:\b|\B)`, measure},
	{"an address", `\b\d+\.\d+\.\d+\.\d+\b`, `\d+\.\d+\.\d+\.\d+`},
}

const (
	// hash is a letter of those that Kubernetes makes names of.
	hash = `[bcdfghjklmnpqrstvwxz2456789]`
	// measure is like 42s, 5m3s, 212m, 96Mi, 262144k or 7%.
	measure = `(?:\d+(?:\.\d+)?(?:ms|Ki|Mi|Gi|[smhdk%]))+`
)

// Match returns an error that names the first line of the document that an output does not have. The lines are in order and nothing
// is between them, but where the document has a line "...".
func Match(want []string, output string) error {
	got := strings.Split(strings.TrimRight(output, "\n"), "\n")
	at, open := 0, false
	for _, line := range want {
		if strings.TrimSpace(line) == "..." {
			open = true
			continue
		}
		pattern := patternOf(line)
		found := at
		for open && found < len(got) && !pattern.MatchString(got[found]) {
			found++
		}
		if found >= len(got) || !pattern.MatchString(got[found]) {
			return fmt.Errorf("the document shows %q, and there is\n%s", line, output)
		}
		at, open = found+1, false
	}
	if at < len(got) && !open && len(want) > 0 {
		return fmt.Errorf("the document does not show the line %q", got[at])
	}
	return nil
}

// patternOf is a line of a document as a pattern: blanks are any number of blanks, varying parts any other of their kind.
func patternOf(line string) *regexp.Regexp {
	var looks []string
	for _, part := range varying {
		looks = append(looks, "("+part.looks+")")
	}
	parts := regexp.MustCompile(strings.Join(looks, "|"))
	var pattern strings.Builder
	literal := func(text string) {
		pattern.WriteString(blanks.ReplaceAllLiteralString(regexp.QuoteMeta(text), " +"))
	}
	line = strings.TrimRight(line, " ")
	at := 0
	for _, found := range parts.FindAllStringSubmatchIndex(line, -1) {
		literal(line[at:found[0]])
		for i, part := range varying {
			if found[2*(i+1)] >= 0 {
				pattern.WriteString(part.stands)
			}
		}
		at = found[1]
	}
	literal(line[at:])
	return regexp.MustCompile("^" + pattern.String() + " *$")
}

var blanks = regexp.MustCompile(` +`)
