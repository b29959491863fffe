// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

func TestTarget(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	// As a real API server says it, in JSON.
	notServed := &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 404, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{}}}
	daemonSets := schema.GroupResource{Group: "apps", Resource: "daemonsets/scale"}
	for name, test := range map[string]struct {
		change func(*world)
		want   diagnose.Target
		pods   int
	}{
		"works": {want: diagnose.Target{Found: true, KindServed: true, Scalable: true, Replicas: 2, Selector: "app=web"}, pods: 2},
		"a kind that is not served": {change: func(w *world) { w.hpa.Spec.ScaleTargetRef.Kind = "Deploiment" },
			want: diagnose.Target{}},
		"a version that is not served": {change: func(w *world) { w.hpa.Spec.ScaleTargetRef.APIVersion = "extensions/v1beta1" },
			want: diagnose.Target{}},
		"a version that is none": {change: func(w *world) { w.hpa.Spec.ScaleTargetRef.APIVersion = "a/b/c" }, want: diagnose.Target{}},
		"an object that does not exist": {change: func(w *world) { w.scaleErr = apierrors.NewNotFound(deployments, "web") },
			want: diagnose.Target{KindServed: true, Scalable: true}},
		"a kind without a scale": {change: func(w *world) { w.hpa.Spec.ScaleTargetRef.Kind, w.scaleErr = "DaemonSet", notServed },
			want: diagnose.Target{Found: true, KindServed: true}},
		"a kind without a scale, which may not be read": {change: func(w *world) {
			w.hpa.Spec.ScaleTargetRef.Kind, w.scaleErr = "DaemonSet", apierrors.NewForbidden(daemonSets, "web", errors.New("no right"))
		}, want: diagnose.Target{Found: true, KindServed: true}},
		"without a selector": {change: func(w *world) { w.scale.Status.Selector = "" },
			want: diagnose.Target{Found: true, KindServed: true, Scalable: true, Replicas: 2}},
		"a selector that selects others too": {change: func(w *world) {
			w.scale.Status.Selector = "tier=front"
			w.objects = []client.Object{pod("web-0", labeled("tier", "front")), pod("old-0", labeled("tier", "front"), ownedBy("StatefulSet", "old")),
				pod("new-0", labeled("tier", "front"), labeled("rollouts-pod-template-hash", "f"), ownedBy("ReplicaSet", "new-f"))}
		}, want: diagnose.Target{Found: true, KindServed: true, Scalable: true, Replicas: 2, Selector: "tier=front",
			SelectorElsewhere: []string{"Rollout new", "StatefulSet old"}}, pods: 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			if test.change != nil {
				test.change(w)
			}
			evidence := w.collect(t)
			if diff := cmp.Diff(test.want, evidence.Target); diff != "" {
				t.Error(diff)
			}
			if len(evidence.Pods) != test.pods || evidence.PodsTotal != test.pods {
				t.Errorf("%d pods of %d, want %d", len(evidence.Pods), evidence.PodsTotal, test.pods)
			}
		})
	}
}

func labeled(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

func ownedBy(kind, name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}}
	}
}

func TestPods(t *testing.T) {
	w := newWorld(func(w *world) {
		w.objects = nil
		for i := range 30 {
			w.objects = append(w.objects, pod("web-"+string(rune('a'+i%26))+string(rune('0'+i/26))))
		}
		w.objects = append(w.objects,
			pod("zz-bare", func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources.Requests = nil
				p.Annotations = map[string]string{"prometheus.io/port": "80", "other": "value"}
			}),
			pod("zz-stuck", func(p *corev1.Pod) {
				p.Status.Conditions = nil
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
				p.Spec.InitContainers = []corev1.Container{{Name: "setup"}, {Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
			}),
			pod("zz-unscheduled", func(p *corev1.Pod) {
				p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
					{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"}}}
			}))
	})
	evidence := w.collect(t)
	if len(evidence.Pods) != diagnose.MostPods || evidence.PodsTotal != 33 {
		t.Errorf("%d pods of %d", len(evidence.Pods), evidence.PodsTotal)
	}
	stuck, unscheduled, bare := evidence.Pods[0], evidence.Pods[1], evidence.Pods[2]
	if stuck.Waiting != "container app: ImagePullBackOff" || stuck.Ready || stuck.Owner != "Deployment web" ||
		!slices.Equal(slices.Sorted(maps.Keys(stuck.Requests)), []string{"app", "proxy"}) {
		t.Errorf("%+v", stuck)
	}
	if unscheduled.Waiting != "scheduler: 0/3 nodes are available" || unscheduled.Phase != corev1.PodPending {
		t.Errorf("%+v", unscheduled)
	}
	if bare.Name != "zz-bare" || len(bare.Requests) != 1 || len(bare.Annotations) != 1 || !bare.Created.Equal(queryTime.Add(-time.Hour)) {
		t.Errorf("%+v", bare)
	}
}

func TestOthers(t *testing.T) {
	target := map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
	w := newWorld(func(w *world) {
		second, third := hpa(), hpa()
		second.Name, third.Name = "second", "third"
		third.Spec.ScaleTargetRef.Name = "worker"
		w.hpa.OwnerReferences = []metav1.OwnerReference{{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: "shop-web"}}
		w.objects = append(w.objects, second, third, other(scaledObjects, "shop-web", map[string]any{}),
			other(vpas, "web", map[string]any{"spec": map[string]any{"targetRef": target}}),
			other(vpas, "worker", map[string]any{"spec": map[string]any{"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}}}))
	})
	evidence := w.collect(t)
	want := &diagnose.Evidence{Others: []string{"second"}, ScaledObject: &diagnose.ScaledObject{Name: "shop-web", ToZero: true},
		VPAs: []diagnose.VPA{{Name: "web", Mode: "Recreate", Containers: map[string][]string{}}}}
	got := &diagnose.Evidence{Others: evidence.Others, ScaledObject: evidence.ScaledObject, VPAs: evidence.VPAs}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUsage(t *testing.T) {
	measured := func(name string, containers ...any) client.Object {
		object := other(podMetrics, name, map[string]any{"containers": containers})
		object.SetLabels(map[string]string{"app": "web"})
		return object
	}
	w := newWorld(func(w *world) {
		w.hpa = hpa(cpuMetric(), cpuMetric())
		w.objects = append(w.objects, measured("web-0", map[string]any{"name": "app"}, map[string]any{"name": "proxy"}))
	})
	for _, metric := range w.collect(t).Metrics {
		if !slices.Equal(metric.PodsWithMetrics, []string{"web-0"}) || !slices.Equal(metric.ContainersWithMetrics, []string{"app", "proxy"}) ||
			!metric.API.Available || metric.Rules != nil || metric.Scrape.Known {
			t.Errorf("%+v", metric)
		}
	}
	w.pipeline.Status.APIServices[0].Available = metav1.ConditionFalse
	if metric := w.collect(t).Metrics[0]; metric.PodsWithMetrics != nil || metric.API.Available {
		t.Errorf("%+v", metric)
	}
}

// What may not be read is named, and all the rest is there.
func TestRefusedReads(t *testing.T) {
	full := func(w *world) {
		w.hpa = hpa(cpuMetric(), podsMetric("http_requests_per_second", nil))
		w.hpa.Labels = map[string]string{scaledObjectLabel: "web"}
		w.pipeline.Status.Prometheus = &v1alpha1.PrometheusStatus{Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}
		w.objects = append(w.objects, service("web"), other(scaledObjects, "web", map[string]any{}),
			&monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}},
			&monitoringv1.PodMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: "web"},
				Spec: monitoringv1.PodMonitorSpec{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}})
	}
	for kind, links := range map[string][]diagnose.LinkName{
		"MetricsPipeline":             {diagnose.LinkAPI, diagnose.LinkMonitor, diagnose.LinkRule, diagnose.LinkSeries},
		"HorizontalPodAutoscalerList": {diagnose.LinkAutoscaler},
		"ScaledObject":                {diagnose.LinkAutoscaler},
		"VerticalPodAutoscalerList":   {diagnose.LinkAutoscaler},
		"PodList":                     {diagnose.LinkPods},
		"ServiceList":                 {diagnose.LinkApp, diagnose.LinkMonitor},
		"Namespace":                   {diagnose.LinkMonitor},
		"ServiceMonitorList":          {diagnose.LinkMonitor},
		"PodMonitorList":              {diagnose.LinkMonitor},
		"Prometheus":                  {diagnose.LinkMonitor},
		"PodMetricsList":              {diagnose.LinkValue},
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(full, func(w *world) { w.refused = []string{kind} })
			evidence := w.collect(t)
			if got := slices.Sorted(maps.Keys(evidence.Unseen)); !slices.Equal(got, links) {
				t.Errorf("unseen are %v, want %v: %v", got, links, evidence.Unseen)
			}
			for _, why := range evidence.Unseen {
				if !strings.Contains(why, kind+` "`) && !strings.Contains(why, "forbidden") {
					t.Errorf("the permission is not named: %s", why)
				}
			}
			if !evidence.Target.Found || len(evidence.Metrics) != 2 {
				t.Errorf("the rest is not there: %+v", evidence)
			}
		})
	}
	t.Run("scale", func(t *testing.T) {
		evidence := newWorld(full, func(w *world) {
			w.scaleErr = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments/scale"}, "web", errors.New("no right"))
		}).collect(t)
		for _, link := range []diagnose.LinkName{diagnose.LinkTarget, diagnose.LinkPods} {
			if !strings.Contains(evidence.Unseen[link], "deployments/scale") {
				t.Errorf("%s: %q", link, evidence.Unseen[link])
			}
		}
	})
}
