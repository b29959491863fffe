// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// brokenCase sets a field to what breaks an operand.
type brokenCase struct {
	// fields of the schema that the case is about, and set and wrong what is set to what, as YAML.
	fields     []string
	set, wrong string
	// condition is False meanwhile.
	condition string
}

// goodSpec is the spec that a field is set wrong in, and right again.
const goodSpec = "certificates: {provider: BuiltIn}\n" + largeSpec

// TestBrokenFields: a field that is set wrong is reported in the condition that it is about, and once it is right everything
// is as before, without help.
func TestBrokenFields(t *testing.T) {
	w := begin(t)
	w.start()
	apps(w)
	w.sources()
	w.apply(goodSpec)
	w.life.stir()
	end := w.settle()
	for _, c := range brokenCases() {
		t.Run(c.fields[0], func(t *testing.T) {
			w.within(t)
			inject(t, "spec field set wrong, then right", len(c.fields), func() { w.breaks(c, end) })
		})
	}
}

// breaks sets a field wrong and right again.
func (w *world) breaks(c brokenCase, end snapshot) {
	w.Helper()
	if w.life == nil {
		w.start()
	}
	spec := specCase{set: c.set, with: goodSpec}.spec(w, c.wrong)
	w.must(w.ApplySpec(spec))
	w.eventually(func() string {
		pipeline, _ := w.pipeline()
		condition := apimeta.FindStatusCondition(pipeline.Status.Conditions, c.condition)
		if current(pipeline) && condition != nil && condition.Status == metav1.ConditionFalse {
			return ""
		}
		return fmt.Sprintf("%s: %s is not reported in %s: %+v", c.set, c.wrong, c.condition, condition)
	})
	w.apply(goodSpec)
	w.reaches(end, fmt.Sprintf("%s was wrong and is right", c.set))
}

// brokenCases are all of them.
func brokenCases() []brokenCase {
	const pods, prometheus = v1alpha1.ConditionComponentsReady, v1alpha1.ConditionPrometheusReady
	var cases []brokenCase
	for _, of := range []string{"metricsServer", "prometheusAdapter"} {
		for _, knob := range [][2]string{
			{"image", neverStarts + "/image:1"},
			{"extraArgs", "[--unknown=" + neverStarts + "]"},
			{"nodeSelector", "{" + neverStarts + "/pool: none}"},
			{"priorityClassName", neverStarts},
			{"resources", "{limits: {" + neverStarts + "/device: 1}}"},
			{"affinity", "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" +
				"{matchExpressions: [{key: " + neverStarts + "/pool, operator: Exists}]}]}}}"},
		} {
			field := of + "." + knob[0]
			cases = append(cases, brokenCase{[]string{field}, field, knob[1], pods})
		}
	}
	for _, api := range []string{"resourceMetrics", "customMetrics", "externalMetrics"} {
		cases = append(cases, brokenCase{[]string{api + ".policy"}, api + ".policy", "Observe", v1alpha1.ConditionAPIServicesAvailable})
	}
	for _, key := range keyReferences {
		cases = append(cases,
			brokenCase{[]string{key + ".name"}, key, "{name: absent, key: a}", prometheus},
			brokenCase{[]string{key + ".key"}, key, "{name: source, key: missing}", prometheus})
	}
	for kind, good := range map[string]string{"secret": "ca.crt", "configMap": "a"} {
		key := "metricsServer.kubelet.tls.ca." + kind
		cases = append(cases,
			brokenCase{[]string{key + ".name"}, key, "{name: absent, key: " + good + "}", pods},
			brokenCase{[]string{key + ".key"}, key, "{name: source, key: missing}", pods})
	}
	const store, absent, missing = "prometheus.managed.remoteWrite[]", "{name: absent, key: a}", "{name: source, key: missing}"
	for _, of := range [][2]string{
		{"bearerToken", "bearerToken: %s"},
		{"basicAuth.username", "basicAuth: {username: %s, password: {name: source, key: a}}"},
		{"basicAuth.password", "basicAuth: {username: {name: source, key: a}, password: %s}"},
		{"ca.secret", "ca: {secret: %s}"},
		{"ca.configMap", "ca: {configMap: %s}"},
	} {
		for field, wrong := range map[string]string{".name": absent, ".key": missing} {
			cases = append(cases, brokenCase{[]string{store + "." + of[0] + field}, "prometheus",
				"{managed: {remoteWrite: [{url: 'https://a', " + fmt.Sprintf(of[1], wrong) + "}]}}", prometheus})
		}
	}
	// By its id, the broken rule is an edit of the good one.
	for api, id := range map[string]string{"customMetrics": "requests", "externalMetrics": "queue-length"} {
		for _, rule := range [][2]string{
			{"seriesQuery", `seriesQuery: 'broken{', metricsQuery: sum(a), resources: {template: <<.Resource>>}`},
			{"metricsQuery", `seriesQuery: a, metricsQuery: sum(, resources: {template: <<.Resource>>}`},
			{"seriesFilters[].is", `seriesQuery: a, seriesFilters: [{is: '('}], metricsQuery: sum(a), resources: {template: <<.Resource>>}`},
			{"seriesFilters[].isNot", `seriesQuery: a, seriesFilters: [{isNot: '('}], metricsQuery: sum(a), resources: {template: <<.Resource>>}`},
			{"name.matches", `seriesQuery: a, name: {matches: '('}, metricsQuery: sum(a), resources: {template: <<.Resource>>}`},
			{"name.as", `seriesQuery: a, name: {matches: a, as: '$9'}, metricsQuery: sum(a), resources: {template: <<.Resource>>}`},
			{"resources.template", `seriesQuery: a, metricsQuery: sum(a), resources: {template: <<.Nothing>>}`},
			{"resources.overrides{}.resource", `seriesQuery: a, metricsQuery: sum(a), resources: {overrides: {namespace: {resource: namespace}, a: {resource: nothings}}}`},
			{"resources.overrides{}.group", `seriesQuery: a, metricsQuery: sum(a), resources: {overrides: {namespace: {resource: namespace}, a: {group: absent.example.com, resource: pods}}}`},
		} {
			cases = append(cases, brokenCase{[]string{api + ".rules[]." + rule[0]}, api + ".rules", "[{id: " + id + ", " + rule[1] + "}]", v1alpha1.ConditionRulesAccepted})
		}
	}
	return append(cases,
		brokenCase{[]string{"prometheus.url"}, "prometheus.url", "http://127.0.0.1:1", prometheus},
		brokenCase{[]string{"prometheus.ref.namespace", "prometheus.ref.name"}, "prometheus", "{ref: {namespace: bank, name: absent}}", prometheus},
		brokenCase{[]string{"prometheus.ref.kind"}, "prometheus", "{ref: {kind: PrometheusAgent, namespace: bank, name: one}}", prometheus},
		brokenCase{[]string{"prometheus.allowHTTP"}, "prometheus",
			"{ref: {namespace: bank, name: one}, auth: {bearerToken: {name: source, key: a}}}", prometheus},
		brokenCase{[]string{"prometheus.auth.basicAuth.username.name", "prometheus.auth.basicAuth.password.key"}, "prometheus.auth",
			"{basicAuth: {username: {name: absent, key: a}, password: {name: source, key: missing}}}", prometheus},
		brokenCase{[]string{"prometheus.auth.basicAuth.username.key", "prometheus.auth.basicAuth.password.name"}, "prometheus.auth",
			"{basicAuth: {username: {name: source, key: missing}, password: {name: absent, key: a}}}", prometheus},
		brokenCase{[]string{"prometheus.auth.headers[].secret.name"}, "prometheus.auth",
			"{headers: [{name: X-Scope-OrgID, secret: {name: absent, key: a}}]}", prometheus},
		brokenCase{[]string{"prometheus.auth.headers[].secret.key"}, "prometheus.auth",
			"{headers: [{name: X-Scope-OrgID, secret: {name: source, key: missing}}]}", prometheus},
		brokenCase{[]string{"prometheus.tls.clientCert.name"}, "prometheus.tls",
			"{ca: {secret: {name: source, key: ca.crt}}, clientCert: {name: absent}}", prometheus},
		brokenCase{[]string{"certificates.provider"}, "certificates.provider", "CertManager", v1alpha1.ConditionCertificatesReady},
		brokenCase{[]string{"certificates.issuerRef.group", "certificates.issuerRef.kind", "certificates.issuerRef.name"}, "certificates",
			"{issuerRef: {group: example.com, kind: Issuer, name: absent}}", v1alpha1.ConditionCertificatesReady},
		brokenCase{[]string{"patches[].patch"}, "patches",
			`[{target: {kind: Deployment, name: metrics-server}, patch: '[{"op": "replace", "path": "/spec/replicas", "value": -1}]'}]`, pods},
		brokenCase{[]string{"patches[].target.kind", "patches[].target.name", "patches[].target.group"}, "patches",
			`[{target: {group: apps, kind: Deployment, name: nothing}, patch: '[]'}]`, pods},
	)
}

// breaksNothing are the fields without a case, by what they begin with, and why they have none.
var breaksNothing = map[string]string{
	"certificates.duration":                        "any that is accepted works",
	"certificates.renewBefore":                     "any that is accepted works",
	"networkPolicy.dnsPorts":                       "it only allows more",
	"scrape.":                                      "no operand reads it",
	"monitoring.":                                  "nothing runs for it",
	"metricsServer.kubelet.port":                   "only a kubelet shows it: test/e2e",
	"metricsServer.kubelet.preferredAddressTypes":  "only a kubelet shows it: test/e2e",
	"metricsServer.kubelet.requestTimeout":         "only a kubelet shows it: test/e2e",
	"metricsServer.kubelet.tls.verification":       "only a kubelet shows it: test/e2e",
	"metricsServer.metricResolution":               "any that is accepted works",
	"metricsServer.replicas":                       "any that is accepted works",
	"metricsServer.tolerations":                    "it only allows more",
	"metricsServer.imagePullSecrets":               "a registry decides",
	"metricsServer.podLabels":                      "a webhook of the cluster reads it",
	"metricsServer.podAnnotations":                 "a webhook of the cluster reads it",
	"metricsServer.hostNetwork":                    "only a node shows it: test/e2e, and TestRefusedPods of test/envtest",
	"metricsServer.port":                           "only a node shows it",
	"prometheus.auth.headers[].name":               "a gateway decides",
	"prometheus.adapterURL":                        "one on localhost is another pod's: TestAdapterURL",
	"prometheus.queryMethod":                       "the store decides: TestFaultsNameTheField",
	"prometheus.dialect":                           "any that is accepted works",
	"prometheus.tls.serverName":                    "only a server with TLS shows it: TestFaultsNameTheField",
	"prometheus.tls.verification":                  "only a server with TLS shows it: TestFaultsNameTheField",
	"prometheus.managed.affinity":                  "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.extraArgs":                 "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.image":                     "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.nodeSelector":              "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.priorityClassName":         "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.resources":                 "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.storage.":                  "prometheus-operator runs the pods here: only a node shows it",
	"prometheus.managed.podAnnotations":            "a webhook of the cluster reads it",
	"prometheus.managed.podLabels":                 "a webhook of the cluster reads it",
	"prometheus.managed.remoteWrite[].url":         "only a store shows it",
	"prometheus.managed.replicas":                  "any that is accepted works",
	"prometheus.managed.retention":                 "any that is accepted works",
	"prometheus.managed.scrapeInterval":            "any that is accepted works",
	"prometheus.managed.tolerations":               "it only allows more",
	"resourceMetrics.onUnavailable":                "it takes a dead backend to matter",
	"resourceMetrics.backend":                      "either one works",
	"resourceMetrics.window":                       "any that is accepted works where Prometheus scrapes often enough",
	"prometheusAdapter.replicas":                   "any that is accepted works",
	"prometheusAdapter.tolerations":                "it only allows more",
	"prometheusAdapter.imagePullSecrets":           "a registry decides",
	"prometheusAdapter.podLabels":                  "a webhook of the cluster reads it",
	"prometheusAdapter.podAnnotations":             "a webhook of the cluster reads it",
	"prometheusAdapter.hostNetwork":                "only a node shows it: test/e2e, and TestRefusedPods of test/envtest",
	"prometheusAdapter.port":                       "only a node shows it",
	"prometheusAdapter.relistInterval":             "any that is accepted works",
	"prometheusAdapter.maxAge":                     "any that is accepted works",
	"customMetrics.onUnavailable":                  "it takes a dead backend to matter",
	"customMetrics.derive":                         "either one works",
	"externalMetrics.onUnavailable":                "it takes a dead backend to matter",
	"externalMetrics.derive":                       "either one works",
	"externalMetrics.rules[].resources.namespaced": "either works",
	"customMetrics.rules[].id":                     "any that is accepted works",
	"externalMetrics.rules[].id":                   "any that is accepted works",
}

// TestBrokenFieldsAreAllTested fails for a field that has neither a case nor a reason to have none.
func TestBrokenFieldsAreAllTested(t *testing.T) {
	fields := specFields(t)
	broken := map[string]bool{}
	for _, c := range brokenCases() {
		for _, field := range c.fields {
			broken[field] = true
			if !slices.Contains(fields, field) {
				t.Errorf("the spec has no field %s: drop its case from brokenCases()", field)
			}
		}
	}
	used := map[string]bool{}
	for _, field := range fields {
		excused := false
		for prefix := range breaksNothing {
			if strings.HasPrefix(field, prefix) {
				excused, used[prefix] = true, true
			}
		}
		if broken[field] == excused {
			t.Errorf("the field %s has a case: %t, a reason to have none: %t; it needs one of the two", field, broken[field], excused)
		}
	}
	for prefix := range breaksNothing {
		if !used[prefix] {
			t.Errorf("no field begins with %s: drop it from breaksNothing", prefix)
		}
	}
}
