// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// refusedPods are policies of namespaces and platforms, with a spec whose pods they refuse, what is said about that, and the remedy.
var refusedPods = []struct {
	name string
	// policy is in force meanwhile.
	policy func(*world)
	spec   string
	says   []string
	// remedied is the spec with which pods are admitted.
	remedied string
	// operator is true where the operator's own pods are admitted as they are. Refused ones could say nothing.
	operator bool
}{
	{
		name:   "a quota of limits",
		policy: func(w *world) { w.quota() },
		spec:   `{}`,
		says:   []string{"failed quota: limits: must specify limits.cpu", "must set the component's resources", harness.OperatorNamespace},
		remedied: `metricsServer: {resources: {requests: {cpu: 50m, memory: 100Mi}, limits: {cpu: 500m, memory: 300Mi}}}
patches: [{target: {kind: Deployment}, patch: '[{"op": "add", "path": "/spec/template/metadata/annotations/a", "value": "b"}]'}]`,
		operator: true,
	},
	{
		name: "a LimitRange",
		policy: func(w *world) {
			w.with(&corev1.LimitRange{ObjectMeta: inNamespace("small"), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("150Mi")}}}}})
		},
		spec: `metricsServer: {resources: {limits: {memory: 300Mi}}}`,
		says: []string{"maximum memory usage per Container is 150Mi, but limit is 300Mi", "must set the component's resources",
			"LimitRanges of namespace " + harness.OperatorNamespace},
		remedied: `metricsServer: {resources: {requests: {memory: 100Mi}, limits: {memory: 150Mi}}}`,
	},
	{
		name: "a platform that reserves a priority class",
		policy: func(w *world) {
			w.deny("reserved", "!has(object.spec.priorityClassName) || object.spec.priorityClassName != 'system-cluster-critical'",
				"insufficient quota to match these scopes: [{PriorityClass In [system-node-critical system-cluster-critical]}]")
		},
		spec: `metricsServer: {priorityClassName: system-cluster-critical}`,
		says: []string{"insufficient quota to match these scopes", `priorityClassName (set it to "")`,
			"make a ResourceQuota for that PriorityClass, such as config/manager/resource_quota.yaml"},
		// The quota of the installation has a real platform admit the class, which the operator's pods name. No policy can look at that.
		remedied: `metricsServer: {priorityClassName: ""}`,
	},
	{
		name:   "a policy that chooses users",
		policy: func(w *world) { w.constrain() },
		spec:   usersByAPatch,
		says: []string{"unable to validate against any security context constraint", "take back the setting or patch that the constraint forbids (runAsUser, for instance)",
			"oc adm policy add-scc-to-user hostnetwork-v2 -z metrics-server -n metricspipeline-system"},
		remedied: `{}`,
		operator: true,
	},
}

const usersByAPatch = `
patches:
- target: {kind: Deployment}
  patch: |
    spec: {template: {spec: {securityContext: {runAsUser: 1000, fsGroup: 1000}}}}
`

const withoutUsers = `
patches:
- target: {kind: Deployment}
  patch: |
    - {op: remove, path: /spec/template/spec/securityContext/runAsUser}
    - {op: remove, path: /spec/template/spec/securityContext/runAsGroup}
    - {op: remove, path: /spec/template/spec/securityContext/fsGroup}
`

// TestRefusedPods: what the API server says of pods that it refuses is repeated with the remedy, and the remedy is one.
func TestRefusedPods(t *testing.T) {
	for _, tc := range refusedPods {
		t.Run(tc.name, func(t *testing.T) {
			w := begin(t)
			tc.policy(w)
			w.apply(tc.spec)
			w.refused(tc.says...)
			w.apply(tc.remedied)
			w.Eventually(w.create(metricsServer)).Should(Succeed())
			if tc.operator {
				w.Eventually(w.create("metricspipeline-operator")).Should(Succeed())
			}
		})
	}
}

// TestNetworkOfTheNode: the Pod Security level of the installation refuses it, and the command in the message has it admitted.
func TestNetworkOfTheNode(t *testing.T) {
	w := begin(t)
	const level = "pod-security.kubernetes.io/enforce"
	w.apply(`metricsServer: {hostNetwork: true, replicas: 1}`)
	w.refused(`violates PodSecurity "restricted:latest"`, "hostNetwork=true",
		"kubectl label namespace metricspipeline-system --overwrite "+level+"=privileged.")

	w.changeNamespace(func(n *corev1.Namespace) { n.Labels[level] = "privileged" },
		func(n *corev1.Namespace) { n.Labels[level] = "restricted" })
	w.Eventually(w.create(metricsServer)).Should(Succeed())
	pods := w.deployment(metricsServer).Spec.Template.Spec
	w.Expect(pods.DNSPolicy).To(Equal(corev1.DNSClusterFirstWithHostNet))
	w.Expect(pods.Containers[0].Ports).To(ConsistOf(HaveField("ContainerPort", int32(4443))))
	w.Expect(w.deployment(metricsServer).Spec.Strategy.RollingUpdate.MaxSurge.IntValue()).To(BeZero())

	// Back in the network of pods, the rollout is as it was.
	w.apply(`{}`)
	w.Eventually(func() corev1.PodSpec { return w.deployment(metricsServer).Spec.Template.Spec }).Should(SatisfyAll(
		HaveField("HostNetwork", false), HaveField("DNSPolicy", corev1.DNSClusterFirst)))
	w.Expect(w.deployment(metricsServer).Spec.Strategy.RollingUpdate.MaxSurge.IntValue()).To(Equal(1))
}

// TestPlatformChoosesUsers: where a policy chooses users, as on OpenShift, pods are admitted without a grant, and with a patch that was
// needed before.
func TestPlatformChoosesUsers(t *testing.T) {
	w := begin(t)
	w.constrain()
	for _, spec := range []string{`{}`, withoutUsers} {
		w.apply(spec)
		w.Eventually(w.create(metricsServer)).Should(Succeed(), spec)
		w.rest()
		w.Expect(w.condition(v1alpha1.ConditionStalled)()).NotTo(beTrue(), spec)
	}
	w.Eventually(w.create("metricspipeline-operator")).Should(Succeed())

	w.apply("prometheus: {managed: {}}")
	w.Eventually(w.create(managedPrometheus)).Should(MatchError(ContainSubstring("unable to validate")))
	w.changeNamespace(func(n *corev1.Namespace) { metav1.SetMetaDataAnnotation(&n.ObjectMeta, usersAnnotation, "1000/10000") },
		func(n *corev1.Namespace) { delete(n.Annotations, usersAnnotation) })
	w.apply("prometheus: {managed: {retention: 3h}}") // A namespace of OpenShift has it before there is an operator in it.
	w.Eventually(w.create(managedPrometheus)).Should(Succeed())
}

// usersAnnotation is what OpenShift writes on a namespace.
const usersAnnotation = "openshift.io/sa.scc.uid-range"

// create returns, for Eventually, what the API server says to a pod of a Deployment.
func (w *world) create(deployment string) func() error {
	return func() error { return w.CreatePod(w.Ctx, w.deployment(deployment)) }
}

// refused waits until the API server refuses pods of metrics-server, says so in the Deployment, and expects it in the status.
func (w *world) refused(says ...string) {
	w.t.Helper()
	w.Eventually(func(g Gomega) {
		deployment := w.deployment(metricsServer)
		err := w.CreatePod(w.Ctx, deployment)
		g.Expect(err).To(MatchError(ContainSubstring(says[0])))
		g.Expect(w.MarkPodsRefused(w.Ctx, deployment.Namespace, deployment.Name, err.Error())).To(Succeed())
	}).Should(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonWorkloadStuck, says...))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
}

// with makes an object, until the end of the story.
func (w *world) with(object client.Object) {
	w.t.Helper()
	w.Expect(w.Client.Create(w.Ctx, object)).To(Succeed())
	w.t.Cleanup(func() { w.Expect(client.IgnoreNotFound(w.Client.Delete(w.Ctx, object))).To(Succeed()) })
}

// quota demands limits. Its status is written by a controller, which is not here.
func (w *world) quota() {
	w.t.Helper()
	hard := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceLimitsCPU,
		corev1.ResourceLimitsMemory} {
		hard[name] = resource.MustParse("4Gi")
	}
	quota := &corev1.ResourceQuota{ObjectMeta: inNamespace("limits"), Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	w.with(quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{}}
	for name := range hard {
		quota.Status.Used[name] = resource.MustParse("0")
	}
	w.Expect(w.Client.Status().Update(w.Ctx, quota)).To(Succeed())
}

// constrain stands for the constraint restricted-v2 of OpenShift.
func (w *world) constrain() {
	w.t.Helper()
	const message = "unable to validate against any security context constraint: provider restricted-v2: .spec.securityContext"
	w.deny("restricted-v2", "!has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser) && "+
		"!has(object.spec.securityContext.fsGroup)", message)
}

// deny refuses pods of the operator's namespace that do not meet a condition.
func (w *world) deny(name, unless, message string) {
	w.t.Helper()
	pods := admissionregistrationv1.RuleWithOperations{Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}
	w.with(&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: pods}}},
		Validations:      []admissionregistrationv1.Validation{{Expression: unless, Message: message}}}})
	w.with(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: harness.OperatorNamespace}}}}})
	container := w.container()
	container.SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	refused := &appsv1.Deployment{ObjectMeta: inNamespace("refused"), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
		Spec: corev1.PodSpec{Containers: []corev1.Container{container}, PriorityClassName: "system-cluster-critical",
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](1), FSGroup: ptr.To[int64](1),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}}}}}
	w.Eventually(func() error { return w.CreatePod(w.Ctx, refused) }).Should(MatchError(ContainSubstring(message)), "the policy is in force")
}

// changeNamespace changes the operator's, and takes it back at the end where there is a way.
func (w *world) changeNamespace(change, back func(*corev1.Namespace)) {
	w.t.Helper()
	patch := func(change func(*corev1.Namespace)) {
		namespace := &corev1.Namespace{}
		w.Expect(w.Client.Get(w.Ctx, client.ObjectKey{Name: harness.OperatorNamespace}, namespace)).To(Succeed())
		before := namespace.DeepCopy()
		change(namespace)
		w.Expect(w.Client.Patch(w.Ctx, namespace, client.MergeFrom(before))).To(Succeed())
	}
	patch(change)
	if back != nil {
		w.t.Cleanup(func() { patch(back) })
	}
}

func inNamespace(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: name}
}
