// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsserver

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// plan returns what the operand wants for its section of the spec.
func plan(t *testing.T, spec v1alpha1.MetricsServerSpec) operand.Proposal {
	t.Helper()
	in := operand.Input{Spec: v1alpha1.MetricsPipelineSpec{MetricsServer: spec}, Facts: operandtest.Facts(), Image: "example.com/server:1"}
	proposal, err := Operand{}.Plan(in)
	if err != nil || proposal.Component == nil {
		t.Fatal(proposal, err)
	}
	return proposal
}

func TestArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		spec v1alpha1.MetricsServerSpec
		want []string
	}{
		"where the schema's defaults were bypassed": {
			want: []string{"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-request-timeout=10s"},
		},
		"everything": {
			spec: v1alpha1.MetricsServerSpec{
				MetricResolution: "1m",
				Kubelet: v1alpha1.KubeletSpec{
					TLS:                   v1alpha1.KubeletTLS{Verification: v1alpha1.TLSInsecure},
					PreferredAddressTypes: []string{"Hostname", "InternalIP"},
					RequestTimeout:        "5s",
				},
				ExtraArgs: []string{"--v=4", "--vmodule=scraper=6"},
			},
			want: []string{
				"--kubelet-use-node-status-port", "--metric-resolution=1m0s", "--kubelet-request-timeout=5s", "--kubelet-preferred-address-types=Hostname,InternalIP",
				"--kubelet-insecure-tls", "--v=4", "--vmodule=scraper=6",
			},
		},
		"verified kubelets": {
			spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.KubeletTLS{Verification: v1alpha1.TLSVerify}}},
			want: []string{"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-request-timeout=10s"},
		},
		"a port": {
			spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{Port: 10251}},
			want: []string{"--kubelet-port=10251", "--metric-resolution=15s", "--kubelet-request-timeout=10s"},
		},
		"an authority": {
			spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.KubeletTLS{CA: authorityIn("kubelet-ca")}}},
			want: []string{"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-request-timeout=10s",
				"--kubelet-certificate-authority=/etc/kubelet-ca/ca.crt"},
		},
		"an authority where the schema was bypassed": {
			spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.KubeletTLS{
				Verification: v1alpha1.TLSInsecure, CA: authorityIn("kubelet-ca")}}},
			want: []string{"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-request-timeout=10s", "--kubelet-insecure-tls"},
		},
		"a percent sign in an argument": {
			spec: v1alpha1.MetricsServerSpec{ExtraArgs: []string{"--log=100%s"}},
			want: []string{"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-request-timeout=10s", "--log=100%s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, operandtest.Args(t, *plan(t, tc.spec).Component)); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKubeletTimeout keeps to what metrics-server checks at start: it exits when the timeout is more than nine tenths of
// the resolution.
func TestKubeletTimeout(t *testing.T) {
	for _, tc := range []struct {
		resolution, timeout v1alpha1.Duration
		want                time.Duration
	}{
		{"", "", 10 * time.Second},
		{"15s", "", 10 * time.Second},
		{"10s", "", 9 * time.Second},
		{"10s", "9s", 9 * time.Second},
		{"10s", "10s", 9 * time.Second},
		{"11s", "", 9900 * time.Millisecond},
		{"1m", "", 10 * time.Second},
		{"1m", "54s", 54 * time.Second},
		{"1m", "2m", 54 * time.Second},
		{"", "14s", 13500 * time.Millisecond},
		{"15s", "not a duration", 10 * time.Second},
	} {
		c := *plan(t, v1alpha1.MetricsServerSpec{
			MetricResolution: tc.resolution, Kubelet: v1alpha1.KubeletSpec{RequestTimeout: tc.timeout}}).Component
		got, _ := operandtest.Arg(t, c, "--kubelet-request-timeout")
		if got != tc.want.String() {
			t.Errorf("resolution %q, timeout %q: --kubelet-request-timeout=%s, want %s", tc.resolution, tc.timeout, got, tc.want)
		}
		given, _ := operandtest.Arg(t, c, "--metric-resolution")
		resolution, err := time.ParseDuration(given)
		if err != nil {
			t.Fatal(err)
		}
		if resolution*9/10 < tc.want {
			t.Errorf("resolution %q, timeout %q: metrics-server would exit: %s is more than nine tenths of %s",
				tc.resolution, tc.timeout, got, resolution)
		}
	}
}

// TestInsecureIsReported, in Ready and without turning it False: the spec wants it.
func TestInsecureIsReported(t *testing.T) {
	for verification, want := range map[v1alpha1.TLSVerification]int{"": 0, v1alpha1.TLSVerify: 0, v1alpha1.TLSInsecure: 1} {
		findings := plan(t, v1alpha1.MetricsServerSpec{
			Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.KubeletTLS{Verification: verification}}}).Findings
		if len(findings) != want {
			t.Errorf("%q: %d findings, want %d", verification, len(findings), want)
		}
		for _, f := range findings {
			if f.Condition != v1alpha1.ConditionReady || f.Reason != "" || f.Stalled ||
				!strings.HasPrefix(f.Message, "metricsServer.kubelet.tls.verification is Insecure") {
				t.Errorf("%q: found %+v", verification, f)
			}
		}
	}
}

// TestWithheld: where the operator is not to serve metrics.k8s.io, nothing runs for it.
func TestWithheld(t *testing.T) {
	in := operand.Input{Facts: operandtest.Facts(), Omitted: metricsapi.Withhold(
		v1alpha1.MetricsPipelineSpec{}, map[string]bool{metricsapi.Resource.Group: true})}
	proposal, err := Operand{}.Plan(in)
	if diff := cmp.Diff(operand.Proposal{}, proposal); err != nil || diff != "" {
		t.Errorf("error %v, proposal (-want +got):\n%s", err, diff)
	}
}

// TestAnotherBackend: where the spec names another one, it runs only while the API leads to it, and is leaving that.
func TestAnotherBackend(t *testing.T) {
	for service, runs := range map[string]bool{"": false, Name: true, "another": false} {
		in := operand.Input{Facts: operandtest.Facts()}
		in.Spec.ResourceMetrics.Backend = v1alpha1.BackendPrometheusAdapter
		if service != "" {
			in.Facts.APIServices = operandtest.Registered(in.Facts.Namespace, service, metricsapi.Resource)
		}
		proposal, err := Operand{}.Plan(in)
		if err != nil || (proposal.Component != nil) != runs || (len(proposal.Leaving) == 1) != runs {
			t.Errorf("metrics.k8s.io leads to %q: %+v, %v", service, proposal, err)
		}
	}
}
