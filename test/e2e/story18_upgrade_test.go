// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// newSince is what the version under test has beyond the previous release, and why: everything else has to stay as it is. It is the
// list of docs/upgrade.md, "From v0.1.0".
var newSince = struct {
	// added are managed objects that the previous release does not know.
	added []string
	// rewritten are managed objects that both have, with another content.
	rewritten []string
	// replaced are the components whose pods the upgrade replaces.
	replaced []string
	// rolls are the conditions that say so while pods are replaced, and come back.
	rolls []string
	// conditions are those that the previous release does not know.
	conditions []string
	// off is the patch of the pipeline that turns off what adds objects. It comes before going back: the previous release takes them
	// for objects of its own that are no longer wanted, and may not delete them.
	off string
}{
	// The ServiceMonitors of the components are not new, but go with the others where off turns them off.
	added: inOperatorNamespace("ConfigMap metricspipeline-dashboard", "ConfigMap self-monitoring-last-good", "PrometheusRule metricspipeline",
		"Secret self-monitoring-tls", "ServiceMonitor metrics-server", "ServiceMonitor metricspipeline-operator",
		"ServiceMonitor prometheus-adapter"),
	// The operator's authority may sign for one more name, so it is another one. Last good forms have the versions of images. The
	// adapter's client of the API server has other limits, and no pod names a user.
	rewritten: slices.Concat(inOperatorNamespace("Secret metricspipeline-ca", "Secret metrics-server-tls", "Secret prometheus-adapter-tls",
		"ConfigMap metrics-server-last-good", "ConfigMap prometheus-adapter-last-good", "Deployment metrics-server", "Deployment prometheus-adapter"),
		[]string{"APIService /v1beta1.metrics.k8s.io", "APIService /v1beta1.custom.metrics.k8s.io",
			"APIService /v1beta2.custom.metrics.k8s.io", "APIService /v1beta1.external.metrics.k8s.io"}),
	replaced:   []string{"metrics-server", "prometheus-adapter"},
	rolls:      []string{v1alpha1.ConditionComponentsReady, v1alpha1.ConditionReady, v1alpha1.ConditionReconciling},
	conditions: []string{v1alpha1.ConditionMonitoringReady, v1alpha1.ConditionAutoscalersServed},
	off:        `{"spec":{"monitoring":{"monitors":"Disabled","alerts":"Disabled","dashboard":"Disabled"}}}`,
}

func inOperatorNamespace(objects ...string) []string {
	for i, object := range objects {
		objects[i] = strings.Replace(object, " ", " "+kit.OperatorNamespace+"/", 1)
	}
	return objects
}

// TestUpgradeAndDowngrade goes from the previous release to the version under test, back and up again, as a user does: one file and
// kubectl. The pipeline is in use throughout, and was made by the program of that release.
func TestUpgradeAndDowngrade(t *testing.T) {
	needTestCluster(t)
	g, begin := story(t), time.Now()
	old, err := cluster.PreviousRelease(within(t, rollout))
	g.Expect(err).NotTo(HaveOccurred())
	present, err := cluster.Present()
	g.Expect(err).NotTo(HaveOccurred())
	givenInstalled(t, old, present)
	installed := time.Since(begin)
	pipeline, err := old.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	givenPipeline(t, pipeline)
	thenEveryAPI(t)
	t.Logf("%s is installed after %.1f s, every API answers after %.1f s", old.Version, installed.Seconds(), time.Since(begin).Seconds())

	poller := startPolling(t, everyAPI()...)
	step := func(name string, to *kit.Installation) {
		before, start := observe(t), time.Now()
		g.Expect(to.Apply(within(t, rollout))).To(Succeed(), name)
		thenAtWork(t, start)
		t.Logf("%s to %s: at work after %.1f s", name, to.Version, time.Since(start).Seconds())
		poller.goOn(t, 50)
		thenNothingRotates(t)
		thenReady(t, rollout)
		thenTheSame(t, name, before, observe(t), to)
	}
	step("upgrade", present)
	whenTurnedOff(t)
	step(downgrade, old)
	step("second upgrade", present)
	poller.thenNoneFailed(t)

	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	thenNoAPIServiceLeft(t)
}

// givenInstalled replaces the suite's operator by a release until the end of the test. It is applied as by a user whose first
// version it is, so that no other field manager owns a field.
func givenInstalled(t *testing.T, release, present *kit.Installation) {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		logFailure(t)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*rollout)
		defer cancel()
		g.Expect(cluster.DeletePipeline(ctx)).To(Succeed())
		for _, installation := range []*kit.Installation{present, release} {
			g.Expect(installation.Remove(ctx)).To(Succeed())
			g.Expect(installation.Close()).To(Succeed())
		}
		g.Expect(cluster.InstallOperator(ctx)).To(Succeed())
	})
	g.Expect(cluster.DeletePipeline(within(t, rollout))).To(Succeed())
	g.Expect(cluster.UninstallOperator(within(t, rollout))).To(Succeed())
	g.Expect(release.Apply(within(t, rollout))).To(Succeed())
	g.Expect(cluster.DenyAll(within(t, soon))).To(Succeed())
}

// whenTurnedOff prepares the pipeline for the previous release, as docs/upgrade.md says.
func whenTurnedOff(t *testing.T) {
	t.Helper()
	if newSince.off == "" {
		return
	}
	g := NewWithT(t)
	_, err := cluster.Kubectl(within(t, soon), "patch", "metricspipeline", "default", "--type=merge", "--patch="+newSince.off)
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func(g Gomega) {
		objects, err := cluster.Snapshot(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		for _, added := range newSince.added {
			g.Expect(objects).NotTo(HaveKey(added))
		}
	}, rollout, often).Should(Succeed())
	thenReady(t, rollout)
}

// thenAtWork waits until the operator that was rolled out last leads, and has gone through a whole reconcile: it puts back the rules
// of a role that no request of the polling needs.
func thenAtWork(t *testing.T, since time.Time) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		var names []string
		for _, pod := range podsOf(t, g, deployment(t, g, kit.OperatorName)) {
			names = append(names, pod.Name)
		}
		g.Expect(names).To(HaveLen(kit.OperatorReplicas))
		g.Expect(names).To(ContainElement(podOf(thenLed(t, since))))
	}, rollout, often).Should(Succeed())

	role := &rbacv1.ClusterRole{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Name: readerRole}, role)).To(Succeed())
	rules := role.Rules
	role.Rules = nil
	g.Expect(cluster.Client.Update(t.Context(), role)).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(role), role)).To(Succeed())
		g.Expect(role.Rules).To(Equal(rules))
	}, rollout, often).Should(Succeed())
}

// thenNothingRotates waits for the end of a rotation that an upgrade may begin.
func thenNothingRotates(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		certificates := apimeta.FindStatusCondition(thePipeline(t, g).Status.Conditions, v1alpha1.ConditionCertificatesReady)
		g.Expect(certificates).To(HaveField("Reason", v1alpha1.ReasonIssued))
	}, rollout, often).Should(Succeed())
}

// readerRole is what a user with the role view reads kubectl top by.
const readerRole = "metricspipeline:resource-metrics-reader"

// observation is all that an upgrade could disturb.
type observation struct {
	// conditions have status, reason and the time of the last transition, so that what flips and comes back is seen.
	conditions map[string]string
	apis       map[string]string
	apps       int32
	version    string
	// pods are those of the components, with their UIDs and restarts.
	pods    map[string]string
	objects map[string]kit.Version
	events  []string
}

func observe(t *testing.T) observation {
	t.Helper()
	g := NewWithT(t)
	pipeline := thePipeline(t, g)
	seen := observation{
		conditions: map[string]string{}, apis: map[string]string{}, pods: map[string]string{},
		apps: pipeline.Status.Scrape.Services, version: pipeline.Status.Version,
	}
	for _, c := range pipeline.Status.Conditions {
		seen.conditions[c.Type] = fmt.Sprintf("%s %s since %s about %d", c.Status, c.Reason, c.LastTransitionTime, c.ObservedGeneration)
	}
	for _, api := range pipeline.Status.APIServices {
		seen.apis[api.Name] = fmt.Sprintf("%v %s since %s of %s", api.Available, api.Reason, api.LastTransitionTime, api.Owner)
	}
	pods := &corev1.PodList{}
	g.Expect(cluster.Client.List(t.Context(), pods, client.InNamespace(kit.OperatorNamespace))).To(Succeed())
	for _, pod := range pods.Items {
		component := pod.Labels["app.kubernetes.io/name"]
		if component == kit.OperatorName {
			continue
		}
		restarts := int32(0)
		for _, container := range pod.Status.ContainerStatuses {
			restarts += container.RestartCount
		}
		seen.pods[component+" "+pod.Name] = fmt.Sprintf("%s, %d restarts", pod.UID, restarts)
	}
	objects, err := cluster.Snapshot(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	seen.objects = objects
	events := &corev1.EventList{}
	g.Expect(cluster.Client.List(t.Context(), events, client.MatchingFields{"involvedObject.kind": "MetricsPipeline"})).To(Succeed())
	for _, event := range events.Items {
		seen.events = append(seen.events, fmt.Sprintf("%s %s: %s", event.Name, event.Reason, event.Message))
	}
	return seen
}

// thenTheSame compares what there is after a step with what was before it.
func thenTheSame(t *testing.T, step string, before, after observation, to *kit.Installation) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(after.version).To(Equal(to.Version), step)
	isNew := func(condition, _ string) bool { return slices.Contains(newSince.conditions, condition) }
	events := slices.DeleteFunc(slices.Clone(after.events), func(event string) bool { return slices.Contains(before.events, event) })
	lost := lostRights(step, events)
	for _, kind := range slices.Concat(newSince.rolls, lost) {
		for _, conditions := range []map[string]string{before.conditions, after.conditions} {
			conditions[kind], _, _ = strings.Cut(conditions[kind], " since")
		}
	}
	g.Expect(cmp.Diff(without(before.conditions, isNew), without(after.conditions, isNew))).To(BeEmpty(),
		"%s: conditions, before (-) and after (+): no other flips, not even for a moment", step)
	g.Expect(after.apis).To(Equal(before.apis), "%s: no metrics API flips", step)
	g.Expect(after.apps).To(Equal(before.apps), "%s: annotated Services", step)

	isReplaced := func(pod, _ string) bool {
		component, _, _ := strings.Cut(pod, " ")
		return slices.Contains(newSince.replaced, component)
	}
	g.Expect(cmp.Diff(without(before.pods, isReplaced), without(after.pods, isReplaced))).To(BeEmpty(),
		"%s: pods, before (-) and after (+)", step)

	mayDiffer := func(object string, _ kit.Version) bool {
		return object == "ClusterRole /"+readerRole || slices.Contains(newSince.added, object) || slices.Contains(newSince.rewritten, object)
	}
	g.Expect(cmp.Diff(without(before.objects, mayDiffer), without(after.objects, mayDiffer))).To(BeEmpty(),
		"%s: managed objects, before (-) and after (+): what the new version has to write is listed in newSince and docs/upgrade.md", step)
	for object, version := range before.objects {
		if !slices.Contains(newSince.added, object) {
			g.Expect(after.objects).To(HaveKeyWithValue(object, HaveField("UID", version.UID)), "%s: made anew", step)
		}
	}
	for _, event := range events {
		g.Expect(event).To(Or(ContainSubstring(" DriftRepaired: "), ContainSubstring(" CertificateIssued: "),
			ContainSubstring(": CertificatesReady turned True: "), Satisfy(isOfNewObjects),
			Satisfy(func(event string) bool { return turns(event, slices.Concat(newSince.rolls, lost), "") }),
			Satisfy(func(event string) bool { return turns(event, newSince.conditions, "True: ") })), "%s: an Event", step)
	}
}

// isOfNewObjects is true for an Event that names only what the previous release does not know.
func isOfNewObjects(event string) bool {
	_, created, found := strings.Cut(event, " ObjectsCreated: Created ")
	isKnown := func(object string) bool { return !slices.Contains(newSince.added, object) }
	return found && !slices.ContainsFunc(strings.Split(strings.TrimSuffix(created, "."), ", "), isKnown)
}

// downgrade is the step back to the previous release.
const downgrade = "downgrade"

// lostRights are the conditions that turned because of a permission that the role of the previous release does not have, by Events: in a
// downgrade the operator under test runs under that role until each of its pods is replaced, and where they are slow another of them
// leads meanwhile. What then cannot be read is said, and the pipeline is Stalled; nothing that runs is touched.
func lostRights(step string, events []string) []string {
	if step != downgrade {
		return nil
	}
	var lost []string
	for _, event := range events {
		_, said, _ := strings.Cut(event, ": ")
		if condition, _, found := strings.Cut(said, " turned False: "); found && strings.Contains(said, " is forbidden: ") {
			lost = append(lost, condition)
		}
	}
	if len(lost) > 0 {
		lost = append(lost, v1alpha1.ConditionStalled) // Of which there are no Events.
	}
	return lost
}

// turns is true for an Event about one of the conditions, which turned to that.
func turns(event string, conditions []string, to string) bool {
	return slices.ContainsFunc(conditions, func(condition string) bool { return strings.Contains(event, " "+condition+" turned "+to) })
}

// without returns the entries of a map of which drop is not true.
func without[V any](all map[string]V, drop func(string, V) bool) map[string]V {
	rest := map[string]V{}
	for key, value := range all {
		if !drop(key, value) {
			rest[key] = value
		}
	}
	return rest
}
