// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/internal/diagnose"
)

// newHPA has one metric, with or without a value.
func newHPA(namespace, name string, healthy bool) *autoscalingv2.HorizontalPodAutoscaler {
	status := corev1.ConditionTrue
	reason, message := "ValidMetricFound", "the HPA was able to calculate a replica count"
	if !healthy {
		status, reason, message = corev1.ConditionFalse, "FailedGetPodsMetric", "no metrics returned from custom metrics API"
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.PodsMetricSourceType,
		Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "http_requests_per_second"}}}}
	hpa.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{
		{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "ReadyForNewScale"},
		{Type: autoscalingv2.ScalingActive, Status: status, Reason: reason, Message: message},
	}
	if healthy {
		hpa.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.PodsMetricSourceType}}
	}
	return hpa
}

// chainTo is a chain that works up to a link, which has a verdict.
func chainTo(last diagnose.LinkName, verdict diagnose.Verdict, seen string) diagnose.Chain {
	chain := diagnose.Chain{Metric: "Pods http_requests_per_second"}
	reached := true
	for _, name := range []diagnose.LinkName{diagnose.LinkAutoscaler, diagnose.LinkTarget, diagnose.LinkPods, diagnose.LinkAPI,
		diagnose.LinkRule, diagnose.LinkSeries, diagnose.LinkValue} {
		link := diagnose.Link{Name: name, Verdict: diagnose.Works, Seen: "it is there"}
		switch {
		case name == last:
			link.Verdict, link.Seen, reached = verdict, seen, verdict != diagnose.Broken
			link.Queries = []string{`sum(rate(http_requests_total{namespace="shop"}[2m])) by (pod)`}
		case !reached:
			link.Verdict, link.Seen = diagnose.NotReached, ""
		}
		chain.Links = append(chain.Links, link)
	}
	if verdict == diagnose.Broken {
		chain.Finding = &diagnose.Finding{Reason: "SeriesElsewhere", Cause: "Prometheus has 4 series, and none in the namespace shop.",
			Remedy: "Set honorLabels: false in ServiceMonitor shop/web."}
	}
	return chain
}

// byName diagnoses HPAs as they are named.
type byName map[string]diagnose.Diagnosis

func (b byName) diagnose(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (diagnose.Diagnosis, error) {
	diagnosis, found := b[hpa.Name]
	if !found {
		return diagnosis, fmt.Errorf("look at HorizontalPodAutoscaler %s/%s: %w", hpa.Namespace, hpa.Name, errors.New("the API server does not answer"))
	}
	return diagnosis, nil
}

var diagnoses = byName{
	"web":    {Chains: []diagnose.Chain{chainTo(diagnose.LinkValue, diagnose.Works, "it is 12 for each pod")}},
	"broken": {Failing: true, Chains: []diagnose.Chain{chainTo(diagnose.LinkSeries, diagnose.Broken, "4 series, and 0 in the namespace")}},
	"hidden": {Failing: true, Chains: []diagnose.Chain{chainTo(diagnose.LinkRule, diagnose.Unseen,
		"you may not get metricspipelines.metricspipeline.io")}},
}

func whyWorld(t *testing.T) *world {
	t.Helper()
	objects := []client.Object{
		newHPA("shop", "web", true), newHPA("shop", "broken", false), newHPA("shop", "hidden", false), newHPA("dev", "odd", false),
		newHPA("live", "web", true),
		event("1", "another-controller", "Other", "something else", 1), event("2", reporter, "NoRule", "No rule makes it. Add one.", 20),
		event("3", reporter, "SeriesMissing", "There are no series. Annotate it.", 30),
	}
	w := newWorld(t, interceptor.Funcs{}, objects...)
	w.diagnoser = func(context.Context, client.Client, string) (diagnoser, error) { return diagnoses, nil }
	return w
}

// event is one about the HPA hidden, some minutes ago.
func event(name, by, reason, message string, ago int) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, ReportingController: by, Reason: reason,
		Message: message, EventTime: metav1.NewMicroTime(today.Add(-time.Duration(ago) * time.Minute)),
		InvolvedObject: corev1.ObjectReference{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "hidden"}}
}

func TestWhy(t *testing.T) {
	for name, code := range map[string]int{"web": ExitWorks, "broken": ExitBroken, "hidden": ExitUnseen} {
		t.Run(name, func(t *testing.T) {
			w := whyWorld(t)
			w.run(t, code, "why", "hpa/"+name, "-n", "shop")
			golden(t, "why/"+name+".txt", w.out.String())
		})
	}
}

func TestWhyOutput(t *testing.T) {
	w := whyWorld(t)
	w.run(t, ExitBroken, "why", "HorizontalPodAutoscalers.v2.autoscaling", "broken", "-n", "shop", "-o", "json")
	var found explained
	if err := json.Unmarshal(w.out.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	if found.Namespace != "shop" || found.Name != "broken" || !found.Complete || !found.Failing || found.Chains[0].Finding.Reason != "SeriesElsewhere" {
		t.Errorf("-o json printed %s", w.out)
	}
}

func TestWhyTable(t *testing.T) {
	w := whyWorld(t)
	w.run(t, ExitBroken, "why", "hpa", "-A")
	golden(t, "why/table-all.txt", w.out.String()) // dev/odd cannot be looked at, and the others can.
	w.run(t, ExitBroken, "why", "hpa", "-n", "shop")
	golden(t, "why/table.txt", w.out.String())
	w.run(t, ExitWorks, "why", "hpa", "-n", "live")
	w.run(t, ExitWorks, "why", "hpa", "-n", "empty")
	if !strings.Contains(w.errOut.String(), "there are no HorizontalPodAutoscalers in empty") || w.out.Len() > 0 {
		t.Errorf("a namespace without HPAs: %q %q", w.out, w.errOut)
	}
}

// TestWorstCode: of a table, a fault that is known comes before what was not seen.
func TestWorstCode(t *testing.T) {
	fine, fault := explained{Complete: true}, explained{Complete: true, Diagnosis: diagnose.Diagnosis{Failing: true}}
	hidden, pending := explained{Diagnosis: diagnose.Diagnosis{Failing: true}}, explained{Complete: true, Pending: true}
	for name, test := range map[string]struct {
		rows []explained
		want int
	}{
		"none": {nil, ExitWorks}, "fine": {[]explained{fine}, ExitWorks}, "hidden": {[]explained{fine, hidden, fine}, ExitUnseen},
		"both": {[]explained{hidden, fault, hidden}, ExitBroken}, "pending": {[]explained{pending}, ExitBroken},
	} {
		if got := worstCode(test.rows); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}

// TestWhyUsage: what is not understood is refused before anything is read.
func TestWhyUsage(t *testing.T) {
	for _, test := range []struct {
		arguments []string
		code      int
		want      string
	}{
		{nil, ExitUsage, "what to explain is not named: write hpa/NAME"},
		{[]string{"deployment/web"}, ExitUsage, `"deployment/web" is no HorizontalPodAutoscaler and no ScaledObject`},
		{[]string{"so"}, ExitUsage, `"so" has no name`},
		{[]string{"so/a", "-n", "shop"}, ExitError, "there is no ScaledObject a in the namespace shop"},
		{[]string{"hpa/"}, ExitUsage, "has no name"},
		{[]string{"hpa/a/b"}, ExitUsage, "has no name"},
		{[]string{"hpa", "a", "b"}, ExitUsage, `"b" is one argument too many`},
		{[]string{"hpa/a", "b"}, ExitUsage, `"b" is one argument too many`},
		{[]string{"hpa/a", "-A"}, ExitUsage, "--all-namespaces and the name a are both set"},
		{[]string{"hpa/a", "-o", "name"}, ExitUsage, `--output is "name"`},
		{[]string{"hpa/a", "-n", "shop"}, ExitError, "there is no HorizontalPodAutoscaler a in the namespace shop"},
	} {
		w := whyWorld(t)
		w.run(t, test.code, append([]string{"why"}, test.arguments...)...)
		if !strings.Contains(w.errOut.String(), test.want) {
			t.Errorf("%q: standard error has %q, want %q", test.arguments, w.errOut, test.want)
		}
	}
}

// TestWhyCompletion completes names in the namespace of -n.
func TestWhyCompletion(t *testing.T) {
	w := whyWorld(t)
	w.run(t, ExitWorks, "__complete", "why", "-n", "live", "")
	if !strings.HasPrefix(w.out.String(), "hpa\nhpa/web\n:4\n") {
		t.Errorf("completed to %q", w.out)
	}
}

// keda is a ScaledObject of the namespace shop, as KEDA leaves it.
func keda(name, hpa, ready string, annotations map[string]string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
		"status": map[string]any{"hpaName": hpa, "conditions": []any{map[string]any{"type": "Ready", "status": ready, "message": "KEDA says so"}}}}}
	object.SetNamespace("shop")
	object.SetName(name)
	object.SetAnnotations(annotations)
	return object
}

// TestWhyScaledObject explains the HPA that KEDA made, or why there is none.
func TestWhyScaledObject(t *testing.T) {
	of := func(hpa *autoscalingv2.HorizontalPodAutoscaler, scaledObject string) client.Object {
		hpa.Labels = map[string]string{"scaledobject.keda.sh/name": scaledObject}
		return hpa
	}
	w := newWorld(t, interceptor.Funcs{},
		of(newHPA("shop", "web", true), "works"), of(newHPA("shop", "sleeping", true), "asleep"), keda("asleep", "sleeping", "False", nil), of(newHPA("shop", "broken", false), "fails"), newHPA("shop", "other", true),
		keda("works", "web", "True", nil), keda("fails", "broken", "True", nil), keda("gone", "other", "True", nil),
		keda("unseen", "", "Unknown", nil), keda("unready", "", "False", nil), keda("paused", "keda-hpa-paused", "True", map[string]string{"autoscaling.keda.sh/paused": "true"}))
	known := byName{"web": diagnoses["web"], "sleeping": diagnoses["web"], "broken": diagnoses["broken"]}
	w.diagnoser = func(context.Context, client.Client, string) (diagnoser, error) { return known, nil }
	for name, code := range map[string]int{"works": ExitWorks, "fails": ExitBroken, "gone": ExitBroken, "unready": ExitBroken, "unseen": ExitBroken, "asleep": ExitBroken, "paused": ExitBroken} {
		t.Run(name, func(t *testing.T) {
			w.run(t, code, "why", "so/"+name, "-n", "shop")
			golden(t, "why/scaledobject-"+name+".txt", w.out.String())
		})
	}
	w.run(t, ExitBroken, "why", "scaledobjects.keda.sh", "paused", "-n", "shop", "-o", "json")
	var found explained
	if err := json.Unmarshal(w.out.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	if found.Name != "" || found.ScaledObject != "paused" || found.Namespace != "shop" || found.first() == nil {
		t.Errorf("-o json printed %s", w.out)
	}
	w.run(t, ExitUsage, "rules", "test", "so/works", "-n", "shop")
}

// TestWhyTableOfScaledObjects: a ScaledObject of which KEDA has made no HPA is a line of the table, one with an HPA is not; and where
// ScaledObjects may not be listed, that is said.
func TestWhyTableOfScaledObjects(t *testing.T) {
	forbidden := false
	w := newWorld(t, interceptor.Funcs{List: func(
		ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption,
	) error {
		if kind := list.GetObjectKind().GroupVersionKind(); kind.Kind == "ScaledObjectList" && forbidden {
			return apierrors.NewForbidden(schema.GroupResource{Group: kind.Group, Resource: "scaledobjects"}, "", nil)
		}
		return c.List(ctx, list, options...)
	}}, keda("works", "keda-hpa-works", "True", nil), keda("down", "", "Unknown", nil))
	made := newHPA("shop", "keda-hpa-works", true)
	made.Labels = map[string]string{"scaledobject.keda.sh/name": "works"}
	c, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	w.run(t, ExitBroken, "why", "hpa", "-A")
	golden(t, "why/table-scaledobjects.txt", w.out.String())
	w.run(t, ExitWorks, "why", "hpa", "-n", "empty")
	forbidden = true
	w.run(t, ExitUnseen, "why", "hpa", "-n", "shop")
	golden(t, "why/table-scaledobjects-forbidden.txt", w.out.String())
}

// TestWhyWithoutKEDA: that KEDA is not installed is said.
func TestWhyWithoutKEDA(t *testing.T) {
	w := newWorld(t, interceptor.Funcs{Get: func(
		ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption,
	) error {
		if kind := object.GetObjectKind().GroupVersionKind(); kind.Kind == "ScaledObject" {
			return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
		}
		return c.Get(ctx, key, object, options...)
	}})
	w.run(t, ExitError, "why", "so/web", "-n", "shop")
	if !strings.Contains(w.errOut.String(), "KEDA is not installed") {
		t.Errorf("standard error has %q", w.errOut)
	}
}
