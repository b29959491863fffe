// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
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

// TestMisusedPatches: what a patch gives to the pods, whoever edits the pipeline has. Nothing of the node, of another namespace or
// of the operator is given, and nothing of what runs is written.
func TestMisusedPatches(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	w.rest()
	written := func() map[string]string {
		versions := w.versions()
		delete(versions, "MetricsPipeline") // Its status says what is wrong.
		return versions
	}
	before := written()

	const clusterRoleBinding = "{kind: ClusterRoleBinding, name: 'metricspipeline:metrics-server:auth-delegator'}"
	for name, tc := range map[string]struct {
		target, patch string
		says          []string
	}{
		"the operator's account": {"", "{spec: {template: {spec: {serviceAccountName: metricspipeline-operator}}}}",
			[]string{"serviceAccountName", "metricspipeline-operator", "own ServiceAccount"}},
		"a folder of the node": {"", "{spec: {template: {spec: {volumes: [{name: node, hostPath: {path: /}}]}}}}",
			[]string{"spec.template.spec.volumes[node].hostPath", `{"path":"/"}`}},
		"privileged": {"", "{spec: {template: {spec: {containers: [{name: metrics-server, securityContext: {privileged: true}}]}}}}",
			[]string{"Pod Security level restricted", "privileged"}},
		"the authority's key": {"", "{spec: {template: {spec: {volumes: [{name: ca, secret: {secretName: metricspipeline-ca}}]}}}}",
			[]string{"secretName", "metricspipeline-ca", "no other Secret"}},
		"another namespace's subject": {clusterRoleBinding, `[{"op": "replace", "path": "/subjects/0/namespace", "value": "kube-system"}]`,
			[]string{"ClusterRoleBinding metricspipeline:metrics-server:auth-delegator", "subjects", "no patch may change"}},
	} {
		w.apply(patchingOf(tc.target, tc.patch))
		says := slices.Concat(tc.says, []string{"spec.patches[0]", "what runs of metrics-server is kept"})
		w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonRenderFailed, says...), name)
		w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue(), name)
		w.rest()
		w.Expect(written()).To(Equal(before), name)
		w.Expect(w.api(resourceAPI)()).To(HaveField("Available", metav1.ConditionTrue), name)
	}

	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}

// TestPatchesThatPeopleNeed reach their objects together.
func TestPatchesThatPeopleNeed(t *testing.T) {
	w := begin(t)
	w.apply(`
patches:
- target: {kind: Deployment, name: metrics-server}
  patch: |
    spec:
      template:
        spec:
          nodeSelector: {pool: infra}
          topologySpreadConstraints:
          - {maxSkew: 1, topologyKey: example.com/rack, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}
          containers:
          - name: metrics-server
            resources: {limits: {memory: 1Gi}}
          - name: side
            image: example.com/side:1
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
- target: {kind: NetworkPolicy, name: metrics-server}
  patch: '[{"op": "add", "path": "/spec/egress/0/ports/-", "value": {"protocol": "TCP", "port": 10260}}]'
`)
	w.Eventually(func(g Gomega) {
		pods := w.deployment(metricsServer).Spec.Template.Spec
		g.Expect(pods.NodeSelector).To(HaveKeyWithValue("pool", "infra"))
		g.Expect(pods.TopologySpreadConstraints).To(ContainElement(HaveField("TopologyKey", "example.com/rack")))
		g.Expect(pods.Containers).To(ConsistOf(HaveField("Name", "metrics-server"), HaveField("Name", "side")))
		g.Expect(pods.Containers).To(ContainElement(HaveField("Resources.Limits", HaveKey(corev1.ResourceMemory))))
		policy := &networkingv1.NetworkPolicy{}
		g.Expect(w.Client.Get(w.Ctx, inOperatorNamespace(metricsServer), policy)).To(Succeed())
		g.Expect(policy.Spec.Egress[0].Ports).To(ContainElement(HaveField("Port.IntVal", int32(10260))))
	}).Should(Succeed())
	w.rest()
	w.Expect(w.condition(v1alpha1.ConditionStalled)()).NotTo(beTrue())
}

func patching(patch string) string { return patchingOf("", patch) }

// patchingOf returns a spec with one patch; without a target it is about a Deployment.
func patchingOf(target, patch string) string {
	if target == "" {
		target = "{kind: Deployment, name: metrics-server}"
	}
	return "patches:\n- target: " + target + "\n  patch: |\n    " + patch + "\n"
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
