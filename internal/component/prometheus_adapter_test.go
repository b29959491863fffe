// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestMaxAge keeps the two things that go wrong: the adapter exits when maxAge is below relistInterval, and metrics vanish
// between two scrapes when it is below the scrape interval.
func TestMaxAge(t *testing.T) {
	for _, tc := range []struct {
		relist, maxAge v1alpha1.Duration
		scrape         time.Duration
		want           time.Duration
	}{
		{"", "", 0, 2 * time.Minute},
		{"1m", "", 15 * time.Second, 2 * time.Minute},
		{"1m", "", 40 * time.Second, 2 * time.Minute},
		{"1m", "", time.Minute, 3 * time.Minute},
		{"10s", "", time.Minute, 3 * time.Minute},
		{"10s", "", 0, 20 * time.Second},
		{"1m", "5m", time.Minute, 5 * time.Minute},
		{"1m", "1m", 0, time.Minute},
		{"2m", "1m", 0, 2 * time.Minute},
		{"1m", "90s", time.Minute, 90 * time.Second},
	} {
		spec, caps := withRules(), offered()
		spec.PrometheusAdapter.RelistInterval, spec.PrometheusAdapter.MaxAge = tc.relist, tc.maxAge
		caps.Prometheus.ScrapeInterval = tc.scrape
		c := find(t, For(spec, caps), PrometheusAdapter)
		if got, _ := arg(t, c, "--metrics-max-age"); got != tc.want.String() {
			t.Errorf("relistInterval %q, maxAge %q, scraped every %s: --metrics-max-age=%s, want %s",
				tc.relist, tc.maxAge, tc.scrape, got, tc.want)
		}
		given, _ := arg(t, c, "--metrics-relist-interval")
		if relist, err := time.ParseDuration(given); err != nil || relist > tc.want {
			t.Errorf("relistInterval %q, maxAge %q: the adapter would exit: relist every %s, maximum age %s (%v)",
				tc.relist, tc.maxAge, given, tc.want, err)
		}
	}
}

func TestAdapterAsksPrometheus(t *testing.T) {
	caps := offered()
	caps.Prometheus.URL = "https://thanos.monitoring.svc:9091/prefix"
	c := find(t, For(withRules(), caps), PrometheusAdapter)
	if got, _ := arg(t, c, "--prometheus-url"); got != caps.Prometheus.URL {
		t.Errorf("--prometheus-url=%s, want %s", got, caps.Prometheus.URL)
	}
	if diff := cmp.Diff(map[string]string{"config.yaml": caps.Rules.Config}, c.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestSourceAsks(t *testing.T) {
	source := Source{URL: "https://a", CredentialsDigest: "one"}
	adapter := func(url, digest string) corev1.PodTemplateSpec {
		pods := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: []string{"--v=2", "--prometheus-url=" + url}}}}}
		if digest != "" {
			pods.Annotations = map[string]string{credentialsDigestAnnotation: digest}
		}
		return pods
	}
	for name, tc := range map[string]struct {
		pods corev1.PodTemplateSpec
		want bool
	}{
		"the same":          {adapter("https://a", "one"), true},
		"another":           {adapter("https://b", "one"), false},
		"a longer address":  {adapter("https://a/prefix", "one"), false},
		"other credentials": {adapter("https://a", "two"), false},
		"no credentials":    {adapter("https://a", ""), false},
		"no adapter":        {corev1.PodTemplateSpec{}, false},
	} {
		if got := source.Asks(tc.pods); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	if !(Source{URL: "https://a"}).Asks(adapter("https://a", "")) {
		t.Error("without credentials: false, want true")
	}
}

// TestAdapterPodsAreReplaced when what the adapter reads once, at start, has changed, and only then.
func TestAdapterPodsAreReplaced(t *testing.T) {
	annotations := func(spec v1alpha1.MetricsPipelineSpec, caps Capabilities) any {
		return valueAt(t, find(t, For(spec, caps), PrometheusAdapter), "/spec/template/metadata/annotations")
	}
	spec, caps := withRules(), offered()
	caps.Prometheus.CredentialsDigest = "one"
	before := annotations(spec, caps)

	if _, has := before.(map[string]any)[credentialsDigestAnnotation]; has {
		t.Error("without spec.prometheus.auth there is a digest of the credentials")
	}
	if diff := cmp.Diff(before, annotations(spec, caps)); diff != "" {
		t.Errorf("the annotations change by themselves:\n%s", diff)
	}
	caps.Rules.Config = "rules: [another]\n"
	if cmp.Equal(before, annotations(spec, caps)) {
		t.Error("another rule does not replace the pods")
	}

	spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BearerToken: &v1alpha1.KeyReference{Name: "prometheus", Key: "token"}}
	before = annotations(spec, caps)
	caps.Prometheus.CredentialsDigest = "two"
	if cmp.Equal(before, annotations(spec, caps)) {
		t.Error("another token does not replace the pods")
	}
}

func TestAdapterCredentials(t *testing.T) {
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
			spec := withRules()
			spec.Prometheus.Auth, spec.Prometheus.TLS = tc.auth, tc.tls
			c := find(t, For(spec, offered()), PrometheusAdapter)

			var given, mounts []string
			var volumes []any
			for _, arg := range args(t, c) {
				if strings.HasPrefix(arg, "--prometheus-") && !strings.HasPrefix(arg, "--prometheus-url") {
					given = append(given, arg)
				}
			}
			for _, operation := range operationsOn(t, c, "Deployment") {
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
