// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// authoritiesModule is where the certificate authorities of the image come from.
const authoritiesModule = "golang.org/x/crypto/x509roots/fallback"

// writeSBOMs writes what the image for each platform consists of, from what the linker noted in its binary.
func (r *release) writeSBOMs(context.Context) error {
	for i, platform := range r.Platforms {
		if err := r.writeSBOM(r.binaries[i], "operator_"+strings.ReplaceAll(platform, "/", "_")+sbomSuffix, inImage); err != nil {
			return err
		}
	}
	return nil
}

const sbomSuffix = ".cdx.json"

// inImage adds to the modules that were linked what the image has beside the binary: the certificate authorities.
func inImage(modules []*debug.Module) []*debug.Module {
	own, ok := debug.ReadBuildInfo()
	if !ok || slices.ContainsFunc(modules, isAuthorities) {
		return modules
	}
	return slices.Concat(modules, slices.DeleteFunc(slices.Clone(own.Deps), func(dependency *debug.Module) bool {
		return !isAuthorities(dependency)
	}))
}

// alone is a binary that is all there is.
func alone(modules []*debug.Module) []*debug.Module { return modules }

// writeSBOM writes what a binary consists of, and what comes with it.
func (r *release) writeSBOM(binary, name string, with func([]*debug.Module) []*debug.Module) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	bom, err := materials(info, r.Version, with(info.Deps))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dist, name), out.Bytes(), 0o644)
}

func isAuthorities(dependency *debug.Module) bool { return dependency.Path == authoritiesModule }

// materials lists modules with the checksums of go.sum, and the standard library. It has no serial number and no time, which would make
// every build another one.
func materials(info *buildinfo.BuildInfo, version string, modules []*debug.Module) (*cdx.BOM, error) {
	main := module(info.Main.Path, version)
	main.Type = cdx.ComponentTypeApplication
	main.Properties = &[]cdx.Property{}
	for _, setting := range info.Settings {
		*main.Properties = append(*main.Properties, cdx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	components := []cdx.Component{module("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, dependency := range modules {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		component := module(dependency.Path, dependency.Version)
		hash, err := hashOf(dependency)
		if err != nil {
			return nil, err
		}
		component.Hashes = &[]cdx.Hash{hash}
		components = append(components, component)
	}
	depends := cdx.Dependency{Ref: main.BOMRef, Dependencies: &[]string{}}
	for _, component := range components {
		*depends.Dependencies = append(*depends.Dependencies, component.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &main}
	bom.Components, bom.Dependencies = &components, &[]cdx.Dependency{depends}
	return bom, nil
}

// module describes a Go module. Its package URL is how scanners look it up.
func module(path, version string) cdx.Component {
	url := "pkg:golang/" + path + "@" + version
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: url, Name: path, Version: version, PackageURL: url}
}

// hashOf converts a checksum of go.sum, the SHA-256 of the list of a module's files.
func hashOf(module *debug.Module) (cdx.Hash, error) {
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:"))
	if err != nil || len(sum) == 0 {
		return cdx.Hash{}, fmt.Errorf("the module %s %s has the checksum %q, not one of go.sum", module.Path, module.Version, module.Sum)
	}
	return cdx.Hash{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}, nil
}
