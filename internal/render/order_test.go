// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"testing"

	"github.com/metricspipeline/operator/internal/component"
)

func TestDeploymentsComeLast(t *testing.T) {
	var r Renderer
	rendered, err := r.Build(component.Catalog())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rendered {
		for index, object := range c.Objects {
			if object.GetKind() == "Deployment" && index != len(c.Objects)-1 {
				t.Errorf("%s: the Deployment is object %d of %d, before what its pods need", c.Component, index+1, len(c.Objects))
			}
		}
	}
}
