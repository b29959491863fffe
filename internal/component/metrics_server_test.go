// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

func TestMetricsServerArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		spec v1alpha1.MetricsServerSpec
		want []string
	}{
		"where the schema's defaults were bypassed": {
			want: []string{"--metric-resolution=15s", "--kubelet-request-timeout=10s"},
		},
		"everything": {
			spec: v1alpha1.MetricsServerSpec{
				MetricResolution: "1m",
				Kubelet: v1alpha1.KubeletSpec{
					TLS:                   v1alpha1.TLSOptions{Verification: v1alpha1.TLSInsecure},
					PreferredAddressTypes: []string{"Hostname", "InternalIP"},
					RequestTimeout:        "5s",
				},
				ExtraArgs: []string{"--v=4", "--vmodule=scraper=6"},
			},
			want: []string{
				"--metric-resolution=1m0s", "--kubelet-request-timeout=5s", "--kubelet-preferred-address-types=Hostname,InternalIP",
				"--kubelet-insecure-tls", "--v=4", "--vmodule=scraper=6",
			},
		},
		"verified kubelets": {
			spec: v1alpha1.MetricsServerSpec{Kubelet: v1alpha1.KubeletSpec{TLS: v1alpha1.TLSOptions{Verification: v1alpha1.TLSVerify}}},
			want: []string{"--metric-resolution=15s", "--kubelet-request-timeout=10s"},
		},
		"a percent sign in an argument": {
			spec: v1alpha1.MetricsServerSpec{ExtraArgs: []string{"--log=100%s"}},
			want: []string{"--metric-resolution=15s", "--kubelet-request-timeout=10s", "--log=100%s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := For(v1alpha1.MetricsPipelineSpec{MetricsServer: tc.spec}, offered())
			if diff := cmp.Diff(tc.want, args(t, find(t, plan, MetricsServer))); diff != "" {
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
		server := v1alpha1.MetricsServerSpec{
			MetricResolution: tc.resolution, Kubelet: v1alpha1.KubeletSpec{RequestTimeout: tc.timeout}}
		c := find(t, For(v1alpha1.MetricsPipelineSpec{MetricsServer: server}, offered()), MetricsServer)
		got, _ := arg(t, c, "--kubelet-request-timeout")
		if got != tc.want.String() {
			t.Errorf("resolution %q, timeout %q: --kubelet-request-timeout=%s, want %s", tc.resolution, tc.timeout, got, tc.want)
		}
		given, _ := arg(t, c, "--metric-resolution")
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

// TestExtraArgsComeLast lets a user's flag win over one of the asset that the schema does not refuse.
func TestExtraArgsComeLast(t *testing.T) {
	spec := withRules()
	spec.MetricsServer.ExtraArgs, spec.PrometheusAdapter.ExtraArgs = []string{"--v=9"}, []string{"--v=9"}
	for _, c := range For(spec, offered()).Components {
		if given := args(t, c); slices.Index(given, "--v=9") != len(given)-1 {
			t.Errorf("%s: %q", c.Name, given)
		}
	}
}
