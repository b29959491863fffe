// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bundle writes the operator's bundle for the Operator Lifecycle Manager (OLM) from the kustomize tree config/, and the
// catalog files that go beside it. What it writes depends on its flags and that tree alone.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Options say what to generate.
type Options struct {
	// Root of the source tree whose config/ is read. It may be an older one.
	Root string
	// Version of the bundle, and Replaces, that of the bundle which it upgrades; "" for the first one. Both with or without a leading v.
	Version, Replaces string
	// Image of the operator, and BundleImage, under which the bundle is published. By default a tag: the version.
	Image, BundleImage string
	// Images replace those of a repository, for clusters without the registry: repository -> reference.
	Images map[string]string
	// Release demands a digest of every image.
	Release bool
}

// File is one generated file; Path is relative to the output folder.
type File struct {
	Path    string
	Content []byte
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o := Options{Images: map[string]string{}}
	flags := flag.NewFlagSet("bundle", flag.ContinueOnError)
	flags.StringVar(&o.Root, "root", ".", "source tree whose config/ is read")
	flags.StringVar(&o.Version, "version", "", "version of the bundle, such as v0.2.0")
	flags.StringVar(&o.Replaces, "replaces", "", "version of the bundle that this one upgrades; none if empty")
	flags.StringVar(&o.Image, "image", "", "image of the operator (default "+imageRepository+":VERSION)")
	flags.StringVar(&o.BundleImage, "bundle-image", "", "image of the bundle, for the catalog (default "+bundleRepository+":VERSION)")
	flags.BoolVar(&o.Release, "release", false, "fail unless every image has a digest")
	flags.Func("map-image", "REPOSITORY=REFERENCE: use REFERENCE for the images of a repository (may be repeated)", func(value string) error {
		repository, reference, ok := strings.Cut(value, "=")
		if !ok || repository == "" || reference == "" {
			return fmt.Errorf("%q is not REPOSITORY=REFERENCE", value)
		}
		o.Images[repository] = reference
		return nil
	})
	out := flags.String("out", "", "folder to write bundle/ and bundle.Dockerfile to (default: the root)")
	catalog := flags.String("catalog", "", "folder to write the catalog template and ci.yaml to; none if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		*out = o.Root
	}
	generated, err := Generate(o)
	if err != nil {
		return err
	}
	// What an earlier run wrote and this one does not must not stay in the bundle.
	if err := os.RemoveAll(filepath.Join(*out, "bundle")); err != nil {
		return err
	}
	if err := write(*out, generated.Bundle); err != nil || *catalog == "" {
		return err
	}
	return write(*catalog, generated.Catalog)
}

func write(folder string, files []File) error {
	for _, file := range files {
		path := filepath.Join(folder, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, file.Content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
