// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// Specs. $PROMETHEUS is the address of a Prometheus that answers.
const (
	smallSpec = "prometheus: {url: $PROMETHEUS, allowHTTP: true}\n"
	largeSpec = smallSpec + rules
	rules     = `
customMetrics:
  rules:
  - id: requests
    seriesQuery: http_requests_total{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    name: {matches: ^(.*)_total$, as: '${1}_per_second'}
    metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
externalMetrics:
  rules:
  - id: queue-length
    seriesQuery: queue_length{namespace!=""}
    resources: {overrides: {namespace: {resource: namespace}}}
    metricsQuery: max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
`
	otherSpec = smallSpec + `
metricsServer: {replicas: 1, metricResolution: 30s, kubelet: {tls: {verification: Insecure}}, extraArgs: [--v=3]}
prometheusAdapter: {replicas: 3, relistInterval: 2m}
customMetrics:
  rules:
  - id: errors
    seriesQuery: http_errors_total{namespace!="",pod!=""}
    resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
    metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
scrape: {interval: 30s, labels: {team: observability}}
patches:
- target: {kind: Deployment, name: metrics-server}
  patch: '[{"op": "add", "path": "/metadata/annotations", "value": {"example.com/patched": "true"}}]'
`
)

// scenario is something that a user does to a pipeline.
type scenario struct {
	name string
	// spec that the pipeline has, and has come to, before; empty where there is none.
	spec string
	// setup makes what there is besides for as long as the scenario is tested, and given what there is at each begin.
	setup, given func(*world)
	// act does it.
	act func(*world)
	// before and after are the conditions of the operator; where restart is true, that they change is what is done.
	before, after harness.Conditions
	restart       bool
	// repaired is true for what the operator makes undone, which one life does a few times only.
	repaired bool
	// unready is true for what leaves a pipeline that cannot become ready.
	unready bool
	// renews is true for what ends with other serving certificates of all components, signed by the operator's own authority.
	renews bool
	// bare is true for what is about a spec without rules, and so without prometheus-adapter.
	bare bool
}

// rotateServing is the scenario in which a serving certificate is lost.
const rotateServing = "rotate: no serving certificate"

// scenarios are all of them; what each comes to is what an operator without faults makes of it.
func scenarios() []scenario {
	return append(ownershipScenarios(), []scenario{
		managing,
		{name: "install", given: apps, act: func(w *world) { w.apply(largeSpec) }},
		{name: "reconfigure", spec: largeSpec, given: apps, act: func(w *world) { w.apply(otherSpec) }},
		{name: "upgrade", spec: smallSpec, given: leftovers, restart: true, before: earlierRelease()},
		{name: rotateServing, spec: smallSpec, repaired: true, act: func(w *world) { w.deleteSecret(metricsServer + "-tls") }},
		{name: "rotate: no authority", spec: smallSpec, repaired: true, renews: true, act: func(w *world) { w.deleteSecret(authoritySecret) }},
		{name: "rotate: both near their end", spec: smallSpec, repaired: true, renews: true, given: oldCertificates, act: func(w *world) {
			w.clock.SetTime(time.Now())
			w.poke()
		}},
		{name: "discover", spec: smallSpec, act: apps},
		{name: "discover each Service", spec: smallSpec, given: apps, act: func(w *world) {
			w.apply(smallSpec + "scrape: {granularity: Service}\n")
		}},
		{name: "remove rules", spec: largeSpec, bare: true, act: func(w *world) { w.apply(smallSpec) }},
		{name: "remove the pipeline", spec: largeSpec, given: apps, act: func(w *world) {
			w.must(w.Client.Delete(w.Ctx, &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}))
			w.must(w.CollectGarbage(w.Ctx))
		}},
	}...)
}

// eachScenario runs a test of every scenario, each in a world of its own.
func eachScenario(t *testing.T, run func(*world, scenario)) {
	t.Helper()
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) { run(begin(t), s) })
	}
}

// prepare brings the cluster to the beginning of a scenario, with an operator that has nothing to do.
func (w *world) prepare(s scenario, known snapshot) snapshot {
	w.Helper()
	w.fault.Store(nil)
	w.crashAfter = 0
	w.restoreNamespace()
	if w.life != nil {
		w.life.crash(0) // It may have come to an end before it had to crash.
	}
	if w.life == nil || w.life.isDead() || s.restart || s.repaired {
		w.kill()
		w.conditions = s.before
		w.start()
	}
	if s.spec == "" {
		w.clear()
		known = snapshot{}
	} else {
		w.apply(s.spec)
	}
	w.noApps()
	w.clock.SetTime(time.Now())
	if s.given != nil {
		s.given(w)
	}
	w.life.stir()
	if known == nil {
		known = w.settle()
	} else {
		w.reaches(known, s.name+", before it begins")
	}
	w.life.take()
	return known
}

// do does what a scenario is about, in this life or as the next one. crash ends that after so many writes; 0 for not at all.
func (w *world) do(s scenario, crash int) {
	w.Helper()
	if s.restart {
		w.kill()
		w.conditions, w.crashAfter = s.after, crash
		w.start()
		w.crashAfter = 0
		return
	}
	w.life.crash(crash)
	s.act(w)
	w.life.stir()
}

// undisturbed runs a scenario without faults, and returns how it begins and ends and what the operator writes.
func (w *world) undisturbed(s scenario) (begin, end snapshot, writes []write) {
	w.Helper()
	if s.setup != nil {
		s.setup(w)
	}
	begin = w.prepare(s, nil)
	w.do(s, 0)
	if s.unready {
		end = w.comesToRest()
	} else {
		end = w.settle()
	}
	w.judge(100 * time.Millisecond)
	return begin, end, w.life.take()
}

// appNamespaces have annotated apps; namespaces stay, as there is no controller that deletes them.
var appNamespaces = []string{"bank", "forum", "shop"}

// apps makes annotated Services in several namespaces, and a Pod in one.
func apps(w *world) {
	w.Helper()
	for _, namespace := range appNamespaces {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		w.must(client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object)))
		annotations := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app", Annotations: annotations}}
		service.Spec.Selector = map[string]string{"app": "app"}
		service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 8080}}
		w.must(w.Client.Create(w.Ctx, service))
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "job",
		Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}}}
	pod.Spec.Containers = []corev1.Container{{Name: "job", Image: "example.com/job:1", Ports: []corev1.ContainerPort{{ContainerPort: 9090}}}}
	w.must(w.Client.Create(w.Ctx, pod))
}

// noApps removes them.
func (w *world) noApps() {
	w.Helper()
	for _, namespace := range appNamespaces {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}}
		w.must(client.IgnoreNotFound(w.Client.Delete(w.Ctx, service)))
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "job"}}
	w.must(client.IgnoreNotFound(w.Client.Delete(w.Ctx, pod, client.GracePeriodSeconds(0))))
}

// earlierRelease is an operator with other images.
func earlierRelease() harness.Conditions {
	images := controller.ImagesFrom(func(string) string { return "" })
	for name, image := range images {
		images[name] = image[:strings.LastIndex(image, ":")] + ":v0.0.1"
	}
	return harness.Conditions{Options: controller.Options{Version: "earlier", Images: images}}
}

// leftovers are objects that an earlier release deployed and this one does not. A release that drops an object keeps its name in its
// role, so that it may delete it.
func leftovers(w *world) {
	w.Helper()
	pipeline, _ := w.pipeline()
	names := []string{"metrics-server-old-config", "metrics-server-older-config"}
	about := metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "dropped"}
	role := &rbacv1.Role{ObjectMeta: about, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"},
		ResourceNames: names, Verbs: []string{"delete"}}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: about,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: about.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: harness.OperatorNamespace, Name: "metricspipeline-operator"}}}
	for _, object := range []client.Object{role, binding} {
		w.must(client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object)))
	}
	for _, name := range names {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: name,
			Labels: ownership.Labels(metricsServer), OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline", Name: pipeline.Name, UID: pipeline.UID}}}}
		// The earlier release knows it; this operator does not, so it may be gone before the begin is reached.
		w.must(client.IgnoreAlreadyExists(w.Client.Create(w.Ctx, object)))
	}
}

// oldCertificates makes the authority and the serving certificate old enough to be renewed when the clock goes on, and young
// enough to be good until then.
func oldCertificates(w *world) {
	w.Helper()
	const day = 24 * time.Hour
	issued := time.Now().Add(-6*365*day - 250*day)
	names := operand.DNSNames(registry.Operands(), harness.OperatorNamespace) // Else it is replaced before the clock goes on.
	authority, _, err := certs.EnsureAuthority(certs.Pair{}, names, issued)
	w.must(err)
	w.clock.SetTime(time.Now().Add(-250 * day))
	w.eventually(func() string {
		secret := &corev1.Secret{}
		if err := w.Client.Get(w.Ctx, harness.InOperatorNamespace(authoritySecret), secret); err != nil {
			return err.Error()
		}
		secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey] = authority.Cert, authority.Key
		if err := w.Client.Update(w.Ctx, secret); err != nil {
			return err.Error()
		}
		return ""
	})
}

func (w *world) deleteSecret(name string) {
	w.Helper()
	w.must(w.Client.Delete(w.Ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: name}}))
}

// poke makes the operator look, as it would when the time comes: its clock is not that of its timers.
func (w *world) poke() {
	w.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: authoritySecret}}
	for _, value := range []string{`"now"`, "null"} {
		w.must(w.Client.Patch(w.Ctx, secret, client.RawPatch(types.MergePatchType,
			[]byte(`{"metadata": {"annotations": {"example.com/poked": `+value+`}}}`))))
	}
}
