// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestHelp: each command says what it does, has an example, says its exit codes, and documents every flag by a sentence.
func TestHelp(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	flags := command(w.environment).PersistentFlags()
	seen := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "kubectl metricspipeline"), " ")
		if cmd.Name() == "completion" || cmd.Name() == "help" { // cobra's own.
			return
		}
		seen++
		w.run(t, ExitWorks, append(strings.Fields(path), "--help")...)
		help := w.out.String()
		for _, part := range []string{cmd.Long, cmd.Example, "Exit codes:", "Usage:"} {
			if part == "" && cmd.HasSubCommands() && cmd.HasParent() {
				continue // A group of commands has its examples in them.
			}
			if part == "" || !strings.Contains(help, part) {
				t.Errorf("the help of %q has no %q:\n%s", path, part, help)
			}
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") {
			t.Errorf("%q: the short help is %q, want one line without a period", path, cmd.Short)
		}
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if flags.Lookup(flag.Name) == nil && flag.Name != "help" && !regexp.MustCompile(`(?s)^[A-Z].*\.$`).MatchString(flag.Usage) {
				t.Errorf("%q: the usage of --%s is %q, want a sentence", path, flag.Name, flag.Usage)
			}
		})
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(command(w.environment))
	if seen < 7 {
		t.Errorf("%d commands were seen, want 7 at least", seen)
	}
}

// TestUnknown: what is no command is a usage error with a hint, and no command at all shows the help.
func TestUnknown(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	for _, arguments := range [][]string{{"stat"}, {"rules", "inport"}} {
		w.run(t, ExitUsage, arguments...)
		if !strings.Contains(w.errOut.String(), arguments[len(arguments)-1]) || !strings.Contains(w.errOut.String(), "--help") {
			t.Errorf("%q: standard error has %q", arguments, w.errOut)
		}
	}
	w.run(t, ExitWorks)
	if !strings.Contains(w.out.String(), "Available Commands:") {
		t.Errorf("without a command it prints %q", w.out)
	}
}

// TestCompletion: the scripts of shells, and the program by which kubectl completes a plugin.
func TestCompletion(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{})
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		w.run(t, ExitWorks, "completion", shell)
		if !strings.Contains(w.out.String(), Program) {
			t.Errorf("completion %s printed %q", shell, w.out)
		}
	}
	w.run(t, ExitWorks, "completion", "kubectl")
	if !strings.HasPrefix(w.out.String(), "#!/bin/sh\n") || !strings.HasSuffix(w.out.String(), "exec kubectl metricspipeline __complete \"$@\"\n") {
		t.Errorf("completion kubectl printed %q", w.out)
	}
	w.run(t, ExitWorks, "__complete", "status", "-o", "")
	if !strings.HasPrefix(w.out.String(), "json\nyaml\n") {
		t.Errorf("-o completes to %q", w.out)
	}
}

func TestVersion(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{}, readPipeline(t, "ready"))
	w.run(t, ExitWorks, "version")
	if want := "Client:   v9.9.9\nOperator: v0.2.0\nServer:   v1.36.3\n"; w.out.String() != want {
		t.Errorf("it prints %q, want %q", w.out, want)
	}
	w.run(t, ExitWorks, "version", "--client", "-o", "json")
	if want := "{\n  \"client\": \"v9.9.9\"\n}\n"; w.out.String() != want {
		t.Errorf("it prints %q, want %q", w.out, want)
	}
	for name, w := range map[string]*world{
		"install the operator first":       newWorld(t, noCRD),
		"has not written the status":       newWorld(t, interceptor.Funcs{}, readPipeline(t, "not-looked-at")),
		"no MetricsPipeline in this clust": newWorld(t, interceptor.Funcs{}),
	} {
		w.run(t, ExitUnseen, "version")
		if !strings.Contains(w.errOut.String(), name) || !strings.Contains(w.out.String(), "Operator: not known\nServer:   v1.36.3") {
			t.Errorf("it prints %q and %q, want %q", w.out, w.errOut, name)
		}
	}
}
