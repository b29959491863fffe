// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"cmp"

	"sigs.k8s.io/kustomize/api/pkg/util"
)

// ImageVersion returns the tag of an image reference, or the version that is known by its digest, or the digest.
func ImageVersion(reference string, known map[string]string) string {
	_, tag, digest := util.SplitImageName(reference)
	return cmp.Or(tag, known[digest], digest, "latest")
}
