// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package assets has the manifests of the deployed components as plain kustomize: each component has a base that
// `kustomize build` understands as it stands, and kustomize components beside it for what a spec may add.
package assets

import "embed"

// Files are the manifests, one folder for each component.
//
//go:embed */*
var Files embed.FS
