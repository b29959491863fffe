// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestPatches: a patch reaches the object; one that does not apply is reported, and what runs keeps running as it was.
func TestPatches(t *testing.T) {
	w := begin(t)
	w.apply(patching("{spec: {template: {spec: {schedulerName: mine}}}}"))
	w.Eventually(func() string { return w.deployment(metricsServer).Spec.Template.Spec.SchedulerName }).Should(Equal("mine"))
	before := w.deployment(metricsServer)

	for patch, words := range map[string][]string{
		`[{"op": "replace", "path": "/spec/nothing/here", "value": 1}]`:   {"spec.patches[0]", "metrics-server"},
		`[{"op": "remove", "path": "/metadata/name"}]`:                    {"spec.patches[0]"},
		`{spec: [not, a, map]}`:                                           {"spec.patches[0]"},
		`{unclosed`:                                                       {"spec.patches[0]"},
		`{$patch: delete}`:                                                {"spec.patches[0]", "metrics-server"},
		`[{"op": "replace", "path": "/metadata/name", "value": "other"}]`: {"spec.patches[0]", "metrics-server"},
	} {
		w.apply(patching(patch))
		w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonRenderFailed, words...), patch)
		w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue(), patch)
		w.Expect(w.deployment(metricsServer).Spec).To(Equal(before.Spec), patch)
	}

	w.apply("{patches: [{target: {kind: Deployment, name: nowhere}, patch: '{}'}]}")
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(
		beFalse(v1alpha1.ReasonRenderFailed, "spec.patches[0].target", "nowhere", metricsServer))
	w.Expect(w.deployment(metricsServer).Spec).To(Equal(before.Spec))

	// Removed, and everything is as without it.
	w.apply(`{}`)
	w.Eventually(func() string { return w.deployment(metricsServer).Spec.Template.Spec.SchedulerName }).Should(Equal("default-scheduler"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).ShouldNot(beTrue())
}

// TestRefusedPatch: a patch that renders and that the API server refuses is reported as such.
func TestRefusedPatch(t *testing.T) {
	w := begin(t)
	w.apply(patching("{spec: {template: {spec: {priorityClassName: NOT_A_NAME}}}}"))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(
		beFalse(v1alpha1.ReasonApplyFailed, "Deployment metricspipeline-system/metrics-server", "priorityClassName"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.apply(`{}`)
	w.Eventually(func() []string { return identities(w.managed()) }).Should(ConsistOf(everything))
}

func patching(patch string) string {
	return "patches:\n- target: {kind: Deployment, name: metrics-server}\n  patch: |\n    " + patch + "\n"
}

// deployment returns a component's Deployment, empty where there is none.
func (w *world) deployment(component string) *appsv1.Deployment {
	w.t.Helper()
	deployment := &appsv1.Deployment{}
	err := w.Client.Get(w.t.Context(), inOperatorNamespace(component), deployment)
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return deployment
}

// container is one that the API server accepts.
func (w *world) container() corev1.Container {
	return corev1.Container{Name: "theirs", Image: "theirs:1"}
}
