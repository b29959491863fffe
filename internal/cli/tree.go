// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/cli-runtime/pkg/printers"
)

// mark says how something stands.
type mark int

const (
	plain   mark = iota // nothing is said about it
	works               // it works
	broken              // it does not
	limits              // it works, and something is to be known of it
	unseen              // it could not be seen
	skipped             // it was not looked at
)

// The marks as they are printed, and their colors on a terminal.
var (
	signs  = map[mark]string{works: "✓", broken: "✗", limits: "!", unseen: "?", skipped: "·"}
	colors = map[mark]string{works: "32", broken: "31", limits: "33", unseen: "35", skipped: "90"}
)

// node is a line of a tree, with more lines below it.
type node struct {
	mark mark
	// title, and the text beside it, which lines up with that of its siblings.
	title, text string
	// lines are below the title, without a mark.
	lines    []string
	children []*node
}

// add appends a child and returns it.
func (n *node) add(m mark, title, text string) *node {
	child := &node{mark: m, title: title, text: text}
	n.children = append(n.children, child)
	return child
}

// worst is what a node with children shows of them.
func (n *node) worst() mark {
	found := plain
	for _, candidate := range []mark{skipped, works, limits, unseen, broken} {
		for _, child := range n.children {
			if child.mark == candidate {
				found = candidate
			}
		}
	}
	return found
}

// canvas prints trees, with colors on a terminal alone, and not where NO_COLOR is set.
type canvas struct {
	out   io.Writer
	color bool
}

func newCanvas(out io.Writer) canvas { return canvas{out: out, color: printers.AllowsColorOutput(out)} }

func (c canvas) paint(m mark, text string) string {
	if code := colors[m]; c.color && code != "" {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}

// tree prints a node with everything below it.
func (c canvas) tree(root *node) {
	c.line("", "", root, 0)
	c.below("", root)
}

func (c canvas) below(indent string, parent *node) {
	for _, line := range parent.lines {
		bar := "    "
		if len(parent.children) > 0 {
			bar = "│   "
		}
		fmt.Fprintf(c.out, "%s%s%s\n", indent, bar, line)
	}
	width := 0
	for _, child := range parent.children {
		if child.text != "" {
			width = max(width, len([]rune(child.title)))
		}
	}
	for i, child := range parent.children {
		branch, bar := "├── ", "│   "
		if i == len(parent.children)-1 {
			branch, bar = "└── ", "    "
		}
		c.line(indent+branch, indent+bar, child, width)
		c.below(indent+bar, child)
	}
}

// line prints the line of a node. A text of several lines goes on below its beginning.
func (c canvas) line(branch, below string, n *node, width int) {
	sign := ""
	if signs[n.mark] != "" {
		sign = c.paint(n.mark, signs[n.mark]) + " "
	}
	title := n.title
	if n.text != "" {
		title = fmt.Sprintf("%-*s  ", width, n.title)
	}
	lines := strings.Split(strings.TrimSpace(n.text), "\n")
	fmt.Fprintln(c.out, strings.TrimRight(branch+sign+title+lines[0], " "))
	for _, more := range lines[1:] {
		fmt.Fprintln(c.out, strings.TrimRight(below+"  "+more, " "))
	}
}
