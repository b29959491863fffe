// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

func managed(spec *v1alpha1.MetricsPipelineSpec) {
	spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
}

// plainWorld is one without prometheus-operator, in which the operator runs a Prometheus.
func plainWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := newWorld(t, slices.Concat(namespaces("shop", "bank"), []client.Object{pipeline(managed)}, objects)...)
	w.seen(t)
	return w
}

var (
	shardOfShop = prometheus.ShardName(prometheus.ShardOf("shop"))
	appliedShop = "apply ConfigMap metrics/" + shardOfShop
	setShop     = "set shop.yaml of " + shardOfShop
	removeShop  = "remove shop.yaml of " + shardOfShop
)

// settle reconciles namespaces, writes the shards, and reconciles the namespaces again, as the events of the writes request. It returns
// what was written.
func (w *world) settle(t *testing.T, namespaces ...string) []string {
	t.Helper()
	writes := w.reconcile(t, namespaces...)
	w.clock.SetTime(w.clock.Now().Add(restPeriod))
	for shard := range prometheus.Shards {
		_, err := w.r.Reconcile(t.Context(), flushOf(shard))
		must(t, err)
	}
	writes, w.writes = append(writes, w.writes...), nil
	return append(writes, w.reconcile(t, namespaces...)...)
}

// configured returns the scrape configurations of all namespaces, by namespace.
func (w *world) configured(t *testing.T) map[string]string {
	t.Helper()
	var list corev1.ConfigMapList
	must(t, w.client.List(t.Context(), &list, client.InNamespace("metrics")))
	all := map[string]string{}
	for _, shard := range list.Items {
		if owner := metav1.GetControllerOf(&shard); owner == nil || owner.UID != "pipeline" ||
			shard.Labels[v1alpha1.ComponentLabel] != ownership.MonitorsComponent || !ownership.Labeled(&shard) {
			t.Errorf("%s has the labels %v and the owner %+v", shard.Name, shard.Labels, owner)
		}
		for key, text := range shard.Data {
			all[strings.TrimSuffix(key, suffix)] = text
			if name := prometheus.ShardName(prometheus.ShardOf(strings.TrimSuffix(key, suffix))); shard.Name != name {
				t.Errorf("%s is in %s", key, shard.Name)
			}
		}
	}
	return all
}

// jobs are the names of the jobs of a scrape configuration.
func jobs(t *testing.T, text string) []string {
	t.Helper()
	var read struct {
		Jobs []promconfig.Job `json:"scrape_configs"`
	}
	must(t, yaml.UnmarshalStrict([]byte(text), &read))
	var names []string
	for _, job := range read.Jobs {
		names = append(names, job.Name)
	}
	return names
}

// editShard changes a ConfigMap by hand.
func (w *world) editShard(t *testing.T, name string, edit func(*corev1.ConfigMap)) {
	t.Helper()
	shard := &corev1.ConfigMap{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: "metrics", Name: name}, shard))
	edit(shard)
	must(t, w.client.Update(t.Context(), shard))
}

// TestScrapeConfigurations: of a namespace from its first app to its last.
func TestScrapeConfigurations(t *testing.T) {
	w := plainWorld(t)
	expectWrites(t, "no app", w.settle(t, "shop", "bank"))
	must(t, w.services().Add(service("shop", "a", annotated())))
	expectWrites(t, "the first app", w.settle(t, "shop", "bank"), appliedShop, setShop)
	if got, want := jobs(t, w.configured(t)["shop"]), []string{"serviceMonitor/shop/metricspipeline-annotated/0"}; !slices.Equal(got, want) {
		t.Errorf("jobs %q, want %q", got, want)
	}
	state, status := w.observe(t)
	if !state.Met || state.Reason != v1alpha1.ReasonSelected || status.Services != 1 || status.Monitors != 1 {
		t.Errorf("observed %+v, %+v", state, status)
	}
	must(t, w.services().Add(service("shop", "b", annotated())))
	expectWrites(t, "a second app", w.settle(t, "shop", "bank"))
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	expectWrites(t, "the first Pod", w.settle(t, "shop", "bank"), setShop)

	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.Data["shop.yaml"] += "#" })
	expectWrites(t, "an edit", w.settle(t, "shop"), setShop)
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.Labels = nil })
	expectWrites(t, "no labels", w.settle(t, "shop"), appliedShop)
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.Labels["app.kubernetes.io/part-of"] = "another" })
	expectWrites(t, "another label", w.settle(t, "shop"), appliedShop)
	w.editShard(t, shardOfShop, func(shard *corev1.ConfigMap) { shard.OwnerReferences[0].UID = "another" })
	expectWrites(t, "another owner", w.settle(t, "shop"), appliedShop)
	must(t, w.client.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: shardOfShop}}))
	expectWrites(t, "deleted", w.settle(t, "shop"), appliedShop, setShop)
	expectWrites(t, "at rest", w.settle(t, "shop", "bank"))
	w.configured(t)

	must(t, w.services().Delete(service("shop", "a", nil)))
	must(t, w.services().Delete(service("shop", "b", nil)))
	must(t, w.pods().Delete(pod("shop", "p", nil)))
	expectWrites(t, "the last app", w.settle(t, "shop"), removeShop)
	must(t, w.services().Add(service("shop", "a", annotated())))
	expectWrites(t, "another", w.settle(t, "shop"), setShop)
	must(t, w.client.Delete(t.Context(), namespaces("shop")[0]))
	expectWrites(t, "the namespace is gone", w.settle(t, "shop"), removeShop)
}

// besideShop returns the names of namespaces in the shard of shop.
func besideShop(count int) []string {
	var names []string
	for i := 0; len(names) < count; i++ {
		if name := fmt.Sprint("team-", i); prometheus.ShardOf(name) == prometheus.ShardOf("shop") {
			names = append(names, name)
		}
	}
	return names
}

// TestNamespacesShareWrites: what changes in a shard meanwhile is one write.
func TestNamespacesShareWrites(t *testing.T) {
	names := append([]string{"shop"}, besideShop(3)...)
	w := plainWorld(t, namespaces(names[1:]...)...)
	patches := 0
	for _, name := range names {
		must(t, w.services().Add(service(name, "a", annotated())))
	}
	for _, write := range w.settle(t, names...) {
		if strings.HasPrefix(write, "apply ") {
			patches++
		}
	}
	if got := w.configured(t); patches != 1 || len(got) != 4 {
		t.Errorf("%d writes of %d configurations", patches, len(got))
	}
	if _, delayed := w.requested(); !slices.Contains(delayed, fmt.Sprintf("%d after 2s", prometheus.ShardOf("shop"))) {
		t.Errorf("requested %q", delayed)
	}
}

// TestFromMonitorsToScrapeConfigurations and back: the other's objects go only after the new ones are there.
func TestFromMonitorsToScrapeConfigurations(t *testing.T) {
	own := everything()
	own.Namespace, own.Name, own.Labels = "metrics", prometheus.ManagedObject, ownership.Labels(prometheus.ManagedName)
	w := newWorld(t, slices.Concat(crds(), namespaces("shop"), []client.Object{own, pipeline(managed)})...)
	w.seen(t)
	must(t, w.services().Add(service("shop", "a", annotated())))
	expectWrites(t, "monitors", w.settle(t, "shop"), "apply "+groupedServices)
	prometheusCRD := crds()[2]
	must(t, w.client.Delete(t.Context(), prometheusCRD))
	expectWrites(t, "to scrape configurations", w.settle(t, "shop"), appliedShop, setShop, "delete "+groupedServices)
	expectWrites(t, "at rest", w.settle(t, "shop"))
	must(t, w.client.Create(t.Context(), crds()[2]))
	expectWrites(t, "back", w.settle(t, "shop"), "apply "+groupedServices, removeShop, "delete ConfigMap metrics/"+shardOfShop)
	expectWrites(t, "at rest again", w.settle(t, "shop"))
}

// TestManagedIsGone: the configurations go with the Prometheus that reads them, which may be retained for a while.
func TestManagedIsGone(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "metrics", Name: prometheus.ManagedName}}
	w := plainWorld(t, deployment)
	must(t, w.services().Add(service("shop", "a", annotated())))
	w.settle(t, "shop")
	p := &v1alpha1.MetricsPipeline{}
	must(t, w.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, p))
	p.Spec.Prometheus.Managed = nil
	must(t, w.client.Update(t.Context(), p))
	expectWrites(t, "retained", w.settle(t, "shop"))
	must(t, w.client.Delete(t.Context(), deployment))
	expectWrites(t, "gone", w.settle(t, "shop"), "delete ConfigMap metrics/"+shardOfShop)
}

// TestScrapeOffWithScrapeConfigurations: what takes a namespace's away.
func TestScrapeOffWithScrapeConfigurations(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ScrapeSpec){
		"scraping is off": func(s *v1alpha1.ScrapeSpec) { s.Targets = nil },
		"the namespace selector": func(s *v1alpha1.ScrapeSpec) {
			s.NamespaceSelector = metav1.SetAsLabelSelector(map[string]string{"a": "b"})
		},
	} {
		w := plainWorld(t)
		must(t, w.services().Add(service("shop", "a", annotated())))
		w.settle(t, "shop")
		w.change(t, change)
		expectWrites(t, name, w.settle(t, "shop"), removeShop)
	}
}

// TestPlainSettings: what a Prometheus without prometheus-operator cannot do is said.
func TestPlainSettings(t *testing.T) {
	for says, change := range map[string]func(*v1alpha1.ScrapeSpec){
		"reads a scrape configuration of each namespace with annotated apps.": func(*v1alpha1.ScrapeSpec) {},
		"Without effect: spec.scrape.tls.ca, spec.scrape.bearerToken, because it may read no Secrets": func(s *v1alpha1.ScrapeSpec) {
			s.TLS.CA = &v1alpha1.CertificateAuthority{ConfigMap: &v1alpha1.KeyReference{Name: "ca", Key: "ca.crt"}}
			s.BearerToken = &v1alpha1.ScrapeBearerToken{Secret: v1alpha1.KeyReference{Name: "t", Key: "token"}}
		},
		"Without effect: spec.scrape.granularity, spec.scrape.labels, because there are no monitors.": func(s *v1alpha1.ScrapeSpec) {
			s.Granularity, s.Labels = v1alpha1.ScrapePerService, map[string]v1alpha1.LabelValue{"team": "web"}
		},
	} {
		w := plainWorld(t)
		w.change(t, change)
		must(t, w.services().Add(service("shop", "a", annotated("scheme", "https"))))
		w.settle(t, "shop")
		if state, _ := w.observe(t); !state.Met || !strings.Contains(state.Message, says) {
			t.Errorf("state %+v, want %q", state, says)
		}
		if got := jobs(t, w.configured(t)["shop"]); len(got) != 1 {
			t.Errorf("jobs %q", got)
		}
	}
}
