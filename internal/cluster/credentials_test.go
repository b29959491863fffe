// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestReferencesHaveAnOrder: of two missing keys the same one is always reported, so that the status does not change at each look.
func TestReferencesHaveAnOrder(t *testing.T) {
	spec := v1alpha1.PrometheusSpec{TLS: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "client"}}}
	for range 20 {
		all := references(spec, &prometheus.Credentials{})
		if len(all) != 2 || all[0].key.Key != corev1.TLSCertKey {
			t.Fatalf("%+v", all)
		}
	}
}
