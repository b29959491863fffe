// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	olmModule = "github.com/operator-framework/operator-lifecycle-manager"
	olmEnv    = "METRICSPIPELINE_ENVTEST_OLM_CRDS"
)

// FindOLMCRDs is FindMonitoringCRDs for the Operator Lifecycle Manager.
func FindOLMCRDs() error {
	dir, err := moduleDir(inProject("test/cluster/components/operator-lifecycle-manager"), olmModule)
	if err != nil {
		return err
	}
	return os.Setenv(olmEnv, filepath.Join(dir, "deploy", "chart", "crds"))
}

// OLMCRDs are the files of its CRDs, which are known after FindOLMCRDs.
func OLMCRDs() []string {
	files, _ := filepath.Glob(filepath.Join(os.Getenv(olmEnv), "*.crd.yaml")) // The pattern has no mistake.
	return files
}

// InProject returns the path of a file of the project.
func InProject(path string) string { return inProject(path) }

// Asset returns the path of a program that the test cluster was built from.
func Asset(name string) string { return filepath.Join(os.Getenv(assetsEnv), name) }

// CheckPrograms is CheckAssets for further programs, which a Make target builds.
func CheckPrograms(target string, names ...string) error {
	for _, name := range names {
		if _, err := os.Stat(Asset(name)); err != nil {
			return fmt.Errorf("%s=%s has no %s: run `make %s`, which builds it: %w", assetsEnv, os.Getenv(assetsEnv), name, target, err)
		}
	}
	return nil
}

// Kubeconfig returns an administrator's kubeconfig, for a program.
func (c *Cluster) Kubeconfig() []byte { return c.environment.KubeConfig }

// stopTimeout is how long a program has to end when it is asked to.
const stopTimeout = 20 * time.Second

// Program is a process of a test.
type Program struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// StartProgram runs a program and ends it after the test at the latest. env is added to the environment. The end of its log is
// shown if the test fails.
func StartProgram(ctx context.Context, t *testing.T, env []string, path string, args ...string) (*Program, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	p := &Program{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = errors.Join(cmd.Wait(), log.Close()) // A signal ends it.
		close(p.ended)
	}()
	t.Cleanup(func() {
		cancel()
		p.Stop()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", filepath.Base(path), tail(log.Name(), 40))
		}
	})
	return p, nil
}

// tail returns the last lines of a file.
func tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Stop ends the program and waits until it has ended.
func (p *Program) Stop() {
	_ = p.cmd.Cancel()
	<-p.ended
}
