// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestMaxAge keeps the two things that go wrong: the adapter exits when maxAge is below relistInterval, and metrics vanish
// between two scrapes when it is below the scrape interval, be that the Prometheus' own or spec.scrape.interval.
func TestMaxAge(t *testing.T) {
	for _, tc := range []struct {
		relist, maxAge v1alpha1.Duration
		scrape         time.Duration
		apps           v1alpha1.Duration
		want           time.Duration
	}{
		{"", "", 0, "", 2 * time.Minute},
		{"1m", "", 15 * time.Second, "", 2 * time.Minute},
		{"1m", "", 40 * time.Second, "", 2 * time.Minute},
		{"1m", "", time.Minute, "", 3 * time.Minute},
		{"10s", "", time.Minute, "", 3 * time.Minute},
		{"10s", "", 0, "", 20 * time.Second},
		{"1m", "5m", time.Minute, "", 5 * time.Minute},
		{"1m", "1m", 0, "", time.Minute},
		{"2m", "1m", 0, "", 2 * time.Minute},
		{"1m", "90s", time.Minute, "", 90 * time.Second},
		{"1m", "", 30 * time.Second, "2m", 6 * time.Minute},
		{"1m", "", 0, "2m", 6 * time.Minute},
		{"1m", "", 2 * time.Minute, "30s", 6 * time.Minute},
		{"1m", "5m", 0, "2m", 5 * time.Minute},
	} {
		in := input()
		in.Spec.PrometheusAdapter.RelistInterval, in.Spec.PrometheusAdapter.MaxAge = tc.relist, tc.maxAge
		in.Spec.Scrape.Interval, in.Facts.Prometheus.Target.ScrapeInterval = tc.apps, tc.scrape
		c := component(t, in)
		if got, _ := operandtest.Arg(t, c, "--metrics-max-age"); got != tc.want.String() {
			t.Errorf("%+v: --metrics-max-age=%s", tc, got)
		}
		given, _ := operandtest.Arg(t, c, "--metrics-relist-interval")
		if relist, err := time.ParseDuration(given); err != nil || relist > tc.want {
			t.Errorf("%+v: the adapter would exit: relist every %s (%v)", tc, given, err)
		}
	}
}

// TestMaxAgeTooShort is said with what scrapes less often, and is a person's to correct.
func TestMaxAgeTooShort(t *testing.T) {
	for name, tc := range map[string]struct {
		maxAge v1alpha1.Duration
		scrape time.Duration
		apps   v1alpha1.Duration
		says   []string
	}{
		"shorter than the Prometheus' interval": {"1m", 2 * time.Minute, "", []string{
			"prometheusAdapter.maxAge is 1m0s", "Prometheus monitoring/main scrapes every 2m0s", "raise maxAge"}},
		"shorter than spec.scrape.interval": {"1m", 30 * time.Second, "3m", []string{
			"prometheusAdapter.maxAge is 1m0s", "by spec.scrape.interval apps are scraped every 3m0s", "raise maxAge"}},
		"as long":              {"1m", time.Minute, "", nil},
		"longer":               {"5m", time.Minute, "2m", nil},
		"unset":                {"", 10 * time.Minute, "20m", nil},
		"no interval is known": {"1m", 0, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			in.Spec.PrometheusAdapter.MaxAge, in.Spec.Scrape.Interval = tc.maxAge, tc.apps
			in.Facts.Prometheus.Target.ScrapeInterval = tc.scrape
			findings := plan(t, in).Findings
			if tc.says == nil {
				if len(findings) > 0 {
					t.Errorf("found %+v", findings)
				}
				return
			}
			if len(findings) != 1 || findings[0].Reason != v1alpha1.ReasonMaxAgeTooShort || !findings[0].Stalled ||
				findings[0].Condition != v1alpha1.ConditionPrometheusReady {
				t.Fatalf("found %+v", findings)
			}
			for _, part := range tc.says {
				if !strings.Contains(findings[0].Message, part) {
					t.Errorf("%q does not say %q", findings[0].Message, part)
				}
			}
		})
	}
}

func TestQueriesPrometheus(t *testing.T) {
	in := input()
	in.Facts.Prometheus.Target.URL = "https://thanos.monitoring.svc:9091/prefix"
	c := component(t, in)
	if got, _ := operandtest.Arg(t, c, "--prometheus-url"); got != in.Facts.Prometheus.Target.URL {
		t.Errorf("--prometheus-url=%s, want %s", got, in.Facts.Prometheus.Target.URL)
	}
	if config := c.Files["config.yaml"]; len(c.Files) != 1 || !strings.Contains(config, "http_requests_total") ||
		!strings.Contains(config, "queue_depth") {
		t.Errorf("files %q", c.Files)
	}
}

// TestQueries is true only of a form that queries the present source with the present credentials.
func TestQueries(t *testing.T) {
	in := input()
	in.Facts.Prometheus.Target.URL = "https://a"
	in.Facts.Prometheus.Access = prometheus.Access{Token: []byte("one")}
	without := in
	in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "prometheus", Key: "token"}}
	digest := in.Facts.Prometheus.Access.Digest()
	adapter := func(url, digest string) *unstructured.Unstructured {
		annotations := map[string]any{}
		if digest != "" {
			annotations[credentialsDigestAnnotation] = digest
		}
		return deployed(annotations, []any{"--v=2", "--prometheus-url=" + url})
	}
	for name, tc := range map[string]struct {
		object *unstructured.Unstructured
		want   bool
	}{
		"the same":          {adapter("https://a", digest), true},
		"another":           {adapter("https://b", digest), false},
		"a longer address":  {adapter("https://a/prefix", digest), false},
		"other credentials": {adapter("https://a", "two"), false},
		"no credentials":    {adapter("https://a", ""), false},
		"no adapter":        {service(), false},
		"no pods":           {&unstructured.Unstructured{Object: map[string]any{"kind": "Deployment", "metadata": map[string]any{"name": Name}}}, false},
	} {
		if got := queries(&operand.LastGood{Objects: []*unstructured.Unstructured{tc.object}}, in); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	if !queries(&operand.LastGood{Objects: []*unstructured.Unstructured{adapter("https://a", "")}}, without) {
		t.Error("without credentials: false, want true")
	}
}

// TestPodsAreReplaced when what the adapter reads once, at start, has changed, and only then.
func TestPodsAreReplaced(t *testing.T) {
	annotations := func(in operand.Input) any {
		return operandtest.ValueAt(t, component(t, in), "/spec/template/metadata/annotations")
	}
	in := input()
	in.Facts.Prometheus.Access.Token = []byte("one")
	before := annotations(in)

	if _, has := before.(map[string]any)[credentialsDigestAnnotation]; has {
		t.Error("without spec.prometheus.auth there is a digest of the credentials")
	}
	if diff := cmp.Diff(before, annotations(in)); diff != "" {
		t.Errorf("the annotations change by themselves:\n%s", diff)
	}
	in.Spec.CustomMetrics.Rules[0].MetricsQuery = "max(x)"
	if cmp.Equal(before, annotations(in)) {
		t.Error("another rule does not replace the pods")
	}

	in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "prometheus", Key: "token"}}
	before = annotations(in)
	in.Facts.Prometheus.Access.Token = []byte("two")
	if cmp.Equal(before, annotations(in)) {
		t.Error("another token does not replace the pods")
	}
}

func TestCredentials(t *testing.T) {
	secret := &v1alpha1.KeyReference{Name: "prometheus", Key: "thing"}
	for name, tc := range map[string]struct {
		auth    *v1alpha1.PrometheusAuth
		tls     *v1alpha1.ClientTLS
		args    []string
		volumes []any
		mounts  []string
	}{
		"none": {},
		"token": {
			auth:    &v1alpha1.PrometheusAuth{BearerToken: secret},
			args:    []string{"--prometheus-token-file=/etc/prometheus/token/thing"},
			volumes: []any{map[string]any{"name": "prometheus-token", "secret": map[string]any{"secretName": "prometheus"}}},
			mounts:  []string{"/etc/prometheus/token"},
		},
		"authority in a Secret": {
			tls:     &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{Secret: secret}},
			args:    []string{"--prometheus-ca-file=/etc/prometheus/ca/thing"},
			volumes: []any{map[string]any{"name": "prometheus-ca", "secret": map[string]any{"secretName": "prometheus"}}},
			mounts:  []string{"/etc/prometheus/ca"},
		},
		"authority in a ConfigMap": {
			tls:     &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{ConfigMap: secret}},
			args:    []string{"--prometheus-ca-file=/etc/prometheus/ca/thing"},
			volumes: []any{map[string]any{"name": "prometheus-ca", "configMap": map[string]any{"name": "prometheus"}}},
			mounts:  []string{"/etc/prometheus/ca"},
		},
		"client certificate": {
			tls: &v1alpha1.ClientTLS{ClientCert: &v1alpha1.NameReference{Name: "client"}},
			args: []string{
				"--prometheus-client-tls-cert-file=/etc/prometheus/client/tls.crt",
				"--prometheus-client-tls-key-file=/etc/prometheus/client/tls.key",
			},
			volumes: []any{map[string]any{"name": "prometheus-client", "secret": map[string]any{"secretName": "client"}}},
			mounts:  []string{"/etc/prometheus/client"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			in.Spec.Prometheus.Auth, in.Spec.Prometheus.TLS = tc.auth, tc.tls
			c := component(t, in)

			var given, mounts []string
			var volumes []any
			for _, arg := range operandtest.Args(t, c) {
				if strings.HasPrefix(arg, "--prometheus-") && !strings.HasPrefix(arg, "--prometheus-url") {
					given = append(given, arg)
				}
			}
			for _, operation := range operandtest.Operations(t, c, "Deployment") {
				switch operation.Path {
				case "/spec/template/spec/volumes/-":
					volumes = append(volumes, operation.Value)
				case "/spec/template/spec/containers/0/volumeMounts/-":
					mount := operation.Value.(map[string]any)
					mounts = append(mounts, mount["mountPath"].(string))
					if mount["readOnly"] != true {
						t.Errorf("%v is mounted writable", mount)
					}
				}
			}
			if diff := cmp.Diff(tc.args, given); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.volumes, volumes); diff != "" {
				t.Errorf("volumes (-want +got):\n%s", diff)
			}
			if !slices.Equal(tc.mounts, mounts) {
				t.Errorf("mounted at %q, want %q", mounts, tc.mounts)
			}
		})
	}
}
