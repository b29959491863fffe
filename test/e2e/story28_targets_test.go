// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// targetsNamespace has an app with a port on which nothing listens, and unlistedNamespace one that Prometheus may not discover.
	targetsNamespace  = "metricspipeline-targets"
	unlistedNamespace = "metricspipeline-unlisted"
	// surveyed is longer than a new monitor takes to be loaded, and then two questions, a minute apart, and a paced report.
	surveyed = 6 * time.Minute
)

// TestWhatPrometheusSaysOfTargets: an app whose port is wrong is named with the error that the real Prometheus has, in the status and by
// an Event on it, until it is repaired; and a namespace that Prometheus may not list is named with the remedy.
func TestWhatPrometheusSaysOfTargets(t *testing.T) {
	g := story(t)
	givenScraping(t, v1alpha1.ScrapePerNamespace)
	start := time.Now()
	for _, name := range []string{targetsNamespace, unlistedNamespace} {
		namespace := kit.Namespace(name)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
			defer cancel()
			g.Expect(cluster.Delete(ctx, namespace)).To(Succeed())
		})
		g.Expect(cluster.Apply(t.Context(), namespace)).To(Succeed())
	}
	annotate := func(namespace, port string) {
		t.Helper()
		g.Expect(cluster.Apply(t.Context(),
			serviceCase{annotatedApp: annotatedApp{name: "web", annotations: optIn("port", port)}}.object(namespace))).To(Succeed())
	}
	run := func(namespace string) {
		t.Helper()
		g.Expect(cluster.Apply(t.Context(), podCase{annotatedApp: annotatedApp{name: "web"}}.object(namespace))).To(Succeed())
	}
	run(targetsNamespace)
	annotate(targetsNamespace, "7778")
	g.Eventually(func() ([]string, error) {
		targets, err := cluster.Targets(t.Context())
		return linesOf(targets, targetsNamespace), err
	}, scrape, time.Second).Should(ContainElement(ContainSubstring("connection refused")))
	// What Prometheus discovers already it goes on to watch.
	givenUnlisted(t)
	run(unlistedNamespace)
	annotate(unlistedNamespace, "8080")

	g.Eventually(func(g Gomega) {
		g.Expect(downIn(t, g)).To(ConsistOf(SatisfyAll(HaveField("Kind", "Service"), HaveField("Name", "web"),
			HaveField("Error", ContainSubstring("connect: connection refused")))))
		g.Expect(thePipeline(t, g).Status.Scrape.Targets).To(HaveField("Down", BeNumerically(">", 0)))
	}, surveyed, often).Should(Succeed())
	t.Logf("an app is down: said after %.0f s", time.Since(start).Seconds())
	g.Eventually(func(g Gomega) {
		events := &corev1.EventList{}
		g.Expect(cluster.Client.List(t.Context(), events, client.InNamespace(targetsNamespace),
			client.MatchingFields{"involvedObject.kind": "Service", "reason": "ScrapeDown"})).To(Succeed())
		g.Expect(events.Items).To(ContainElement(HaveField("Message", SatisfyAll(HavePrefix("Prometheus monitoring/k8s cannot scrape it: "),
			ContainSubstring("connection refused")))))
	}, soon, often).Should(Succeed())

	annotate(targetsNamespace, "8080")
	g.Eventually(func(g Gomega) {
		g.Expect(thePipeline(t, g).Status.Scrape.NotScraped).To(ConsistOf(SatisfyAll(HaveField("Namespace", unlistedNamespace),
			HaveField("Reason", v1alpha1.ReasonNoTargets), HaveField("Message", SatisfyAll(
				ContainSubstring("Prometheus monitoring/k8s has no target in namespace "+unlistedNamespace), ContainSubstring("RoleBinding"))))))
		g.Expect(downIn(t, g)).To(BeEmpty())
		g.Expect(thePipeline(t, g).Status.Scrape.Targets).To(SatisfyAll(HaveField("Up", BeNumerically(">", 0)), HaveField("Message", BeEmpty())))
	}, surveyed, often).Should(Succeed())
	t.Logf("the app is repaired, and a namespace may not be listed: said after %.0f s", time.Since(start).Seconds())
	thenReady(t, soon)
}

// downIn are the apps of the namespace that the status lists as down.
func downIn(t *testing.T, g Gomega) []v1alpha1.DownApp {
	t.Helper()
	var down []v1alpha1.DownApp
	for _, app := range thePipeline(t, g).Status.Scrape.Down {
		if app.Namespace == targetsNamespace {
			down = append(down, app)
		}
	}
	return down
}

// givenUnlisted takes from Prometheus the right to discover anything new, until the end of the test.
func givenUnlisted(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	binding := &rbacv1.ClusterRoleBinding{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Name: "prometheus-k8s"}, binding)).To(Succeed())
	g.Expect(cluster.Client.Delete(t.Context(), binding)).To(Succeed())
	again := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: binding.Name, Labels: binding.Labels,
		Annotations: binding.Annotations}, RoleRef: binding.RoleRef, Subjects: binding.Subjects}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Apply(ctx, again)).To(Succeed())
	})
}
