// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"flag"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

var update = flag.Bool("update", false, "write testdata/prometheus.yaml")

// input wants the Prometheus in one of its forms, and nothing else.
func input(plain bool) operand.Input {
	in := operand.Input{Facts: operandtest.Facts(), Image: "quay.io/prometheus/prometheus:v3.5.1"}
	in.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
	p := &in.Facts.Prometheus
	p.Required, p.Managed = false, prometheus.Managed{Namespace: in.Facts.Namespace, Plain: plain}
	p.Token = cluster.Token{Value: "the-token", Hash: "$2a$10$hash"}
	p.Target = prometheus.Target{URL: "https://prometheus", Managed: true, ScrapeConfigs: plain}
	return in
}

func planned(t *testing.T, in operand.Input) operand.Proposal {
	t.Helper()
	proposal, err := Operand{}.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	return proposal
}

// TestForms: a Deployment with a Service, a certificate and a token; or an object for prometheus-operator.
func TestForms(t *testing.T) {
	deployment := planned(t, input(true)).Component
	if deployment == nil || deployment.Service != Name || deployment.Serving != serving || deployment.AccessSecret != Name+"-access" ||
		len(deployment.Files[configFile]) == 0 || len(deployment.APIs) > 0 {
		t.Errorf("Deployment: %+v", deployment)
	}
	if len(deployment.Variants) > 0 {
		t.Errorf("variants %v", deployment.Variants)
	}
	object := planned(t, input(false)).Component
	if object == nil || object.Service != "" || object.Serving != serving || len(object.Workloads)+len(object.Files) > 0 {
		t.Errorf("object: %+v", object)
	}
	if diff := cmp.Diff([]string{"object"}, object.Variants); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
	for key, value := range planned(t, input(false)).Access {
		if strings.Contains(string(value), "the-token") || key != scrapeKey {
			t.Errorf("the object reads %s: %s", key, value)
		}
	}
}

// TestTheTokenIsInTheSecretAlone: neither a field of the pods nor the ConfigMap has it.
func TestTheTokenIsInTheSecretAlone(t *testing.T) {
	proposal := planned(t, input(true))
	for _, patch := range proposal.Component.Patches {
		if strings.Contains(patch.Content, "the-token") || strings.Contains(patch.Content, "$2a$") {
			t.Errorf("patch of %s: %s", patch.Kind, patch.Content)
		}
	}
	if strings.Contains(proposal.Component.Files[configFile], "$2a$") {
		t.Error("the configuration has the hash")
	}
	var web struct {
		Users map[string]string `json:"basic_auth_users"`
		TLS   map[string]string `json:"tls_server_config"`
	}
	if err := yaml.Unmarshal(proposal.Access[webKey], &web); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"metricspipeline": "$2a$10$hash"}, web.Users); diff != "" || web.TLS["min_version"] != "TLS12" {
		t.Errorf("web.yaml: %v\n%s", web, diff)
	}
	in := input(true)
	in.Facts.Prometheus.Access.CA = []byte("the authority")
	if got := string(planned(t, in).Access[cluster.AuthorityKey]); got != "the authority" {
		t.Errorf("who reads the token verifies Prometheus by %q", got)
	}
	in.Facts.Prometheus.Token = cluster.Token{}
	if access := planned(t, in).Access; access != nil {
		t.Errorf("without a token the Secret would be %v", access)
	}
}

// TestReplicas: two pods have a budget and spread.
func TestReplicas(t *testing.T) {
	in := input(true)
	in.Spec.Prometheus.Managed.Replicas = ptr.To[int32](2)
	if diff := cmp.Diff([]string{operand.HighAvailability}, planned(t, in).Component.Variants); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
}

// TestComponents: its configuration has the operator and its components as targets, each verified by the authority of its own certificate
// and asked with the token that is installed for that.
func TestComponents(t *testing.T) {
	const golden = "testdata/prometheus.yaml"
	authorities := map[string]string{"metrics-server-tls": "metrics-server's authority\n", "prometheus-adapter-tls": "the adapter's authority\n",
		"self-monitoring-tls": "the operator's authority\n", "managed-prometheus-tls": "its own\n"}
	in := input(true)
	in.Facts.Prometheus.Authorities = authorities
	got := planned(t, in).Component.Files[configFile]
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if that is meant, run the test with -update (-want +got):\n%s", golden, diff)
	}
	const job = "job_name: serviceMonitor/"
	for name, tc := range map[string]struct {
		change func(*operand.Input)
		jobs   int
	}{
		"the token is not there":            {func(in *operand.Input) { in.Facts.Prometheus.Authorities = nil }, 0},
		"a certificate is not issued yet":   {func(in *operand.Input) { delete(in.Facts.Prometheus.Authorities, "self-monitoring-tls") }, 2},
		"the spec wants none to be scraped": {func(in *operand.Input) { in.Spec.Monitoring.Monitors = v1alpha1.MonitoringDisabled }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(true)
			in.Facts.Prometheus.Authorities = maps.Clone(authorities)
			tc.change(&in)
			if config := planned(t, in).Component.Files[configFile]; strings.Count(config, job) != tc.jobs {
				t.Errorf("%d jobs, want %d, in\n%s", strings.Count(config, job), tc.jobs, config)
			}
		})
	}
}

// TestKubelets: they are verified as metrics-server does.
func TestKubelets(t *testing.T) {
	for name, tc := range map[string]struct {
		tls  v1alpha1.KubeletTLS
		want string
	}{
		"by the cluster's authority": {want: "ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt"},
		"by one of the user's": {tls: v1alpha1.KubeletTLS{CA: &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{
			Name: "kubelets", Key: "ca"}}}, want: "ca_file: /etc/prometheus/kubelet-ca/ca.crt"},
		"by none": {tls: v1alpha1.KubeletTLS{Verification: v1alpha1.TLSInsecure}, want: "insecure_skip_verify: true"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(true)
			in.Spec.MetricsServer.Kubelet.TLS = tc.tls
			in.Spec.MetricsServer.Kubelet.Port = 10255
			c := planned(t, in).Component
			if config := c.Files[configFile]; strings.Count(config, tc.want) != 2 || strings.Count(config, "replacement: $1:10255") != 2 {
				t.Errorf("configuration:\n%s", config)
			}
			mounted := strings.Contains(content(*c, "Deployment", Name), "initContainers/0/volumeMounts/-")
			if mounted != (tc.tls.CA != nil) {
				t.Errorf("the authority is mounted: %v", mounted)
			}
		})
	}
	in := input(true)
	in.Facts.Authorities = map[string]cluster.Authority{authorityField: {Missing: "there is no ConfigMap"}}
	in.LastGood = &operand.LastGood{}
	if proposal := planned(t, in); proposal.Retained == "" || proposal.Component != nil {
		t.Errorf("without the authority: %+v", proposal)
	}
}

// TestRemoved: what a metrics API is served from stays until another source answers.
func TestRemoved(t *testing.T) {
	serving := operandtest.Registered("metrics", "backend", metricsapi.CustomV1Beta2)
	for name, tc := range map[string]struct {
		change   func(*operand.Input)
		retained string
		stalled  bool
	}{
		"nothing needs it": {func(*operand.Input) {}, "", false},
		"an API needs it":  {func(in *operand.Input) { in.Facts.APIServices = serving }, "no other Prometheus is named", true},
		"a rule needs it":  {func(in *operand.Input) { in.Facts.Prometheus.Required = true }, "no other Prometheus is named", true},
		"another does not answer yet": {func(in *operand.Input) {
			in.Facts.APIServices = serving
			in.Facts.Prometheus.Target = prometheus.Target{URL: "http://other"}
			in.Facts.Prometheus.Answer = probe.Answer{}
		}, "until another Prometheus answers", false},
		"another answers": {func(in *operand.Input) {
			in.Facts.APIServices = serving
			in.Facts.Prometheus.Target = prometheus.Target{URL: "http://other"}
		}, "", false},
		"it never ran": {func(in *operand.Input) { in.Facts.Prometheus.Required, in.LastGood = true, nil }, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(true)
			in.Spec.Prometheus.Managed, in.LastGood = nil, &operand.LastGood{}
			in.Facts.Prometheus.Target.Abandoned = true
			tc.change(&in)
			proposal := planned(t, in)
			if proposal.Component != nil || (proposal.Retained == "") != (tc.retained == "") || !strings.Contains(proposal.Retained, tc.retained) {
				t.Errorf("%+v", proposal)
			}
			stalled := len(proposal.Findings) == 1 && proposal.Findings[0].Stalled && proposal.Findings[0].Reason == v1alpha1.ReasonManagedRemoved
			if stalled != tc.stalled {
				t.Errorf("findings %+v", proposal.Findings)
			}
		})
	}
}

// TestUnknown: while it is not known what the cluster serves, no form is chosen.
func TestUnknown(t *testing.T) {
	in := input(true)
	in.Facts.Incomplete = true
	if proposal := planned(t, in); proposal.Component != nil || proposal.Retained == "" {
		t.Errorf("%+v", proposal)
	}
}

// TestRefusedConfiguration: what Prometheus says of its last reload is said.
func TestRefusedConfiguration(t *testing.T) {
	in := input(true)
	demand, needed := Operand{}.Demand(in.Spec, in.Facts)
	if !needed || !strings.Contains(demand.Query, "prometheus_config_last_reload_successful") {
		t.Errorf("%+v, %v", demand, needed)
	}
	in.Facts.Prometheus.Demands = map[string]probe.Answer{Name: {Known: true, Err: &prometheus.MissingError{Kinds: demand.Kinds}}}
	findings := planned(t, in).Findings
	if len(findings) != 1 || findings[0].Reason != v1alpha1.ReasonConfigurationRefused {
		t.Errorf("%+v", findings)
	}
	in.Spec.Prometheus.Managed = nil
	if _, needed := (Operand{}).Demand(in.Spec, in.Facts); needed {
		t.Error("needed although it is not wanted")
	}
}

// TestIngress: an adapter in the network of its node has no label that a policy could name.
func TestIngress(t *testing.T) {
	in := input(true)
	in.Spec.PrometheusAdapter.HostNetwork = true
	if patch := content(*planned(t, in).Component, "NetworkPolicy", Name); !strings.Contains(patch, "/spec/ingress/0/from") {
		t.Errorf("patch %s", patch)
	}
}
