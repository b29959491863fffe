// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
)

// TestKnobs: each field of the spec arrives where it acts, in both forms.
func TestKnobs(t *testing.T) {
	in := input(true)
	in.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{
		Retention: "26h", ScrapeInterval: "7s", ExtraArgs: []string{"--log.level=debug"}, Replicas: ptr.To[int32](1),
		Storage:    &v1alpha1.ManagedPrometheusStorage{Size: "10Gi", StorageClassName: ptr.To("fast")},
		PodOptions: v1alpha1.PodOptions{Image: "mirror/prometheus:v3.5.1", Resources: &corev1.ResourceRequirements{}},
	}
	c := *planned(t, in).Component
	want := []string{"--storage.tsdb.retention.time=1d2h", "--storage.tsdb.retention.size=8192MB", "--log.level=debug"}
	if diff := cmp.Diff(want, operandtest.Args(t, c)); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if c.Images[Name] != "mirror/prometheus:v3.5.1" || operandtest.ValueAt(t, c, "/spec/minReadySeconds") != float64(24) {
		t.Errorf("image %s, minReadySeconds %v", c.Images[Name], operandtest.ValueAt(t, c, "/spec/minReadySeconds"))
	}
	if diff := cmp.Diff([]string{volume}, c.Variants); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
	if content := content(c, "PersistentVolumeClaim", Name); !strings.Contains(content, `"10Gi"`) || !strings.Contains(content, `"fast"`) {
		t.Errorf("claim: %s", content)
	}
	if !strings.Contains(c.Files[configFile], "scrape_interval: 7s\n  scrape_timeout: 7s") {
		t.Errorf("configuration:\n%s", c.Files[configFile])
	}
	in.Facts.Prometheus.Managed.Plain = false
	patch := content(*planned(t, in).Component, "Prometheus", "metricspipeline")
	for _, text := range []string{`"1d2h"`, `"8192MB"`, `"7s"`, `"fast"`, `{"name":"log.level","value":"debug"}`,
		`"mirror/prometheus:v3.5.1"`} {
		if !strings.Contains(patch, text) {
			t.Errorf("the Prometheus object has no %s: %s", text, patch)
		}
	}
}

func content(c operand.Component, kind, name string) string {
	all := ""
	for _, patch := range c.Patches {
		if patch.Kind == kind && patch.Name == name {
			all += patch.Content
		}
	}
	return all
}

// TestRemoteWrite: the credentials of a store are files of the pod, or references of the object; what is missing is said, and nothing runs
// without it.
func TestRemoteWrite(t *testing.T) {
	in := input(true)
	key := func(name string) v1alpha1.KeyReference { return v1alpha1.KeyReference{Name: "store", Key: name} }
	token := key("token")
	in.Spec.Prometheus.Managed.RemoteWrite = []v1alpha1.ManagedRemoteWrite{
		{URL: "https://a/push", BearerToken: &token, CA: &v1alpha1.CertificateAuthority{ConfigMap: ptr.To(key("ca"))}},
		{URL: "https://b/push", BasicAuth: &v1alpha1.BasicAuth{Username: key("user"), Password: key("password")}},
	}
	c := *planned(t, in).Component
	for _, label := range []string{"prometheus: metrics/metricspipeline", "prometheus_replica: ${POD_NAME}"} {
		if !strings.Contains(c.Files[configFile], label) {
			t.Errorf("a store cannot tell replicas apart: no %s in\n%s", label, c.Files[configFile])
		}
	}
	for _, text := range []string{"/etc/prometheus/remote-write/0/token/token", "/etc/prometheus/remote-write/0/ca.crt/ca.crt",
		"/etc/prometheus/remote-write/1/username/username", "/etc/prometheus/remote-write/1/password/password"} {
		if !strings.Contains(c.Files[configFile], text) {
			t.Errorf("the configuration has no %s:\n%s", text, c.Files[configFile])
		}
		if path := text[:strings.LastIndex(text, "/")]; strings.Count(content(c, "Deployment", Name), `"mountPath":"`+path+`"`) != 2 {
			t.Errorf("%s is not mounted in both containers", path)
		}
	}
	fields := Operand{}.Describe().Authorities(in.Spec)
	in.Facts.Prometheus.Managed.Plain = false
	object := content(*planned(t, in).Component, "Prometheus", "metricspipeline")
	if !strings.Contains(object, `"credentials":{"key":"token","name":"store"}`) ||
		!strings.Contains(object, `"configMap":{"key":"ca","name":"store"}`) {
		t.Errorf("object %s", object)
	}
	const field = "prometheus.managed.remoteWrite[1].basicAuth.password"
	if fields[field] == nil {
		t.Errorf("%s is not read: %v", field, fields)
	}
	in.Facts.Authorities = map[string]cluster.Authority{field: {Missing: "there is no Secret store"}}
	proposal := planned(t, in)
	if proposal.Component != nil || len(proposal.Findings) != 1 || !proposal.Findings[0].Stalled {
		t.Errorf("%+v", proposal)
	}
}

// TestPlatformUsers: where the platform chooses users, as OpenShift does, no pod names one; elsewhere a kubelet has to see that the user of
// the image is not root.
func TestPlatformUsers(t *testing.T) {
	for _, plain := range []bool{true, false} {
		in := input(plain)
		kind, name := "Deployment", Name
		if !plain {
			kind, name = "Prometheus", "metricspipeline"
		}
		for _, chosen := range []bool{false, true} {
			in.Facts.PlatformUsers = chosen
			patch := content(*planned(t, in).Component, kind, name)
			for _, field := range []string{"runAsUser", "runAsGroup", "fsGroup"} {
				if removed := strings.Contains(patch, "securityContext/"+field); removed != chosen {
					t.Errorf("%s, the platform chooses: %v, %s is removed: %v", kind, chosen, field, removed)
				}
			}
		}
	}
}

// TestIntervalBelowTimeouts: apps keep scrape configurations of before whose timeout a new interval is below. Prometheus would refuse all of
// them, so it keeps its interval too.
func TestIntervalBelowTimeouts(t *testing.T) {
	in := input(true)
	in.Spec.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapeServices}
	timeout, interval := v1alpha1.Duration("10s"), v1alpha1.Duration("5s")
	in.Spec.Scrape.ScrapeTimeout, in.Spec.Prometheus.Managed.ScrapeInterval = timeout, interval
	in.Facts.Prometheus.Target.ScrapeInterval = 5 * time.Second
	if proposal := planned(t, in); proposal.Component == nil {
		t.Errorf("at first nothing is scraped, so nothing is refused: %+v", proposal)
	}
	in.LastGood = &operand.LastGood{}
	if proposal := planned(t, in); proposal.Component != nil || !strings.Contains(proposal.Retained, "ScrapeReady") {
		t.Errorf("%+v", proposal)
	}
	in.Spec.Scrape.Targets = nil
	if proposal := planned(t, in); proposal.Component == nil {
		t.Errorf("no app is scraped: %+v", proposal)
	}
}

// TestEnforcedNamespace: what the monitors of a namespace lead to has that namespace, unless apps may choose their labels.
func TestEnforcedNamespace(t *testing.T) {
	in := input(false)
	for honors, want := range map[bool]bool{false: true, true: false} {
		in.Spec.Scrape.HonorLabels = nil
		if honors {
			in.Spec.Scrape.HonorLabels = &v1alpha1.HonorLabels{}
		}
		patch := content(*planned(t, in).Component, "Prometheus", "metricspipeline")
		for _, field := range []string{"overrideHonorLabels", "enforcedNamespaceLabel", "excludedFromEnforcement"} {
			if strings.Contains(patch, field) != want {
				t.Errorf("apps choose their labels: %v: %s in %s", honors, field, patch)
			}
		}
	}
}
