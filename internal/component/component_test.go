// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestFor says, for each state of the cluster, what is deployed, which APIs that serves, and why others are left out.
func TestFor(t *testing.T) {
	all := []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"}
	custom, external := all[:2], all[2:]
	omitted := func(reason string, names ...[]string) map[string]string {
		reasons := map[string]string{}
		for _, group := range names {
			for _, name := range group {
				reasons[name] = reason
			}
		}
		return reasons
	}
	merged := func(first, second map[string]string) map[string]string {
		for name, reason := range second {
			first[name] = reason
		}
		return first
	}
	server := []string{"v1beta1.metrics.k8s.io"}

	for name, tc := range map[string]struct {
		spec    v1alpha1.MetricsPipelineSpec
		change  func(*Capabilities)
		deploys map[string][]string
		omits   map[string]string
	}{
		"an empty spec": {
			deploys: map[string][]string{MetricsServer: server},
			omits:   omitted(v1alpha1.ReasonNoRules, all),
		},
		"rules of both kinds": {
			spec:    withRules(),
			deploys: map[string][]string{MetricsServer: server, PrometheusAdapter: all},
		},
		"only custom rules": {
			spec:    v1alpha1.MetricsPipelineSpec{CustomMetrics: withRules().CustomMetrics},
			deploys: map[string][]string{MetricsServer: server, PrometheusAdapter: custom},
			omits:   omitted(v1alpha1.ReasonNoRules, external),
		},
		"only external rules": {
			spec:    v1alpha1.MetricsPipelineSpec{ExternalMetrics: withRules().ExternalMetrics},
			deploys: map[string][]string{MetricsServer: server, PrometheusAdapter: external},
			omits:   omitted(v1alpha1.ReasonNoRules, custom),
		},
		"no usable custom rule": {
			spec:    withRules(),
			change:  func(c *Capabilities) { c.Rules.Custom = 0 },
			deploys: map[string][]string{MetricsServer: server, PrometheusAdapter: external},
			omits:   omitted(v1alpha1.ReasonConfigurationInvalid, custom),
		},
		"no usable rule at all": {
			spec:    withRules(),
			change:  func(c *Capabilities) { c.Rules = Rules{} },
			deploys: map[string][]string{MetricsServer: server},
			omits:   omitted(v1alpha1.ReasonConfigurationInvalid, all),
		},
		"no Prometheus": {
			spec:    withRules(),
			change:  func(c *Capabilities) { c.Prometheus = Source{} },
			deploys: map[string][]string{MetricsServer: server},
			omits:   omitted(v1alpha1.ReasonWaitingForBackend, all),
		},
		"somebody else serves metrics.k8s.io": {
			change:  func(c *Capabilities) { c.Foreign = map[string]bool{"metrics.k8s.io": true} },
			deploys: map[string][]string{},
			omits:   merged(omitted(v1alpha1.ReasonServedByOther, server), omitted(v1alpha1.ReasonNoRules, all)),
		},
		"somebody else serves external.metrics.k8s.io": {
			spec:    withRules(),
			change:  func(c *Capabilities) { c.Foreign = map[string]bool{"external.metrics.k8s.io": true} },
			deploys: map[string][]string{MetricsServer: server, PrometheusAdapter: custom},
			omits:   omitted(v1alpha1.ReasonServedByOther, external),
		},
		"somebody else serves both of the adapter's groups": {
			spec: withRules(),
			change: func(c *Capabilities) {
				c.Foreign = map[string]bool{"custom.metrics.k8s.io": true, "external.metrics.k8s.io": true}
			},
			deploys: map[string][]string{MetricsServer: server},
			omits:   omitted(v1alpha1.ReasonServedByOther, all),
		},
		"somebody else serves one group and the other has no rule": {
			spec:    v1alpha1.MetricsPipelineSpec{CustomMetrics: withRules().CustomMetrics},
			change:  func(c *Capabilities) { c.Foreign = map[string]bool{"custom.metrics.k8s.io": true} },
			deploys: map[string][]string{MetricsServer: server},
			omits:   merged(omitted(v1alpha1.ReasonServedByOther, custom), omitted(v1alpha1.ReasonNoRules, external)),
		},
		"one group without a usable rule, the other without a rule": {
			spec:    v1alpha1.MetricsPipelineSpec{CustomMetrics: withRules().CustomMetrics},
			change:  func(c *Capabilities) { c.Rules = Rules{} },
			deploys: map[string][]string{MetricsServer: server},
			omits:   merged(omitted(v1alpha1.ReasonConfigurationInvalid, custom), omitted(v1alpha1.ReasonNoRules, external)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			caps := offered()
			if tc.change != nil {
				tc.change(&caps)
			}
			plan := For(tc.spec, caps)

			deploys := map[string][]string{}
			for _, c := range plan.Components {
				for _, api := range c.APIs {
					deploys[c.Name] = append(deploys[c.Name], api.Name())
					if backend, ok := plan.Backend(api); !ok || backend.Name != c.Name {
						t.Errorf("Backend(%s) = %q, %v, want %s", api.Name(), backend.Name, ok, c.Name)
					}
				}
			}
			if diff := cmp.Diff(tc.deploys, deploys); diff != "" {
				t.Errorf("deployed (-want +got):\n%s", diff)
			}
			omits := map[string]string{}
			for name, omission := range plan.Omitted {
				omits[name] = omission.Reason
				if omission.Message == "" || !strings.HasSuffix(omission.Message, ".") {
					t.Errorf("%s is left out without a sentence that says why: %q", name, omission.Message)
				}
			}
			if tc.omits == nil {
				tc.omits = map[string]string{}
			}
			if diff := cmp.Diff(tc.omits, omits); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCatalog holds the list of what patches may be about to what is really deployed.
func TestCatalog(t *testing.T) {
	caps := offered()
	caps.ServiceMonitors = true
	var deployed, catalog []Component
	for _, c := range For(withRules(), caps).Components {
		deployed = append(deployed, Component{Name: c.Name, Variants: c.Variants, Files: c.Files})
	}
	for _, c := range Catalog() {
		for name := range c.Files {
			c.Files[name] = caps.Rules.Config
		}
		catalog = append(catalog, Component{Name: c.Name, Variants: c.Variants, Files: c.Files})
	}
	if diff := cmp.Diff(deployed, catalog); diff != "" {
		t.Errorf("catalog (-deployed +catalog):\n%s", diff)
	}
}

func TestOmissionsNameTheField(t *testing.T) {
	plan := For(v1alpha1.MetricsPipelineSpec{}, offered())
	for _, api := range APIs()[1:] {
		field := "spec.customMetrics.rules"
		if api == ExternalMetricsBeta {
			field = "spec.externalMetrics.rules"
		}
		if message := plan.Omitted[api.Name()].Message; !strings.Contains(message, field) {
			t.Errorf("%s: %q does not name %s", api.Name(), message, field)
		}
	}
	if _, ok := plan.Backend(ExternalMetricsBeta); ok {
		t.Error("an API that is left out has a backend")
	}
}

// TestAPIs pins what other programs rely on: the HorizontalPodAutoscaler controller prefers custom.metrics.k8s.io/v1beta2.
func TestAPIs(t *testing.T) {
	if CustomMetricsBeta2.VersionPriority <= CustomMetricsBeta1.VersionPriority {
		t.Error("custom.metrics.k8s.io/v1beta2 is not preferred")
	}
	names := map[string]bool{}
	for _, api := range APIs() {
		if names[api.Name()] {
			t.Errorf("%s is listed twice", api.Name())
		}
		names[api.Name()] = true
	}
	if !names["v1beta1.metrics.k8s.io"] || len(names) != 4 {
		t.Errorf("the metrics APIs are %v", names)
	}
}

func TestNames(t *testing.T) {
	c := Component{Name: "metrics-server", Namespace: "metrics"}
	if diff := cmp.Diff([]string{"metrics-server", "metrics-server.metrics", "metrics-server.metrics.svc"}, c.DNSNames()); diff != "" {
		t.Errorf("DNS names (-want +got):\n%s", diff)
	}
	if c.ServingSecret() != "metrics-server-tls" {
		t.Errorf("serving Secret %q; the assets mount metrics-server-tls", c.ServingSecret())
	}
}
