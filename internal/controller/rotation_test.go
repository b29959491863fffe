// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/probe"
)

// TestBundle trusts an earlier authority until every endpoint serves by the new one and the stored certificate is the new one,
// too: what the cache shows may be older than that.
func TestBundle(t *testing.T) {
	c := component.Component{Name: component.MetricsServer, Namespace: "metrics", APIs: []component.API{component.ResourceMetrics}}
	earlier, serves := selfSigned(t), selfSigned(t)
	both := slices.Concat(serves.authority, earlier.authority)
	yes, no := probe.Answer{Known: true}, probe.Answer{}
	for name, tc := range map[string]struct {
		trusted []byte
		stored  certificate
		answers []probe.Answer
		want    []byte
		rotates bool
	}{
		"rotated":                          {both, serves, []probe.Answer{yes, yes}, serves.authority, false},
		"one endpoint serves the earlier":  {both, serves, []probe.Answer{yes, no}, both, true},
		"nobody serves":                    {both, serves, nil, both, true},
		"the earlier was stored meanwhile": {both, earlier, []probe.Answer{yes, yes}, both, true},
		"it is not trusted yet":            {earlier.authority, earlier, []probe.Answer{no}, both, true},
		"nothing to rotate":                {serves.authority, serves, []probe.Answer{no}, serves.authority, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := inMemory(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: c.ServingSecret()},
				Data: map[string][]byte{corev1.TLSCertKey: tc.stored.pair.Cert}})
			apiService := registered(component.ResourceMetrics, c.Name, apiregv1.ConditionTrue, "Passed")
			apiService.Spec.CABundle = tc.trusted
			s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
			s.apiServices = map[string]*apiregv1.APIService{apiService.Name: apiService}
			s.serves[c.Name], s.serving[c.Name] = serves, tc.answers
			bundle, err := r.bundle(t.Context(), s, c)
			if err != nil || certs.Predecessors(tc.want, bundle, moment) != 0 || certs.Predecessors(bundle, tc.want, moment) != 0 {
				t.Errorf("error %v, bundle:\n%s\nwant:\n%s", err, bundle, tc.want)
			}
			if rotates := slices.Contains(s.observed.certificates.rotating, c.Name); rotates != tc.rotates {
				t.Errorf("rotates: %v, want %v", rotates, tc.rotates)
			}
		})
	}
}

// selfSigned returns a certificate that is its own authority.
func selfSigned(t *testing.T) certificate {
	t.Helper()
	pair, _, err := certs.EnsureAuthority(certs.Pair{}, moment)
	if err != nil {
		t.Fatal(err)
	}
	return certificate{pair: pair, authority: pair.Cert}
}

// TestIssuedMeanwhile: what cert-manager issues while a reconcile is under way is kept by it.
func TestIssuedMeanwhile(t *testing.T) {
	r, _ := inMemory(t)
	s := newScope(&v1alpha1.MetricsPipeline{}, "metrics")
	name := certs.IssuedSecret(component.MetricsServer)
	if secret, err := r.adopt(t.Context(), s, name, nil); secret != nil || err != nil {
		t.Fatalf("found %v, %v", secret, err)
	}
	issued := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: name, Labels: component.Labels(component.MetricsServer)}}
	issued.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if !s.keeps(issued) {
		t.Error("it would be deleted")
	}
}
