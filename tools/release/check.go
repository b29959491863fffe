// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// releaseVersion is a version that is released: without a pre-release, so that every release upgrades the one before.
var releaseVersion = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)

// versions are the files that name the version, with what stands before it on its line. The v is not part of a chart's version.
var versions = []struct {
	file, before string
	bare         bool
}{
	{file: "Makefile", before: "VERSION         ?= "},
	{file: "Dockerfile", before: "ARG VERSION="},
	{file: "config/manager/kustomization.yaml", before: "  newTag: "},
	{file: chartFolder + "/Chart.yaml", before: "appVersion: "},
	{file: chartFolder + "/Chart.yaml", before: "version: ", bare: true},
}

// check refuses a version that is none, one that the files do not have, and a tree that is not a commit.
func (r *release) check(ctx context.Context) error {
	if !releaseVersion.MatchString(r.Version) {
		return fmt.Errorf("VERSION=%s is not a release: it has to be of the form vX.Y.Z, such as v0.2.0", r.Version)
	}
	for _, version := range versions {
		content, err := os.ReadFile(filepath.Join(r.Root, version.file))
		if err != nil {
			return err
		}
		_, rest, found := strings.Cut("\n"+string(content), "\n"+version.before)
		has, _, _ := strings.Cut(rest, "\n")
		want := r.Version
		if version.bare {
			want = strings.TrimPrefix(want, "v")
		}
		if !found || has != want {
			return fmt.Errorf("VERSION=%s is to be released, but %s has %q after %q: commit the new version there first, as RELEASE.md "+
				"says", r.Version, version.file, has, strings.TrimSpace(version.before))
		}
	}
	return r.readCommit(ctx)
}

// readCommit reads which commit this is, and when it was made.
func (r *release) readCommit(ctx context.Context) error {
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("the tree is not what is committed, so nobody could build it again: commit or stash\n%s", changed)
	}
	if r.revision, err = r.git(ctx, "rev-parse", "HEAD"); err != nil {
		return err
	}
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		if epoch, err = r.git(ctx, "log", "-1", "--format=%ct"); err != nil {
			return err
		}
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH=%s is not a number of seconds", epoch)
	}
	r.time = time.Unix(seconds, 0).UTC()
	return nil
}

func (r *release) git(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir = r.Root
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// makeTarget runs make as a person would: what the make above this one was called with does not reach it.
func (r *release) makeTarget(ctx context.Context, env []string, args ...string) error {
	return r.command(ctx, append(env, "MAKEFLAGS=", "MFLAGS=", "MAKELEVEL="), "make", args...)
}

// command runs a program in the repository, with its output where the progress goes.
func (r *release) command(ctx context.Context, env []string, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = r.Root
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = r.Out, r.Out
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
