// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package operand

import "strings"

// Image is an image reference in its parts. Tag and Digest are empty where it has none.
type Image struct{ Repository, Tag, Digest string }

// ParseImage takes an image reference apart. A colon before the last slash is that of a registry's port.
func ParseImage(reference string) Image {
	repository, digest, _ := strings.Cut(reference, "@")
	image := Image{Repository: repository, Digest: digest}
	if colon := strings.LastIndex(repository, ":"); colon > strings.LastIndex(repository, "/") {
		image.Repository, image.Tag = repository[:colon], repository[colon+1:]
	}
	return image
}

// Version is the tag of an image, or its digest.
func (i Image) Version() string {
	switch {
	case i.Tag != "":
		return i.Tag
	case i.Digest != "":
		return i.Digest
	default:
		return "latest"
	}
}
