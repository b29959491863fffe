// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// TestForeignKeys: each job must be there once, or Prometheus refuses the whole configuration.
func TestForeignKeys(t *testing.T) {
	w := plainWorld(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.settle(t, "shop")
	other := prometheus.ShardName((prometheus.ShardOf("shop") + 1) % prometheus.Shards)
	text := w.configured(t)["shop"]
	must(t, w.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: other,
		Labels: ownership.Labels(ownership.MonitorsComponent)}, Data: map[string]string{"shop.yaml": text, "Not.a.namespace.yaml": text}}))
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.Data["gone.yaml"] = text })
	writes := w.settle(t, "shop", "gone", "Not.a.namespace")
	for _, want := range []string{"remove shop.yaml of " + other, "remove Not.a.namespace.yaml of " + other, "remove gone.yaml of " + shardOfShop} {
		if !slices.Contains(writes, want) {
			t.Errorf("%q lack %q", writes, want)
		}
	}
	if got := w.configured(t); len(got) != 1 || got["shop"] != text {
		t.Errorf("%d are left", len(got))
	}
}

// TestConfigurationLimit: a namespace cannot use up the room of others, and what fits of it is scraped.
func TestConfigurationLimit(t *testing.T) {
	w := plainWorld(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	for i := range 5 {
		must(t, w.services().Add(service("shop", fmt.Sprint("q", i), annotated("path", fmt.Sprint("/m?x=", i)))))
		must(t, w.pods().Add(pod("shop", fmt.Sprint("p", i), annotated("port", "80", "path", fmt.Sprint("/m?y=", i), "scrape-slow", "yes"))))
	}
	must(t, w.pods().Add(pod("shop", "list", annotated("port", "1,2,3,4,5,6,7,8"))))
	writes := w.settle(t, "shop")
	text := w.configured(t)["shop"]
	if !slices.Contains(writes, setShop) || len(text) > largestText || strings.Contains(text, "params:") {
		t.Errorf("writes %q of %d bytes", writes, len(text))
	}
	w.expectProblem(t, "shop", v1alpha1.ReasonConfigurationLimit, "would be larger than 96 KiB; its Services with a query")
	expectWrites(t, "at rest", w.settle(t, "shop"))
	must(t, w.pods().Delete(pod("shop", "list", nil)))
	expectWrites(t, "less", w.settle(t, "shop"), setShop)
	if text := w.configured(t)["shop"]; !strings.Contains(text, "params:") || len(text) > largestText {
		t.Errorf("%d bytes", len(text))
	}
	if _, status := w.observe(t); status.NotScrapedTotal != 0 {
		t.Errorf("still %+v", status.NotScraped)
	}
}

// TestFullShard: who comes later has no room, and takes nobody's.
func TestFullShard(t *testing.T) {
	w := plainWorld(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.settle(t, "shop")
	beside := besideShop(2)
	late, large := beside[0], beside[1]+suffix
	must(t, w.client.Create(t.Context(), namespaces(late)[0]))
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.Data[large] = strings.Repeat("#", largestShard-6000) })
	must(t, w.services().Add(service(late, "a", annotated())))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	before := w.configured(t)["shop"]
	expectWrites(t, "no room", w.settle(t, late, "shop"))
	if after := w.configured(t)["shop"]; after != before {
		t.Error("the configuration that was there is gone")
	}
	state, status := w.observe(t)
	if !state.Met || status.NotScrapedTotal != 2 || !strings.Contains(status.NotScraped[0].Message, "has no room for") ||
		status.NotScraped[0].Reason != v1alpha1.ReasonConfigurationLimit {
		t.Errorf("state %+v, namespaces %+v", state, status.NotScraped)
	}
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { delete(shard.Data, large) })
	w.settle(t, late, "shop")
	if _, status := w.observe(t); status.NotScrapedTotal != 0 || len(w.configured(t)) != 2 {
		t.Errorf("with room: %+v", status)
	}
}

// TestShardsThatAreRefused: the API server's answer concerns no namespace alone.
func TestShardsThatAreRefused(t *testing.T) {
	w := plainWorld(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.reconcile(t, "shop")
	w.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, shardOfShop, fmt.Errorf("denied the request"))
	w.clock.SetTime(w.clock.Now().Add(restPeriod))
	result, err := w.r.Reconcile(t.Context(), flushOf(prometheus.ShardOf("shop")))
	must(t, err)
	if state, status := w.observe(t); state.Met || state.Reason != v1alpha1.ReasonMonitorsFailed || status.NotScrapedTotal != 0 ||
		!strings.Contains(state.Message, shardOfShop) || result.RequeueAfter == 0 {
		t.Errorf("state %+v, namespaces %+v, again after %s", state, status.NotScraped, result.RequeueAfter)
	}
	w.refuse = nil
	w.settle(t, "shop")
	if state, _ := w.observe(t); !state.Met {
		t.Errorf("state %+v", state)
	}
}

// TestEventsOfShards request the namespaces whose key is another than before, and no others.
func TestEventsOfShards(t *testing.T) {
	shard := func(labeled bool, keys ...string) *corev1.ConfigMap {
		one := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: shardOfShop}, Data: map[string]string{}}
		if labeled {
			one.Labels = map[string]string{"a": "b"}
		}
		for i := 0; i < len(keys); i += 2 {
			one.Data[keys[i]] = keys[i+1]
		}
		return one
	}
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: "other"}, Data: map[string]string{"shop.yaml": "1"}}
	w := newWorld(t)
	h := w.r.ofShards()
	for name, tc := range map[string]struct {
		send    func(workqueue.TypedRateLimitingInterface[reconcile.Request])
		want    []string
		counted bool
	}{
		"it is there": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Create(t.Context(), event.CreateEvent{Object: shard(true, "a.yaml", "1", "b.yaml", "2", "c", "3")}, q)
		}, []string{"a", "b"}, true},
		"one key": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: shard(true, "a.yaml", "1", "b.yaml", "2"), ObjectNew: shard(true, "a.yaml", "1", "b.yaml", "3")}, q)
		}, []string{"b"}, false},
		"a label": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: shard(true, "a.yaml", "1"), ObjectNew: shard(false, "a.yaml", "1")}, q)
		}, []string{"a"}, false},
		"the last key": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: shard(true, "a.yaml", "1"), ObjectNew: shard(true)}, q)
		}, []string{"", "a"}, true},
		"it is gone": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Delete(t.Context(), event.DeleteEvent{Object: shard(true, "a.yaml", "1")}, q)
		}, []string{"", "a"}, true},
		"another ConfigMap": {func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			h.Create(t.Context(), event.CreateEvent{Object: other}, q)
		}, nil, false},
	} {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		tc.send(q)
		var got []string
		for q.Len() > 0 {
			request, _ := q.Get()
			got = append(got, request.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, delayed := w.requested(); (len(delayed) > 0) != tc.counted {
			t.Errorf("%s: counted by %q", name, delayed)
		}
		q.ShutDown()
	}
}

// TestDigests: a cache keeps nothing as large as users like, and all other ConfigMaps whole.
func TestDigests(t *testing.T) {
	shard := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: shardOfShop}, Data: map[string]string{"shop.yaml": strings.Repeat("x", 1<<20)}}
	kept, err := Digests(shard)
	must(t, err)
	if got := kept.(*corev1.ConfigMap).Data["shop.yaml"]; len(got) > 80 || lengthOf(got) != 1<<20 || len(shard.Data["shop.yaml"]) != 1<<20 {
		t.Errorf("kept %q", got)
	}
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "prometheus-adapter"}, Data: map[string]string{"config.yaml": "rules: []"}}
	if kept, _ := Digests(other); kept != any(other) {
		t.Errorf("kept %v", kept)
	}
}
