// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import (
	"cmp"

	"sigs.k8s.io/kustomize/api/pkg/util"
)

// ImageVersion returns the tag of an image reference, or its digest.
func ImageVersion(reference string) string {
	_, tag, digest := util.SplitImageName(reference)
	return cmp.Or(tag, digest, "latest")
}
