// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const requests = "http_requests_per_second"

// scenes are what the demo sees, in its order.
func scenes() []struct {
	name string
	seen *Seen
} {
	installing := &Seen{Operator: deployment("metricspipeline-operator", 1, 2)}
	applied := scene(0, 1)
	applied.Scaler.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	applied.Pipeline.Status = v1alpha1.MetricsPipelineStatus{
		APIServices: []v1alpha1.APIServiceStatus{{Name: customAPI, Available: metav1.ConditionUnknown, Reason: "NoRules"}},
		Components: []v1alpha1.ComponentStatus{
			{Name: prometheus, Desired: 1, Message: "Available: 0/1. Pod managed-prometheus-0 is starting."},
		},
		Scrape: &v1alpha1.ScrapeStatus{Services: 1},
	}
	registered := scene(1, 1)
	registered.Scaler.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	registered.Pipeline.Status.APIServices[0].Available = metav1.ConditionFalse
	registered.Pipeline.Status.APIServices[0].Reason = "MissingEndpoints"
	registered.Pipeline.Status.APIServices[0].Message = "endpoints for service/prometheus-adapter have no addresses"
	idle := scene(1, 1, 0)
	growing := scene(1, 3, 0, 12.5, 57, 118.7)
	growing.Load = 120
	loaded := scene(3, 3, 0, 12.5, 57, 118.7, 60, 40)
	loaded.Load = 120
	shrinking := scene(3, 1, 118.7, 40, 19, 9)

	return []struct {
		name string
		seen *Seen
	}{
		{"1-installing", installing}, {"2-applied", applied}, {"3-registered", registered}, {"4-idle", idle},
		{"5-growing", growing}, {"6-loaded", loaded}, {"7-shrinking", shrinking}, {"8-misspelled", misspelled()}, {"9-named", named()},
	}
}

func deployment(name string, ready, wanted int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To(wanted)},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: ready},
	}
}

// scene is a pipeline that works, and an application with so many pods, of which the HPA has read these rates.
func scene(ready, wanted int32, rates ...float64) *Seen {
	now := &Seen{
		Operator: deployment("metricspipeline-operator", 2, 2),
		App:      deployment("web", ready, wanted),
		Pipeline: &v1alpha1.MetricsPipeline{Status: v1alpha1.MetricsPipelineStatus{
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Available"}},
			APIServices: []v1alpha1.APIServiceStatus{
				{Name: customAPI, Owner: "this pipeline", Available: metav1.ConditionTrue, Reason: "Passed"},
			},
			Components: []v1alpha1.ComponentStatus{{Name: prometheus, Ready: 1, Desired: 1}, {Name: adapter, Ready: 2, Desired: 2}},
			Scrape:     &v1alpha1.ScrapeStatus{Services: 1, Targets: &v1alpha1.TargetCounts{Up: ready}},
			Rules: []v1alpha1.RuleStatus{{
				ID: "derived/" + requests + "/pods", Origin: v1alpha1.RuleDerived,
				Query: "sum(rate(http_requests_total{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)",
			}},
		}},
		Scaler: &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, Metrics: []autoscalingv2.MetricSpec{{
				Pods: &autoscalingv2.PodsMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: requests},
					Target: autoscalingv2.MetricTarget{AverageValue: resource.NewQuantity(40, resource.DecimalSI)},
				},
			}}},
			Status: autoscalingv2.HorizontalPodAutoscalerStatus{DesiredReplicas: wanted},
		},
		Rates: rates,
	}
	if len(rates) > 0 {
		last := resource.NewMilliQuantity(int64(1000*rates[len(rates)-1]), resource.DecimalSI)
		now.Scaler.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Pods: &autoscalingv2.PodsMetricStatus{
			Metric:  autoscalingv2.MetricIdentifier{Name: requests},
			Current: autoscalingv2.MetricValueStatus{AverageValue: last},
		}}}
	}
	return now
}

// misspelled is a moment after the edit: the HPA still has the number of the metric that it read before.
func misspelled() *Seen {
	now := scene(1, 1, 40, 0)
	now.Scaler.Spec.Metrics[0].Pods.Metric.Name = "http_reqeusts_per_second"
	return now
}

func named() *Seen {
	now := misspelled()
	now.Scaler.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{
		{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionFalse, Reason: "FailedGetPodsMetric"},
	}
	now.Pipeline.Status.Autoscalers = &v1alpha1.AutoscalersStatus{Total: 1, Failing: []v1alpha1.AutoscalerFailure{
		{Namespace: "another", Name: "web", Reason: "NoPods", Message: "Not this one."},
		{Namespace: "shop", Name: "web", Reason: v1alpha1.AutoscalerRuleMissing,
			Message: "No rule makes http_reqeusts_per_second. Correct it to http_requests_per_second in HorizontalPodAutoscaler shop/web."},
	}}
	return now
}

// TestPicture: testdata has the picture of each scene, as it is on a terminal of 100 columns.
func TestPicture(t *testing.T) {
	for _, scene := range scenes() {
		t.Run(scene.name, func(t *testing.T) {
			golden(t, scene.name+".txt", strings.Join(Draw(scene.seen, 100, false), "\n")+"\n")
		})
	}
}

// TestLog: where no terminal is, each change is a line of ASCII, and nothing is said twice.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	screen := &Screen{Out: &out}
	at := 5 * time.Second
	for _, scene := range scenes() {
		screen.Show(at, scene.seen)
		length := out.Len()
		screen.Show(at, scene.seen)
		if out.Len() != length {
			t.Errorf("%s is said twice: %s", scene.name, out.String()[length:])
		}
		at += 20 * time.Second
	}
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r > unicode.MaxASCII || r == '\x1b' }) {
		t.Errorf("not plain text:\n%s", out.String())
	}
	golden(t, "log.txt", out.String())
}

// TestPictureIsDrawnOver: a picture takes the place of the one before, and what is said stays.
func TestPictureIsDrawnOver(t *testing.T) {
	var out bytes.Buffer
	screen := &Screen{Out: &out, Columns: func() int { return 101 }, Color: true}
	screen.Say("the first act")
	screen.Show(0, scene(1, 1, 0))
	screen.Show(0, scene(3, 3, 40))
	length := out.Len()
	if screen.Show(0, scene(3, 3, 40)); out.Len() != length {
		t.Error("what has not changed is drawn again, and flickers")
	}
	screen.Say("the second act")
	screen.Show(0, misspelled())
	screen.Wipe()
	screen.Say("the end")

	want := "the first act\n" + strings.Join(Draw(scene(3, 3, 40), 100, false), "\n") + "\nthe second act\nthe end\n"
	if diff := cmp.Diff(want, onTerminal(t, out.String())); diff != "" {
		t.Errorf("on the terminal there is (-want +got):\n%s", diff)
	}
}

// TestNoLineIsWrapped: on a narrow terminal lines are cut, with and without colors, for what is wrapped cannot be drawn over.
func TestNoLineIsWrapped(t *testing.T) {
	for _, scene := range scenes() {
		for _, columns := range []int{10, 40, 80} {
			for _, color := range []bool{false, true} {
				for _, line := range Draw(scene.seen, columns, color) {
					if length := len([]rune(withoutColors(line))); length > columns {
						t.Errorf("%s: %d columns on a terminal of %d: %s", scene.name, length, columns, line)
					}
				}
			}
		}
	}
}

// TestAFailureNamesTheLink: of a demo that does not get on, the first part that is not ready is named.
func TestAFailureNamesTheLink(t *testing.T) {
	for name, want := range map[string]string{
		"1-installing": "operator is waiting: Deployment metricspipeline-operator: 1 of 2 pods ready",
		"2-applied":    "app is waiting: Deployment web: 0 of 1 pod ready",
		"3-registered": "adapter -> APIService is waiting: MissingEndpoints: endpoints for service/prometheus-adapter have no addresses",
		"6-loaded":     "",
		"9-named":      "Prometheus -> adapter is BROKEN: no rule for http_reqeusts_per_second",
	} {
		at := slices.IndexFunc(scenes(), func(s struct {
			name string
			seen *Seen
		}) bool {
			return s.name == name
		})
		if got := FirstUnready(scenes()[at].seen); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestAFailedScrapeIsBroken: Prometheus' own error is at the link from the application.
func TestAFailedScrapeIsBroken(t *testing.T) {
	now := scene(1, 1)
	now.Pipeline.Status.Scrape.Down = []v1alpha1.DownApp{{Kind: "Service", Namespace: "shop", Name: "web", Error: "connection refused"}}
	if got, want := FirstUnready(now), "app -> Prometheus is BROKEN: the scrape fails: connection refused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestPrometheusObject: where prometheus-operator runs the Prometheus there is no Deployment of ours, and the condition says how it is.
func TestPrometheusObject(t *testing.T) {
	now := scene(1, 1, 0)
	now.Pipeline.Status.Components = now.Pipeline.Status.Components[1:]
	now.Pipeline.Status.Prometheus = &v1alpha1.PrometheusStatus{Origin: "spec.prometheus.managed"}
	condition := metav1.Condition{Type: v1alpha1.ConditionPrometheusReady, Status: metav1.ConditionFalse, Message: "it does not answer"}
	now.Pipeline.Status.Conditions = []metav1.Condition{condition}
	if got, want := FirstUnready(now), "Prometheus is waiting: a Prometheus object: it does not answer"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	now.Pipeline.Status.Conditions[0].Status = metav1.ConditionTrue
	if got := FirstUnready(now); got != "" {
		t.Errorf("it works, and yet %q", got)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// withoutColors removes the sequences that only color.
func withoutColors(text string) string {
	for {
		start := strings.Index(text, "\x1b[")
		if start < 0 {
			return text
		}
		end := start + strings.IndexByte(text[start:], 'm')
		text = text[:start] + text[end+1:]
	}
}

// onTerminal is what stands on a terminal that gets this output: it knows lines, colors, "up" and "clear to the end".
func onTerminal(t *testing.T, output string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(output) {
		for strings.HasPrefix(line, "\x1b[") {
			up, rest, found := strings.Cut(line[2:], "A\x1b[J")
			if !found {
				break
			}
			count := 0
			for _, digit := range up {
				count = 10*count + int(digit-'0')
			}
			if count > len(lines) {
				t.Fatalf("%d lines up, and there are %d", count, len(lines))
			}
			lines, line = lines[:len(lines)-count], rest
		}
		lines = append(lines, withoutColors(line))
	}
	return strings.Join(lines, "")
}
