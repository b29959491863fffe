// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package walk reads a document as a reader walks through it: the manifests that it says to save, the commands that it says to
// run, and what it shows that they print. The end-to-end suite runs what it returns, so a page cannot promise what does not happen.
//
// The rules are few, and visible on the page:
//
//   - A block of kind console has commands, each after "$ ", with what they print below; a line "..." stands for lines that are left
//     out. A command that ends with a backslash goes on in the next line.
//   - "*Not run by the tests: REASON.*" above a console block says why nobody runs it. It is the only way out.
//   - "Save as `NAME.yaml`:" above a block of kind yaml makes a file of it. Any other block of kind yaml is an excerpt.
//   - A block of kind text is a picture or a message.
package walk

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Step is one thing that a reader does: a file to save, or a command to run.
type Step struct {
	// Line is where it stands in the document, from 1.
	Line int
	// File is the name of the file to save, and Content what goes into it. Empty for a command.
	File, Content string
	// Command is for bash, and Want what it prints by the document; empty where that is not shown.
	Command string
	Want    []string
}

// Skipped is a block that the document says is not run.
type Skipped struct {
	// Line is where the block begins, Reason why it is not run.
	Line   int
	Reason string
}

// Document is what a document says to do, in its order.
type Document struct {
	Steps   []Step
	Skipped []Skipped
	// Manifests are the contents of all blocks of kind yaml, saved or not.
	Manifests []Step
}

var (
	notRun = regexp.MustCompile(`^\*Not run by the tests: (.+)\.\*$`)
	saveAs = regexp.MustCompile("Save as `([a-z0-9-]+\\.yaml)`:$")
)

// Read returns what a document says. It is an error when a block is of a kind that nobody would run or check.
func Read(document string) (Document, error) {
	var d Document
	above := "" // The last line of text before the block.
	lines := strings.Split(document, "\n")
	for i := 0; i < len(lines); i++ {
		kind, isBlock := strings.CutPrefix(lines[i], "```")
		if !isBlock {
			if strings.TrimSpace(lines[i]) != "" {
				above = lines[i]
			}
			continue
		}
		start := i + 1
		end := slices.Index(lines[start:], "```")
		if end < 0 {
			return d, fmt.Errorf("line %d: the block does not end", start)
		}
		if err := d.add(kind, above, start, lines[start:start+end]); err != nil {
			return d, err
		}
		i, above = start+end, ""
	}
	return d, nil
}

// ReadSection returns what one section of a document says, which goes from its heading of the second level to the next one.
func ReadSection(document, heading string) (Document, error) {
	before, rest, found := strings.Cut(document, "\n## "+heading+"\n")
	if !found {
		return Document{}, fmt.Errorf("there is no section %q", heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	// Empty lines keep the numbers of the lines.
	return Read(strings.Repeat("\n", strings.Count(before, "\n")+2) + section)
}

// add takes up a block of that kind, which begins at a line, below a line of text.
func (d *Document) add(kind, above string, line int, block []string) error {
	reason, named := notRun.FindStringSubmatch(above), saveAs.FindStringSubmatch(above)
	switch {
	case reason != nil && kind != "console":
		return fmt.Errorf("line %d: only a console block is run, so none of kind %q needs %q", line, kind, above)
	case kind == "text":
	case kind == "yaml":
		step := Step{Line: line, Content: strings.Join(block, "\n") + "\n"}
		if named != nil {
			step.File = named[1]
			d.Steps = append(d.Steps, step)
		}
		d.Manifests = append(d.Manifests, step)
	case kind == "console":
		commands, err := commandsOf(line, block)
		if err != nil {
			return err
		}
		if reason != nil {
			d.Skipped = append(d.Skipped, Skipped{Line: line, Reason: reason[1]})
			return nil
		}
		d.Steps = append(d.Steps, commands...)
	default:
		return fmt.Errorf("line %d: a block is of kind console, yaml or text, not %q", line, kind)
	}
	return nil
}

// commandsOf cuts a console block into commands and what they print.
func commandsOf(line int, block []string) ([]Step, error) {
	var steps []Step
	continues := false
	for i, text := range block {
		command, begins := strings.CutPrefix(text, "$ ")
		switch {
		case continues:
			last := &steps[len(steps)-1]
			last.Command += "\n" + text
			continues = strings.HasSuffix(text, `\`)
		case begins:
			steps = append(steps, Step{Line: line + 1 + i, Command: command})
			continues = strings.HasSuffix(command, `\`)
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d: a console block begins with a command after \"$ \", not with %q", line, text)
		default:
			last := &steps[len(steps)-1]
			last.Want = append(last.Want, text)
		}
	}
	if continues || len(steps) == 0 {
		return nil, fmt.Errorf("line %d: a console block without a whole command", line)
	}
	return steps, nil
}

// OnlyReads is true of a command that changes nothing, so that it can be repeated until it prints what the document shows: what a
// reader sees after a while. Nothing is known of a pipe, and a request through the API server's proxy may steer what it reaches.
func (s Step) OnlyReads() bool {
	if strings.Contains(s.Command, " | ") || strings.Contains(s.Command, "/proxy/") {
		return false
	}
	verbs := []string{"get", "top", "describe", "logs", "metricspipeline why", "metricspipeline status", "metricspipeline report",
		"metricspipeline rules test", "metricspipeline rules export", "metricspipeline rules preset"}
	return slices.ContainsFunc(verbs, func(verb string) bool {
		return strings.HasPrefix(s.Command, "kubectl "+verb+" ")
	})
}
