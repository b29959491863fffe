// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// autoscalerPages have the sections of the reasons.
var autoscalerPages = []string{"autoscalers-reasons.md", "autoscalers-metrics.md"}

// reasonSection is a section of one: its heading, its text, and the example that is quoted.
var reasonSection = regexp.MustCompile(`(?m)^### (\w+)\n((?:[^#>\n].*\n|\n)+)((?:> .*\n?)+)`)

// TestAutoscalerReasons demands a section for each reason of HPAs, in the order of the constants, none for another, and a link to each
// from the overview. The example is a sentence of the diagnosis.
func TestAutoscalerReasons(t *testing.T) {
	want := autoscalerReasons(t)
	var got []string
	golden := unwrapped(read(t, "../internal/diagnose/testdata/findings.txt"))
	overview := read(t, "autoscalers.md")
	for _, page := range autoscalerPages {
		content := read(t, page)
		for _, heading := range headingsOf(content) {
			if slices.Contains(want, heading) {
				got = append(got, heading)
			}
		}
		for _, section := range reasonSection.FindAllStringSubmatch(content, -1) {
			reason, example := section[1], unwrapped(section[3])
			if !slices.Contains(want, reason) {
				t.Errorf("docs/%s has a section %s, and no constant of api/v1alpha1/autoscaler_reasons.go has that value", page, reason)
			}
			if reason != "Unexplained" && !strings.Contains(golden, example) {
				t.Errorf("docs/%s: the example of %s is no sentence of internal/diagnose/testdata/findings.txt: %s", page, reason, example)
			}
			if link := "[" + reason + "](" + page + "#" + strings.ToLower(reason) + ")"; !strings.Contains(overview, link) {
				t.Errorf("docs/autoscalers.md has no link %s", link)
			}
		}
		if sections, headings := len(reasonSection.FindAllString(content, -1)), strings.Count(content, "\n### "); sections != headings {
			t.Errorf("docs/%s: %d of %d sections have a text and an example", page, sections, headings)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the sections are\n%v\nthe constants of api/v1alpha1/autoscaler_reasons.go\n%v", got, want)
	}
}

// unwrapped is text in one line, without the marks of a quote.
func unwrapped(content string) string {
	var words []string
	for line := range strings.Lines(content) {
		words = append(words, strings.Fields(strings.TrimPrefix(line, "> "))...)
	}
	return strings.Join(words, " ")
}

// autoscalerReasons are the values of the constants, in their order.
func autoscalerReasons(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/autoscaler_reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		if constant, ok := node.(*ast.ValueSpec); ok {
			value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}
