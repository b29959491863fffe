// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ofOthers is what pages quote of the messages of Kubernetes and of Go, which the operator passes on. The last one is in the schema.
var ofOthers = []string{
	"endpointslices for service", "have no addresses with port name", "failing or missing response from", "cannot be checked due to",
	"tls: failed to verify certificate", "certificate is valid for", "cannot unmarshal string into Go struct field", "308 Permanent Redirect",
	"The operator has not looked at this pipeline yet. If that stays so, it is not running: see the pods of the Deployment",
}

var (
	// message is what a page of a condition quotes.
	message = regexp.MustCompile(`(?m)(?:^> .*\n)+`)
	// verb is where fmt puts a value.
	verb = regexp.MustCompile(`%(\[\d+\])?[-+#]?[\d.]*[a-zA-Z]`)
	// prose is a run of words that are no names: a value may be one or two of them.
	prose = regexp.MustCompile(`(?:\b[A-Za-z]+\b[,;:]? ?){4,}`)
)

// TestMessages: what the pages of the conditions quote is made of what the operator says. A quote may break off within a sentence.
func TestMessages(t *testing.T) {
	said := slices.Concat(ofOthers, literals(t, "../internal", "../api"))
	for _, page := range glob(t, "conditions/[A-Z]*.md") {
		for _, quoted := range message.FindAllString(read(t, page), -1) {
			quote := unwrapped(quoted)
			rest := quote
			for _, fragment := range said {
				rest = strings.ReplaceAll(rest, fragment, "|")
			}
			if other := prose.FindString(rest); other != "" {
				t.Errorf("docs/%s: no message of the operator has %q of: %s", page, other, quote)
			}
		}
	}
}

// literals are the texts in the code between the places where values come, and the parts of them between colons, the longest first.
func literals(t *testing.T, folders ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
				err = literalsOf(path, found)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) // Fragments can overlap: each run takes them in the same order.
	})
}

// literalsOf adds those of a file.
func literalsOf(path string, found map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(node ast.Node) bool {
		text, ok := textOf(node)
		for _, whole := range verb.Split(text, -1) {
			for _, part := range append(strings.Split(whole, ":"), whole) {
				if part = strings.TrimSpace(part); len(part) >= 4 {
					found[part] = true
				}
			}
		}
		return !ok
	})
	return nil
}

// textOf is a literal, or several that are added up.
func textOf(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.BasicLit:
		if node.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(node.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, ofLeft := textOf(node.X)
		right, ofRight := textOf(node.Y)
		if node.Op == token.ADD && ofLeft && ofRight {
			return left + right, true
		}
	}
	return "", false
}
