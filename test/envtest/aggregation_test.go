// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestNoAggregationLayer: on a control plane without a request header CA no metrics API can work, and the status says what
// kube-apiserver needs.
func TestNoAggregationLayer(t *testing.T) {
	without, err := harness.StartCluster(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := without.Stop(); err != nil {
			t.Errorf("stopping the control plane: %v", err)
		}
	})
	if err := without.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := beginOn(t, without, harness.Conditions{})
	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionAggregationLayerReady)).Should(beFalse(v1alpha1.ReasonRequestHeaderCAMissing,
		"kube-system/extension-apiserver-authentication", "requestheader-client-ca-file", "--proxy-client-cert-file"))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonRequestHeaderCAMissing))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.Expect(w.apiServices()).To(BeEmpty())
}
