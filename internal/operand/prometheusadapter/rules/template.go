// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"fmt"
	"text/template"
	"text/template/parse"
)

// checkTemplate returns why a template is not run: it does not parse, or it could run for ever. Templates are the user's and
// nothing ends one that counts to a billion; and the adapter, which is built with an older Go, exits on a range over a number
// that this code would accept.
func checkTemplate(field, text string) error {
	parsed, err := template.New(field).Delims("<<", ">>").Parse(text)
	if err != nil {
		return fmt.Errorf("%s %q is no template: %w", field, text, err)
	}
	if len(parsed.Templates()) > 1 {
		return fmt.Errorf("%s %q defines templates of its own; write one template", field, text)
	}
	if parsed.Tree == nil {
		return nil
	}
	if node := unbounded(parsed.Root); node != nil {
		return fmt.Errorf("%s %q has %q; a range goes over a field such as .GroupBySlice, and templates are not called",
			field, text, node)
	}
	return nil
}

// unbounded returns the first node that could make a template run for long; nil where there is none.
func unbounded(node parse.Node) parse.Node {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, child := range n.Nodes {
			if found := unbounded(child); found != nil {
				return found
			}
		}
	case *parse.RangeNode:
		if !overField(n.Pipe) {
			return n.Pipe
		}
		return first(n.List, n.ElseList)
	case *parse.IfNode:
		return first(n.List, n.ElseList)
	case *parse.WithNode:
		return first(n.List, n.ElseList)
	case *parse.TemplateNode:
		return n
	}
	return nil
}

func first(lists ...*parse.ListNode) parse.Node {
	for _, list := range lists {
		if found := unbounded(list); found != nil {
			return found
		}
	}
	return nil
}

// overField is true for a pipe that is one field of the template's arguments, which are all short.
func overField(pipe *parse.PipeNode) bool {
	if len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) != 1 {
		return false
	}
	_, ok := pipe.Cmds[0].Args[0].(*parse.FieldNode)
	return ok
}
