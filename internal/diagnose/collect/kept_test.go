// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fat are lists as long as they may be, of objects as large as their owner makes them. It measures what is in memory when the last of
// them is requested.
type fat struct {
	client.Reader
	before, during uint64
	described      int
}

const fatBytes = 20 << 10

// grow makes an object fat in what is read of it, and in what is not.
func grow(object *metav1.ObjectMeta, app string) {
	object.Namespace = shop
	object.Labels = map[string]string{"app": app}
	object.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": strings.Repeat("x", fatBytes), "notes": strings.Repeat("x", fatBytes)}
	for i := range fatBytes / 100 {
		object.Labels[fmt.Sprintf("label-%d-%s", i, strings.Repeat("x", 40))] = strings.Repeat("x", 60)
	}
}

func (f *fat) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	of := (&client.ListOptions{}).ApplyOptions(options)
	switch list := list.(type) {
	case *corev1.ServiceList:
		for i := range of.Limit {
			app := fmt.Sprintf("app-%d", i)
			s := ofApp(app, app)
			grow(&s.ObjectMeta, app)
			list.Items = append(list.Items, *s)
		}
	case *corev1.PodList:
		app, _ := of.LabelSelector.RequiresExactMatch("app")
		if app != "web" {
			f.described++
		}
		for i := range of.Limit {
			p := pod(fmt.Sprintf("%s-%d", app, i))
			grow(&p.ObjectMeta, app)
			p.Spec.Containers[0].Command = []string{strings.Repeat("x", fatBytes)}
			list.Items = append(list.Items, *p)
		}
	case *monitoringv1.ServiceMonitorList:
		for i := range of.Limit {
			var m monitoringv1.ServiceMonitor
			m.Name = fmt.Sprintf("fat-%d", i)
			grow(&m.ObjectMeta, "fat")
			m.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpExists}}
			m.Spec.Endpoints = make([]monitoringv1.Endpoint, 100)
			list.Items = append(list.Items, m)
		}
	case *monitoringv1.PodMonitorList: // The last one.
		f.during = heap()
	default:
		return f.Reader.List(ctx, list, options...)
	}
	return nil
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestKeptOfFatObjects: tenants choose how large their pods, Services and monitors are. What stays of them while one HPA is looked at is a
// small part of the operator's memory.
func TestKeptOfFatObjects(t *testing.T) {
	f := &fat{}
	w := newWorld(func(w *world) {
		w.hpa = hpa(podsMetric("depth", nil))
		for i := range mostDescribed {
			w.hpa.Spec.Metrics = append(w.hpa.Spec.Metrics, objectMetric("depth", "v1", "Service", fmt.Sprintf("app-%d", i)))
		}
		w.asker = &recorder{}
		w.change = func(s *Sources) { f.Reader, s.Objects = s.Objects, f }
	})
	collector := New(w.sources(t))
	f.before = heap()
	evidence, err := collector.Collect(t.Context(), w.hpa)
	if err != nil || f.described != mostDescribed || len(evidence.Metrics[1].Scrape.Monitors) == 0 {
		t.Fatalf("%d lists of pods of described Services, %+v, %v", f.described, evidence.Metrics, err)
	}
	const most = 8 << 10
	kept := (int64(f.during) - int64(f.before)) >> 10
	t.Logf("%d KiB", kept)
	if kept > most {
		t.Errorf("%d KiB are kept, more than %d KiB", kept, most)
	}
	runtime.KeepAlive(evidence)
}
