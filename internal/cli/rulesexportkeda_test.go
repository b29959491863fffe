// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// withExternal has stated external rules beside a derived one.
func withExternal(t *testing.T) *v1alpha1.MetricsPipeline {
	t.Helper()
	found := withDerived(t)
	stated := `
- id: orders
  seriesQuery: orders_open{namespace!=""}
  resources: {overrides: {namespace: {resource: namespace}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)
- id: cluster
  seriesQuery: bus_lag{job="bus"}
  resources: {namespaced: false}
  metricsQuery: max(<<.Series>>{job="bus",<<.LabelMatchers>>})
- id: pattern
  seriesQuery: '{__name__=~"^lag_.*",namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {matches: "^lag_.*$", as: "slow"}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
`
	if err := yaml.UnmarshalStrict([]byte(stated), &found.Spec.ExternalMetrics.Rules); err != nil {
		t.Fatal(err)
	}
	return found
}

// scaler is an HPA of the namespace shop, by what its spec says of metrics.
func scaler(t *testing.T, name, metrics string) *autoscalingv2.HorizontalPodAutoscaler {
	t.Helper()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	hpa.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 10,
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}}
	if err := yaml.UnmarshalStrict([]byte(metrics), &hpa.Spec.Metrics); err != nil {
		t.Fatal(err)
	}
	return hpa
}

const (
	queueDepth = "- {type: External, external: {metric: {name: queue_depth}, target: {type: AverageValue, averageValue: 500m}}}\n"
	openOrders = "- {type: External, external: {metric: {name: orders_open, selector: {matchLabels: {queue: a}}}, " +
		"target: {type: Value, value: 2k}}}\n"
	lag        = "- {type: External, external: {metric: {name: bus_lag}, target: {type: AverageValue, averageValue: \"3\"}}}\n"
	slow       = "- {type: External, external: {metric: {name: slow}, target: {type: AverageValue, averageValue: \"3\"}}}\n"
	usedCPU    = "- {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}\n"
	usedMemory = "- {type: ContainerResource, containerResource: {name: memory, container: app, target: {type: AverageValue, " +
		"averageValue: 64Mi}}}\n"
	ofPods = "- {type: Pods, pods: {metric: {name: http_requests_per_second}, target: {type: AverageValue, averageValue: \"3\"}}}\n"
)

func TestRulesExportForKEDA(t *testing.T) {
	behaved := scaler(t, "orders", openOrders+usedCPU+usedMemory)
	behaved.Spec.MinReplicas = new(int32)
	*behaved.Spec.MinReplicas = 2
	window := int32(60)
	behaved.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{
		ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &window}}
	theirs := scaler(t, "keda-hpa-theirs", queueDepth)
	theirs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: "theirs"}}
	elsewhere := scaler(t, "elsewhere", queueDepth)
	elsewhere.Namespace = "bank"
	w := newWorld(t, interceptor.Funcs{}, withExternal(t), behaved, theirs, elsewhere, scaler(t, "worker", queueDepth),
		scaler(t, "bus", lag), scaler(t, "web", ofPods), scaler(t, "cpu", usedCPU))
	w.run(t, ExitWorks, "rules", "export", "--keda", "-n", "shop")
	golden(t, "rules/keda.out", w.out.String())
	if w.errOut.Len() > 0 {
		t.Errorf("it warns: %s", w.errOut)
	}
	w.run(t, ExitWorks, "rules", "export", "--keda", "-A", "queue_depth")
	for _, want := range []string{`queue_depth{namespace="bank"}`, `queue_depth{namespace="shop"}`} {
		if !strings.Contains(w.out.String(), want) {
			t.Errorf("the metric queue_depth of all namespaces has no %s:\n%s", want, w.out)
		}
	}
	if strings.Contains(w.out.String(), "bus_lag") {
		t.Errorf("it has a metric that was not named:\n%s", w.out)
	}
}

// TestRulesExportForKEDALeavesOut: what KEDA would do otherwise is said, and the exit code says that it is not all.
func TestRulesExportForKEDALeavesOut(t *testing.T) {
	insecure := withExternal(t)
	insecure.Spec.Prometheus.TLS = &v1alpha1.ClientTLS{Verification: v1alpha1.TLSInsecure}
	secret := withExternal(t)
	secret.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{}
	managed := withExternal(t)
	managed.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
	managed.Status.Prometheus = &v1alpha1.PrometheusStatus{Origin: "spec.prometheus.managed", URL: "https://prometheus-operated.metrics.svc:9090"}
	unknown := withExternal(t)
	unknown.Status.Prometheus = nil
	more := withExternal(t)
	more.Status.RulesTotal.Derived = 7
	unruled := "- {type: External, external: {metric: {name: unruled}, target: {type: AverageValue, averageValue: \"3\"}}}\n"
	for name, tc := range map[string]struct {
		pipeline *v1alpha1.MetricsPipeline
		hpa      client.Object
		code     int
		out, err string
	}{
		"a metric of pods":        {withExternal(t), scaler(t, "a", queueDepth+ofPods), ExitBroken, "", "spec.metrics[1]: a metric of type Pods has no counterpart"},
		"no rule":                 {withExternal(t), scaler(t, "a", unruled), ExitBroken, "", "shop/a is left out: spec.metrics[0]: the external metric unruled: no rule makes it"},
		"a rule that is not seen": {more, scaler(t, "a", unruled), ExitUnseen, "", "does not list all derived rules"},
		"a name too long":         {withExternal(t), scaler(t, strings.Repeat("a", 64), queueDepth), ExitBroken, "", "64 characters, and KEDA takes 63"},
		"series by a pattern":     {withExternal(t), scaler(t, "a", slow), ExitUnseen, "", "through the API server at /api/v1/namespaces/monitoring"},
		"no HPA":                  {withExternal(t), scaler(t, "a", usedCPU), ExitWorks, "", "none of 1 HorizontalPodAutoscalers scales"},
		"no Prometheus":           {unknown, scaler(t, "a", queueDepth), ExitError, "", "name it in the spec"},
		"credentials":             {secret, scaler(t, "a", queueDepth), ExitWorks, "threshold: \"0.5\"", "warning: spec.prometheus.auth is set"},
		"the operator's":          {managed, scaler(t, "a", queueDepth), ExitWorks, "serverAddress: https://managed-prometheus.metrics.svc:9090\n", "warning: spec.prometheus.managed is set"},
		"not verified":            {insecure, scaler(t, "a", queueDepth), ExitWorks, "unsafeSsl: \"true\"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, interceptor.Funcs{}, tc.pipeline, tc.hpa)
			w.run(t, tc.code, "rules", "export", "--keda", "-n", "shop")
			if !strings.Contains(w.out.String(), tc.out) || tc.out == "" && w.out.Len() > 0 {
				t.Errorf("it writes %q, want %q", w.out, tc.out)
			}
			if !strings.Contains(w.errOut.String(), tc.err) || tc.err == "" && w.errOut.Len() > 0 {
				t.Errorf("standard error has %q, want %q", w.errOut, tc.err)
			}
		})
	}
	w := newWorld(t, interceptor.Funcs{}, withExternal(t))
	w.run(t, ExitUsage, "rules", "export", "-A")
}

func TestInOne(t *testing.T) {
	for query, want := range map[string]string{
		"sum(a)":                             "sum(a)",
		"(sum(a))":                           "(sum(a))",
		"sum(a) by (b)":                      "sum(sum(a) by (b))",
		"sum without (b) (a)":                "sum(sum without (b) (a))",
		"topk(3, a)":                         "sum(topk(3, a))",
		"a":                                  "sum(a)",
		"sum(a) / sum(b)":                    "sum(sum(a) / sum(b))",
		"sum(a{x=~\"(\"}) keep_metric_names": "sum(sum(a{x=~\"(\"}) keep_metric_names)",
	} {
		if got := inOne(query); got != want {
			t.Errorf("%s becomes %s, want %s", query, got, want)
		}
	}
}
