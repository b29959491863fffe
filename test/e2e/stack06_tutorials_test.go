// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

// TestStackTutorials takes each page of docs/tutorials from nothing to nothing, as TestDocs does with the README.
func TestStackTutorials(t *testing.T) {
	g := story(t)
	needTestCluster(t) // The pages install addons of it.
	givenNoPipeline(t)
	pages, err := filepath.Glob(filepath.Join(cluster.Root, "docs", "tutorials", "[a-z]*.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(pages)).To(BeNumerically(">=", 6))
	for _, page := range pages {
		document, err := filepath.Rel(cluster.Root, page)
		g.Expect(err).NotTo(HaveOccurred())
		if !t.Run(filepath.Base(page), func(t *testing.T) { follow(t, document) }) {
			return // The next one begins with nothing.
		}
	}
}
