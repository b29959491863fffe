// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command stalled-page writes docs/conditions/Stalled.md: which reasons wait for a person is taken from the code that decides it, when
// they surface from the comments of the constants, and the sections that say what to do from the pages beside it.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/metricspipeline/operator/internal/report"
)

const (
	constants = "api/v1alpha1/conditions.go"
	pages     = "docs/conditions"

	// severalConditions is in how many conditions a reason may be written out.
	severalConditions = 2
)

const head = `# Stalled

True when a person has to act. The reason and the message are then those of the first such condition, in the order of this table and
of the [index](README.md). It follows kstatus. What runs keeps running.

<!-- Written by "make docs" from internal/report/stalled.go and api/v1alpha1/conditions.go. -->

| Condition | Reason, with what to do | It surfaces |
|---|---|---|
`

const tail = `
Every other reason with which a condition is False may pass by itself: see [Reconciling](Reconciling.md).
[CRDsMissing](ScrapeReady.md#crdsmissing) counts for neither, nor [PrometheusNotFound](ScrapeReady.md#prometheusnotfound) and
[PrometheusAmbiguous](ScrapeReady.md#prometheusambiguous) of ScrapeReady where the spec names no Prometheus.

A correction is noticed at once where it brings an event, such as a change of the spec or of a Prometheus object, and within a minute
where it does not, such as a permission.

## NotStalled
False. Nothing waits for a person.

> Nothing waits for a person to act.
`

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func write(out io.Writer) error {
	reasons, err := readReasons()
	if err != nil {
		return err
	}
	of := map[string][]string{} // The links to the conditions of a reason.
	for _, stall := range report.Stalls() {
		of[stall.Reason] = append(of[stall.Reason], fmt.Sprintf("[%s](%s.md)", stall.Condition, stall.Condition))
	}
	var rows, common []string
	for _, stall := range report.Stalls() {
		known, found := reasons[stall.Reason]
		if !found {
			return fmt.Errorf("%s has no constant %q with a comment that says when it surfaces", constants, stall.Reason)
		}
		section, err := sectionOf(stall, known.condition)
		if err != nil {
			return err
		}
		surfaces := known.surfaces
		if stall.When != "" {
			surfaces += ". Stalled " + stall.When
		}
		row := func(conditions string) string {
			return fmt.Sprintf("| %s | [%s](%s) | %s |\n", conditions, stall.Reason, section, surfaces)
		}
		switch conditions := of[stall.Reason]; {
		case len(conditions) <= severalConditions:
			rows = append(rows, row(fmt.Sprintf("[%s](%s.md)", stall.Condition, stall.Condition)))
		case strings.Contains(conditions[0], stall.Condition): // Once for all of them, and last.
			common = append(common, row(strings.Join(conditions, ", ")))
		}
	}
	page := head + strings.Join(append(rows, common...), "")
	_, err = io.WriteString(out, page+tail)
	return err
}

// reason is what the constants say of one.
type reason struct {
	// condition is that of the block that the constant stands in.
	condition string
	// surfaces is the first sentence of its comment, without the name: "when ...".
	surfaces string
}

// readReasons returns what the constants say, by the value of the reason.
func readReasons() (map[string]reason, error) {
	file, err := parser.ParseFile(token.NewFileSet(), constants, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	all := map[string]reason{}
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		condition := ""
		for _, spec := range block.Specs {
			constant, _ := spec.(*ast.ValueSpec)
			name := constant.Names[0].Name
			literal, isLiteral := constant.Values[0].(*ast.BasicLit)
			if !isLiteral {
				return nil, fmt.Errorf("%s: %s is no literal", constants, name)
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", constants, name, err)
			}
			if strings.HasPrefix(name, "Condition") {
				condition = value
			}
			if !strings.HasPrefix(name, "Reason") {
				continue
			}
			comment := strings.Join(strings.Fields(constant.Doc.Text()), " ")
			first, _, _ := strings.Cut(comment+" ", ". ") // The first sentence.
			if sentence, found := strings.CutPrefix(first, name+" surfaces "); found {
				all[value] = reason{condition, strings.ReplaceAll(sentence, "|", `\|`)}
			}
		}
	}
	return all, nil
}

// sectionOf returns the link to the section about a reason: on the condition's own page, or on that of the constant's condition.
func sectionOf(stall report.Stall, of string) (string, error) {
	for _, page := range []string{stall.Condition + ".md", of + ".md"} {
		content, err := os.ReadFile(filepath.Join(pages, page))
		if err != nil {
			return "", err
		}
		if strings.Contains(string(content), "\n## "+stall.Reason+"\n") {
			return page + "#" + strings.ToLower(stall.Reason), nil
		}
	}
	return "", fmt.Errorf("%s: neither %s.md nor %s.md has a section %q", pages, stall.Condition, of, stall.Reason)
}
