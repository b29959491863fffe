// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsserver

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

func authorityIn(configMap string) *v1alpha1.CertificateAuthority {
	return &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{Name: configMap, Key: "bundle.pem"}}
}

// verifiedBy returns what the operand wants for kubelets of an authority with a content.
func verifiedBy(t *testing.T, ca *v1alpha1.CertificateAuthority, authority cluster.Authority) operand.Proposal {
	t.Helper()
	in := operand.Input{Facts: operandtest.Facts()}
	in.Spec.MetricsServer.Kubelet.TLS.CA, in.Facts.Authorities = ca, map[string]cluster.Authority{authorityField: authority}
	proposal, err := Operand{}.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return proposal
}

// TestAuthority is mounted alone, and its content is on the pods: they read it once.
func TestAuthority(t *testing.T) {
	volume := func(source map[string]any) map[string]any {
		source["name"] = "kubelet-ca"
		return source
	}
	items := []any{map[string]any{"key": "bundle.pem", "path": "ca.crt"}}
	for name, tc := range map[string]struct {
		ca   *v1alpha1.CertificateAuthority
		want any
	}{
		"in a ConfigMap": {authorityIn("ours"), volume(map[string]any{"configMap": map[string]any{"name": "ours", "items": items}})},
		"in a Secret": {&v1alpha1.CertificateAuthority{Secret: &v1alpha1.KeyReference{Name: "ours", Key: "bundle.pem"}},
			volume(map[string]any{"secret": map[string]any{"secretName": "ours", "items": items}})},
	} {
		t.Run(name, func(t *testing.T) {
			component := *verifiedBy(t, tc.ca, cluster.Authority{Content: []byte("one")}).Component
			if diff := cmp.Diff(tc.want, operandtest.ValueAt(t, component, "/spec/template/spec/volumes/-")); diff != "" {
				t.Errorf("volume (-want +got):\n%s", diff)
			}
			annotations := func(content string) any {
				component := *verifiedBy(t, tc.ca, cluster.Authority{Content: []byte(content)}).Component
				return operandtest.ValueAt(t, component, "/spec/template/metadata/annotations")
			}
			if cmp.Equal(annotations("one"), annotations("two")) {
				t.Error("another authority leaves the pods as they are")
			}
			if !cmp.Equal(annotations("one"), annotations("one")) {
				t.Error("the same authority changes the pods")
			}
		})
	}
}

// TestMissingAuthority keeps what runs, and is named.
func TestMissingAuthority(t *testing.T) {
	missing := "spec.metricsServer.kubelet.tls.ca.configMap: there is no ConfigMap ours in the operator's namespace metrics; create it"
	got := verifiedBy(t, authorityIn("ours"), cluster.Authority{Missing: missing})
	want := []operand.Finding{{Condition: v1alpha1.ConditionComponentsReady, Reason: v1alpha1.ReasonKubeletCAMissing, Stalled: true,
		Message: "metrics-server: " + missing + "."}}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if got.Component != nil || got.Retained == "" || got.Omitted[metricsapi.Resource.Name()].Reason != v1alpha1.ReasonWaitingForBackend {
		t.Errorf("proposed %+v", got)
	}
}

// TestPortIsLetOut by the NetworkPolicy, once.
func TestPortIsLetOut(t *testing.T) {
	for port, want := range map[int32]int{0: 0, 10250: 0, 10251: 1} {
		component := *plan(t, v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{Port: port}}).Component
		if got := operandtest.Operations(t, component, "NetworkPolicy"); len(got) != want {
			t.Errorf("port %d: %+v, want %d more ports", port, got, want)
		}
	}
}

// TestAccess: the operator asks as metrics-server does.
func TestAccess(t *testing.T) {
	types := []string{"InternalIP"}
	for name, tc := range map[string]struct {
		spec v1alpha1.MetricsServerSpec
		want kubelet.Access
	}{
		"defaults that the schema would set": {want: kubelet.Access{AddressTypes: defaultAddressTypes, Patience: time.Minute}},
		"fields": {spec: v1alpha1.MetricsServerSpec{MetricResolution: "1m",
			Kubelet: v1alpha1.KubeletSpec{Port: 10251, PreferredAddressTypes: types}},
			want: kubelet.Access{AddressTypes: types, Port: 10251, Patience: 4 * time.Minute}},
		"Insecure": {spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.KubeletTLS{Verification: v1alpha1.TLSInsecure}}},
			want: kubelet.Access{AddressTypes: defaultAddressTypes, Patience: time.Minute, Unverified: true}},
		"an authority that an argument names": {spec: v1alpha1.MetricsServerSpec{ExtraArgs: []string{"--kubelet-certificate-authority=/ca.crt"}},
			want: kubelet.Access{AddressTypes: defaultAddressTypes, Patience: time.Minute, Unverified: true}},
		"nodes that an argument selects": {spec: v1alpha1.MetricsServerSpec{ExtraArgs: []string{"--node-selector=a=b"}},
			want: kubelet.Access{AddressTypes: defaultAddressTypes, Patience: time.Minute, Selective: true}},
	} {
		got := plan(t, tc.spec).Kubelets
		texts := cmpopts.IgnoreFields(kubelet.Access{}, "Unverifiable", "Unreachable", "Log")
		if diff := cmp.Diff(&tc.want, got, texts, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, remedy := range []string{"serverTLSBootstrap: true", "kubectl certificate approve", "spec.metricsServer.kubelet.tls.ca",
			"spec.metricsServer.kubelet.tls.verification: Insecure", "can then forge its numbers"} {
			if !strings.Contains(got.Unverifiable, remedy) {
				t.Errorf("%s: the remedies lack %q: %s", name, remedy, got.Unverifiable)
			}
		}
	}
}
