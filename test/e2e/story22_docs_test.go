// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/docs/walk"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestDocs does what the README and the walk for newcomers say, with the commands and the manifests that stand there, and demands
// what they show: see package walk. The README begins where an operator is installed and ends by removing it, so the walk begins
// with nothing.
func TestDocs(t *testing.T) {
	story(t)
	needTestCluster(t) // Elsewhere the image of the sample application has another name than in the documents.
	givenNoPipeline(t)
	for _, document := range []string{"README.md", "docs/getting-started.md"} {
		if !t.Run(filepath.Base(document), func(t *testing.T) { follow(t, document) }) {
			return // The next one begins where this one ends.
		}
	}
}

// givenNoPipeline makes the cluster one in which nobody but the reader uses the operator, and puts it back in the end.
func givenNoPipeline(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	ctx := within(t, rollout)
	g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
	// The documents show the number of monitors, which those of the suite's own applications are not among.
	givenSamplesWithoutMonitors(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.UninstallOperator(ctx)).To(Succeed()) // Where a document was left in the middle.
		g.Expect(cluster.InstallOperator(ctx)).To(Succeed())
	})
}

// givenSamplesWithoutMonitors has the operator write no monitors for the suite's own applications until the end of the test.
func givenSamplesWithoutMonitors(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	ctx := within(t, soon)
	samples := &corev1.Namespace{}
	g.Expect(cluster.Client.Get(ctx, client.ObjectKey{Name: kit.SampleNamespace}, samples)).To(Succeed())
	whole := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, v1alpha1.ScrapeOptOutLabel))
	without := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:"false"}}}`, v1alpha1.ScrapeOptOutLabel))
	g.Expect(cluster.Client.Patch(ctx, samples, without)).To(Succeed())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Client.Patch(ctx, samples, whole)).To(Succeed())
	})
}

// follow takes every step of a document, in a folder that has what a clone of the repository has.
func follow(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(cluster.Root, file))
	if err != nil {
		t.Fatal(err)
	}
	document, err := walk.Read(string(content))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	dir := clone(t)
	scraped := make(chan struct{})
	go func() {
		defer close(scraped)
		scrapeAtOnce(t)
	}()
	t.Cleanup(func() { <-scraped })
	if err := followSteps(t, dir, file, document.Steps); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: all is as shown; %d blocks are marked as not run", file, len(document.Skipped))
}

// followSteps takes steps of a document in a folder.
func followSteps(t *testing.T, dir, file string, steps []walk.Step) error {
	t.Helper()
	for _, step := range steps {
		if step.File != "" {
			if err := os.WriteFile(filepath.Join(dir, step.File), []byte(step.Content), 0o600); err != nil {
				return fmt.Errorf("%s:%d: %w", file, step.Line, err)
			}
			continue
		}
		start := time.Now()
		output, err := take(t, dir, step)
		if err != nil {
			return fmt.Errorf("%s:%d: %s\n%w", file, step.Line, step.Command, err)
		}
		t.Logf("%s:%d: %.1f s\n$ %s\n%s", file, step.Line, time.Since(start).Seconds(), step.Command, output)
	}
	return nil
}

// take runs a command until it prints what the document shows, and returns that: once, unless it only reads.
func take(t *testing.T, dir string, step walk.Step) (output string, err error) {
	t.Helper()
	var last error
	err = kit.Poll(within(t, scrape), func(ctx context.Context) (bool, error) {
		if output, last = bash(ctx, dir, step.Command); last == nil {
			last = walk.Match(step.Want, output)
		}
		if last != nil && !step.OnlyReads() {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return "", last // What the document does not show says more than the end of the time.
	}
	return output, err
}

// bash runs a command as a reader would, and returns what it prints.
func bash(ctx context.Context, dir, script string) (string, error) {
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	command.Dir = dir
	// The suite may run below a make of its own, whose flags are not the reader's.
	command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=0", "IMG="+kit.OperatorImage(), "PWD="+dir,
		// What a page exports is gone with the shell of that command.
		"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%w: %s%s", err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// clone returns a folder with links to everything in the repository's, so that what a document saves is not left there.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(cluster.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if err := os.Symlink(filepath.Join(cluster.Root, entry.Name()), filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// scrapeAtOnce saves what a reader waits for: Prometheus takes up to three minutes to take up a new monitor, and a new pod reads its
// configuration at once.
func scrapeAtOnce(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	// An earlier document's monitor may still be there.
	for _, configured := range []bool{false, true} {
		err := kit.Poll(ctx, func(ctx context.Context) (bool, error) {
			config, err := cluster.PrometheusConfig(ctx)
			return strings.Contains(string(config), "serviceMonitor/default/metricspipeline-annotated") == configured, err
		})
		if err != nil {
			return // The document has ended, or failed before.
		}
	}
	if err := cluster.RestartPrometheus(ctx); err != nil && ctx.Err() == nil {
		t.Errorf("have Prometheus scrape the application at once: %v", err)
	}
}
