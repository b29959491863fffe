// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

// TestMetricsOfAnotherService: an HPA scales web by a metric of Service queue, whose pods are others. What Prometheus scrapes of those
// counts, and not what it scrapes of web.
func TestMetricsOfAnotherService(t *testing.T) {
	annotated := func(s *corev1.Service) { s.Annotations = map[string]string{"prometheus.io/scrape": "true"} }
	worker := func(s *corev1.Service) {
		s.Labels, s.Spec.Selector = map[string]string{"app": "worker"}, map[string]string{"app": "worker"}
	}
	up := func(pod, value string) string { return `up{namespace="shop",pod="` + pod + `"}` + value }
	for name, test := range map[string]struct {
		described  string
		queue, web func(*corev1.Service)
		pending    bool
		store      store
		want       diagnose.Scrape
		reason     string
	}{
		"its pods are scraped": {described: "queue", queue: annotated, store: store{up("worker-0", ""): {value: 1}},
			want:   diagnose.Scrape{Of: "Service queue", Known: true, Up: 1, Annotated: []string{"Service queue"}},
			reason: v1alpha1.AutoscalerRuleMissing},
		"its pods are down": {described: "queue", queue: annotated, store: store{up("worker-0", ""): {value: 0}},
			want:   diagnose.Scrape{Of: "Service queue", Known: true, Down: 1, Annotated: []string{"Service queue"}},
			reason: v1alpha1.AutoscalerScrapeDown},
		"only the HPA's own pods are scraped": {described: "queue", web: annotated, store: store{up("web-0", ""): {value: 1}},
			want: diagnose.Scrape{Of: "Service queue", Known: true}, reason: v1alpha1.AutoscalerAppNotAnnotated},
		"none of its pods runs": {described: "queue", queue: annotated, pending: true, store: store{up("web-0", ""): {value: 1}},
			want: diagnose.Scrape{Of: "Service queue", Known: true, NoPods: "app=worker"}, reason: v1alpha1.AutoscalerNotScraped},
		"it has no selector": {described: "queue", queue: func(s *corev1.Service) { s.Spec.Selector = nil }, store: store{},
			reason: v1alpha1.AutoscalerRuleMissing},
		"the HPA's own Service": {described: "web", web: annotated, store: store{up("web-0", ""): {value: 1}},
			want:   diagnose.Scrape{Known: true, Up: 1, Annotated: []string{"Service web"}},
			reason: v1alpha1.AutoscalerRuleMissing},
		"a Service that does not exist": {described: "gone", web: annotated, store: store{up("web-0", ""): {value: 1}},
			reason: v1alpha1.AutoscalerRuleMissing},
	} {
		t.Run(name, func(t *testing.T) {
			none := func(*corev1.Service) {}
			either := func(change func(*corev1.Service)) func(*corev1.Service) {
				if change == nil {
					return none
				}
				return change
			}
			w := newWorld(func(w *world) {
				w.hpa, w.store = hpa(objectMetric("depth", "v1", "Service", test.described)), test.store
				w.hpa.Status, w.pipeline.Spec.CustomMetrics.Rules = failing, nil
				if test.pending {
					w.objects[len(w.objects)-1].(*corev1.Pod).Status.Phase = corev1.PodPending
				}
				w.objects = append(w.objects, service("web", either(test.web)), service("queue", worker, either(test.queue)))
			})
			evidence := w.collect(t)
			got := evidence.Metrics[0].Scrape
			if test.want.Known {
				test.want.Prefix = "prometheus.io"
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			finding := diagnose.Examine(evidence).Chains[0].Finding
			if finding == nil || finding.Reason != test.reason || strings.Contains(finding.Message(), "Deployment web") {
				t.Errorf("found %+v, want %s, which is not about the pods of Deployment web", finding, test.reason)
			}
		})
	}
}

// TestServiceOfAnotherAPI: a Service of Knative has no pods of a core Service with that name.
func TestServiceOfAnotherAPI(t *testing.T) {
	for _, name := range []string{"web", "queue"} {
		w := newWorld(func(w *world) {
			w.hpa = hpa(objectMetric("depth", "serving.knative.dev/v1", "Service", name))
			w.objects = append(w.objects, service("web"), ofApp("queue", "worker"))
		})
		if scrape := w.collect(t).Metrics[0].Scrape; scrape.Known || scrape.Of != "" {
			t.Errorf("%s: %+v", name, scrape)
		}
	}
}

// ofApp is a Service that selects the pods of an app.
func ofApp(name, app string) *corev1.Service {
	return service(name, func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": app} })
}

// TestServiceOfTargetAtZero: while a target has no pods, its own Service is known by its selector. It is nothing that could wake it.
func TestServiceOfTargetAtZero(t *testing.T) {
	for name, test := range map[string]struct {
		target   string
		selector map[string]string
		change   func(*world)
		of       string
	}{
		"the same selector":            {"app=web", map[string]string{"app": "web"}, nil, ""},
		"one of the target's labels":   {"app=web,tier=front", map[string]string{"tier": "front"}, nil, ""},
		"another label beside":         {"app=web", map[string]string{"app": "web", "tier": "front"}, nil, ""},
		"an expression":                {"app in (web,shop)", map[string]string{"app": "shop"}, nil, ""},
		"another selector":             {"app=web", map[string]string{"app": "queue"}, nil, "Service web"},
		"one label of two":             {"app=web,tier=front", map[string]string{"app": "web", "tier": "back"}, nil, "Service web"},
		"pods that may not be listed":  {"app=web", map[string]string{"app": "web"}, func(w *world) { w.refused = []string{"PodList"} }, ""},
		"monitors may not be, neither": {"app=web", map[string]string{"app": "web"}, func(w *world) { w.refused = []string{"PodMonitorList"} }, ""},
		"Services may not be listed":   {"app=web", map[string]string{"app": "queue"}, func(w *world) { w.refused = []string{"ServiceList"} }, ""},
		"a scale that may not be read": {"", map[string]string{"app": "web"}, func(w *world) {
			w.scaleErr = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments/scale"}, "web", errors.New("no right"))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(func(w *world) {
				w.hpa = hpa(objectMetric("depth", "v1", "Service", "web"))
				w.hpa.Spec.MinReplicas, w.hpa.Status = ptr.To[int32](0), *failing.DeepCopy()
				w.hpa.Status.Conditions = append(w.hpa.Status.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{
					Type: autoscalingv2.ScaledToZero, Status: corev1.ConditionTrue})
				w.scale.Spec.Replicas, w.scale.Status.Selector = 0, test.target
				w.objects = append(w.objects[:1], service("web", func(s *corev1.Service) { s.Spec.Selector = test.selector }))
				if test.change != nil {
					test.change(w)
				}
			})
			evidence := w.collect(t)
			if of := evidence.Metrics[0].Scrape.Of; of != test.of {
				t.Errorf("the pods are of %q, want %q", of, test.of)
			}
			for _, link := range diagnose.Examine(evidence).Chains[0].Links {
				if link.Name == diagnose.LinkScrape && (link.Verdict == diagnose.NotReached) != (test.of == "") {
					t.Errorf("the scrape is %s", link.Verdict)
				}
			}
		})
	}
}

// listing counts the lists of described Services' pods, and knows no Service beyond a limit but by its name.
type listing struct {
	client.Reader
	limit int
	pods  []string
}

func (l *listing) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	of := (&client.ListOptions{}).ApplyOptions(options)
	err := l.Reader.List(ctx, list, options...)
	switch list := list.(type) {
	case *corev1.ServiceList:
		if of.FieldSelector == nil && len(list.Items) > l.limit {
			list.Items, list.Continue = list.Items[:l.limit], "more"
		}
	case *corev1.PodList:
		if of.FieldSelector != nil {
			l.pods = append(l.pods, of.LabelSelector.String())
		}
	}
	return err
}

// TestMostDescribed: the pods of some described Services are read, of each selector once, and of the others it is said that they are not.
func TestMostDescribed(t *testing.T) {
	list := &listing{limit: mostListed}
	w := newWorld(func(w *world) {
		w.hpa = hpa(podsMetric("depth", nil))
		w.objects = append(w.objects, service("web"), ofApp("another", "app-0"))
		for _, name := range []string{"web", "app-0", "another", "gone", "app-1", "app-2", "app-3", "app-0"} {
			w.hpa.Spec.Metrics = append(w.hpa.Spec.Metrics, objectMetric("depth", "v1", "Service", name))
		}
		for i := range 4 {
			name := fmt.Sprintf("app-%d", i)
			w.objects = append(w.objects, ofApp(name, name), pod(name, labeled("app", name)))
		}
		w.change = func(s *Sources) { list.Reader, s.Objects = s.Objects, list }
	})
	evidence := w.collect(t)
	var seen, unseen []string
	for _, metric := range evidence.Metrics {
		if metric.Scrape.Known {
			seen = append(seen, metric.Scrape.Of)
		}
		if metric.Scrape.Unseen != "" {
			unseen = append(unseen, metric.Scrape.Unseen)
		}
	}
	want := []string{"", "", "Service app-0", "Service another", "Service app-1", "Service app-2", "Service app-0"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("looked at (-want +got):\n%s", diff)
	}
	if len(unseen) != 1 || !strings.HasPrefix(unseen[0], "Service app-3 is not looked at") || evidence.Unseen[diagnose.LinkScrape] != "" {
		t.Errorf("not looked at: %q, %v", unseen, evidence.Unseen)
	}
	if diff := cmp.Diff([]string{"app=app-0", "app=app-1", "app=app-2"}, list.pods); diff != "" {
		t.Errorf("lists of pods (-want +got):\n%s", diff)
	}
}

// TestUnseenPodsOfService: what keeps the pods of one Service out of sight is said of the metric that describes it, and of no other.
func TestUnseenPodsOfService(t *testing.T) {
	w := newWorld(func(w *world) {
		w.hpa = hpa(podsMetric("depth", nil), objectMetric("depth", "v1", "Service", "queue"))
		w.hpa.Status, w.pipeline.Spec.CustomMetrics.Rules = failing, nil
		w.hpa.Status.CurrentMetrics = make([]autoscalingv2.MetricStatus, 2)
		w.objects = append(w.objects, ofApp("queue", "worker"))
		w.change = func(s *Sources) { s.Objects = failingPhases{s.Objects} }
	})
	var verdicts []diagnose.Verdict
	for _, chain := range diagnose.Examine(w.collect(t)).Chains {
		for _, link := range chain.Links {
			if link.Name == diagnose.LinkMonitor {
				verdicts = append(verdicts, link.Verdict)
			}
		}
	}
	if want := []diagnose.Verdict{diagnose.NoData, diagnose.Unseen}; !slices.Equal(verdicts, want) {
		t.Errorf("the monitors are %v, want %v", verdicts, want)
	}
}

// failingPhases lists no pods by their phase.
type failingPhases struct{ client.Reader }

func (f failingPhases) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, pods := list.(*corev1.PodList); pods && (&client.ListOptions{}).ApplyOptions(options).FieldSelector != nil {
		return forbidden(list)
	}
	return f.Reader.List(ctx, list, options...)
}

// TestServiceBeyondTheList: a described Service that the list has no room for is found by its name, also the target's own.
func TestServiceBeyondTheList(t *testing.T) {
	w := newWorld(func(w *world) {
		w.hpa = hpa(objectMetric("depth", "v1", "Service", "queue"), objectMetric("depth", "v1", "Service", "web"),
			objectMetric("depth", "v1", "Service", "gone"))
		w.objects = append(w.objects, ofApp("api", "api"), service("web"), ofApp("queue", "worker"))
		w.change = func(s *Sources) { s.Objects = &listing{Reader: s.Objects, limit: 1} }
	})
	metrics := w.collect(t).Metrics
	if scrape := metrics[0].Scrape; !scrape.Known || scrape.Of != "Service queue" {
		t.Errorf("queue: %+v", scrape)
	}
	if scrape := metrics[1].Scrape; !scrape.Known || scrape.Of != "" {
		t.Errorf("web: %+v", scrape)
	}
	if scrape := metrics[2].Scrape; scrape.Known || scrape.Of != "" || scrape.Unseen != "" {
		t.Errorf("gone: %+v", scrape)
	}
}
