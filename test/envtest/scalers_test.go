// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cli"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// triggerFails is what the HPA controller is answered where KEDA has no number.
const triggerFails = "unable to get external metric scaled/s0-prometheus: no matching metrics found for s0-prometheus"

// TestScalers: what KEDA and the VPA do to an HPA is named in the status, by an Event and on the command line: their objects are those of
// the real CRDs. An HPA that KEDA made needs KEDA's server; the remedy that is named for one that has another leads to an HPA that works.
func TestScalers(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := beginOn(t, cluster, hurried)
	w.installCRDs(harness.ScaledObjectCRD(), harness.VPACRD())
	w.namespace("scaled")
	w.namespace(harness.KEDA.Namespace)
	w.apply(prometheusAt(startPrometheus(t).URL) + externalRules)
	w.run(metricsServer, w.backend(metricsServer))
	w.run(adapter, w.backend(adapter))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	taken := w.scaledByKEDA("taken", nil, nil)
	w.looksAt(taken, triggerFails)
	w.fails(taken, v1alpha1.AutoscalerAPITaken, "ScaledObject taken made HPA keda-hpa-taken", "served by this pipeline", "spec.externalMetrics.policy")
	w.Eventually(w.condition(v1alpha1.ConditionAutoscalersServed)).Should(
		beFalse(v1alpha1.ReasonUnserved, "1 of 1", "HorizontalPodAutoscaler scaled/keda-hpa-taken: "))
	w.apply(`externalMetrics: {policy: Observe}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonNotServed, externalAPI))
	without := w.scaledByKEDA("without", nil, nil)
	w.looksAt(without, triggerFails)
	w.fails(without, v1alpha1.AutoscalerAPINotRegistered, "ScaledObject without", "nothing registers external.metrics.k8s.io")
	remove, err := w.StartForeign(t.Context(), harness.KEDA, w.PodAddress(12))
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(remove(cleanupContext(t))).To(Succeed()) })
	w.Expect(w.Client.Create(t.Context(), harness.KEDA.APIService(), client.FieldOwner(harness.KEDA.Owner))).To(Succeed())
	w.Eventually(w.api(externalAPI)).Should(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed))
	w.looksAt(taken, "")
	w.looksAt(without, "")
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 2, Working: 2}))
	w.Eventually(w.condition(v1alpha1.ConditionAutoscalersServed)).Should(beTrue())
	w.Eventually(func() []string { return w.eventsAbout(taken) }).Should(ContainElement(HavePrefix("Works: ")))
	w.Expect(w.plugin(cli.ExitWorks, "why", "so/taken", "-n", "scaled")).To(ContainSubstring("scaled/keda-hpa-taken of ScaledObject taken  works"))

	w.faultsOfKEDA()
	w.limitsOfKEDA()
	w.verticalBesideHorizontal()
	w.twoOnOneTarget()
}

// faultsOfKEDA: a ScaledObject that is not Ready, is paused or falls back, above an HPA without a number.
func (w *world) faultsOfKEDA() {
	w.t.Helper()
	ready := conditionOf("Ready", "True", "ScaledObjectReady", "ScaledObject is paused")
	cases := map[string]struct {
		annotations map[string]string
		condition   map[string]any
		reason      string
		says        []string
	}{
		"unready": {nil, conditionOf("Ready", "False", "TriggerError", "Triggers defined in ScaledObject are not working correctly"),
			v1alpha1.AutoscalerScaledObjectNotReady, []string{"Triggers defined in ScaledObject are not working correctly", triggerFails}},
		"partly": {nil, conditionOf("Ready", "Unknown", "PartialTriggerError", "Some triggers defined in ScaledObject are not working correctly"),
			v1alpha1.AutoscalerScaledObjectNotReady, []string{"Some triggers"}},
		"paused": {map[string]string{"autoscaling.keda.sh/paused": "true"}, ready, v1alpha1.AutoscalerScaledObjectPaused,
			[]string{"autoscaling.keda.sh/paused: true"}},
		"replicas": {map[string]string{"autoscaling.keda.sh/paused-replicas": "0"}, ready, v1alpha1.AutoscalerScaledObjectPaused,
			[]string{"autoscaling.keda.sh/paused-replicas: 0"}},
		"falls": {nil, conditionOf("Fallback", "True", "FallbackExists", "At least one trigger is falling back on this scaled object"),
			v1alpha1.AutoscalerScaledObjectFallback, []string{"At least one trigger is falling back"}},
	}
	scalers := map[string]*autoscalingv2.HorizontalPodAutoscaler{}
	for name, tc := range cases {
		scalers[name] = w.scaledByKEDA(name, tc.annotations, nil, tc.condition)
		w.looksAt(scalers[name], triggerFails)
	}
	for name, tc := range cases {
		w.fails(scalers[name], tc.reason, append(tc.says, "ScaledObject "+name)...)
	}
	w.Expect(w.condition(v1alpha1.ConditionAutoscalersServed)()).To(beTrue())
	for _, scaler := range scalers {
		w.looksAt(scaler, "")
	}
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 7, Working: 7}))
}

// limitsOfKEDA: what KEDA does on purpose is no fault, and where it has made no HPA the command line says why.
func (w *world) limitsOfKEDA() {
	w.t.Helper()
	for annotation, direction := range map[string]string{"paused-scale-in": "down", "paused-scale-out": "up"} {
		scaler := w.scaledByKEDA(annotation, map[string]string{"autoscaling.keda.sh/" + annotation: "true"}, nil)
		w.looksAt(scaler, "")
		w.Expect(w.plugin(cli.ExitWorks, "why", "scaledobject/"+annotation, "-n", "scaled")).To(SatisfyAll(
			ContainSubstring(v1alpha1.AutoscalerScaledObjectPaused), ContainSubstring("never scales Deployment "+annotation+" "+direction)))
	}
	idle := w.scaledByKEDA("idle", nil, map[string]any{"minReplicaCount": int64(2), "idleReplicaCount": int64(0)})
	w.sleeps(idle)
	w.Expect(w.plugin(cli.ExitWorks, "why", "so/idle", "-n", "scaled")).To(SatisfyAll(
		ContainSubstring("of ScaledObject idle  works"), ContainSubstring("to 0 while no trigger is active"), Not(ContainSubstring(v1alpha1.AutoscalerZeroReplicas))))
	never := w.scaledByKEDA("never", nil, map[string]any{"minReplicaCount": int64(1)})
	w.sleeps(never)
	w.Expect(w.plugin(cli.ExitWorks, "why", "so/never", "-n", "scaled")).To(ContainSubstring(v1alpha1.AutoscalerZeroReplicas))
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 11, Working: 11}))

	w.scaledObject("alone", nil, nil, "", conditionOf("Ready", "False", "ScaledObjectCheckFailed", "no metrics, no topic"))
	w.Expect(w.plugin(cli.ExitBroken, "why", "so/alone", "-n", "scaled")).To(SatisfyAll(
		ContainSubstring("ScaledObject scaled/alone  has no HorizontalPodAutoscaler"), ContainSubstring("no metrics, no topic")))
	w.scaledObject("new", nil, nil, "")
	w.Expect(w.plugin(cli.ExitBroken, "why", "so/new", "-n", "scaled")).To(ContainSubstring(v1alpha1.AutoscalerScaledObjectWithoutHPA))
}

// verticalBesideHorizontal: a VPA is named where it changes the requests by which an HPA measures, and nowhere else.
func (w *world) verticalBesideHorizontal() {
	w.t.Helper()
	hpa := scaledBy("vertical", w.scaled("vertical"), autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{
			Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(80))}}})
	w.make(hpa)
	w.looksAt(hpa, "")
	vpa := harness.Configuration("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", "scaled", "vertical", map[string]any{
		"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "vertical"}})
	w.make(vpa)
	mode := func(mode string) map[string]any {
		return map[string]any{"updatePolicy": map[string]any{"updateMode": mode}}
	}
	policies := func(all ...any) map[string]any {
		return map[string]any{"resourcePolicy": map[string]any{"containerPolicies": all}}
	}
	const container = "app"
	for name, tc := range map[string]struct {
		spec  map[string]any
		named bool
	}{
		"by default": {nil, true}, "Off": {mode("Off"), false}, "Initial": {mode("Initial"), true}, "Recreate": {mode("Recreate"), true},
		"Auto": {mode("Auto"), true}, "InPlaceOrRecreate": {mode("InPlaceOrRecreate"), true},
		"memory alone": {policies(map[string]any{"containerName": "*", "controlledResources": []any{"memory"}}), false},
		"cpu":          {policies(map[string]any{"containerName": container, "controlledResources": []any{"cpu"}}), true},
		"no container": {policies(map[string]any{"containerName": "*", "mode": "Off"}), false},
		"another one":  {policies(map[string]any{"containerName": container, "mode": "Off"}, map[string]any{"containerName": "x"}), false},
	} {
		spec := map[string]any{"targetRef": vpa.Object["spec"].(map[string]any)["targetRef"]}
		for key, value := range tc.spec {
			spec[key] = value
		}
		vpa.Object["spec"] = spec
		w.Expect(w.Client.Update(w.t.Context(), vpa)).To(Succeed(), name)
		conflict := ContainSubstring("VPA vertical changes the cpu requests of Deployment vertical")
		if !tc.named {
			conflict = Not(ContainSubstring(v1alpha1.AutoscalerVPAConflict))
		}
		w.Expect(w.plugin(cli.ExitWorks, "why", "hpa/vertical", "-n", "scaled")).To(conflict, name)
	}
	w.Eventually(w.autoscalers).Should(Equal(v1alpha1.AutoscalersStatus{Total: 12, Working: 12}))
}

// twoOnOneTarget: both HPAs of a Deployment are named, beside each other.
func (w *world) twoOnOneTarget() {
	w.t.Helper()
	target, metric := w.scaled("shared"), queueLength("queue_length", nil)
	one, other := scaledBy("one", target, metric), scaledBy("other", target, metric)
	w.make(one, other)
	for _, hpa := range []*autoscalingv2.HorizontalPodAutoscaler{one, other} {
		w.looksAs(hpa, corev1.ConditionFalse, "AmbiguousSelector",
			"pods by selector app=shared are controlled by multiple HPAs: [scaled/one scaled/other]")
	}
	w.fails(one, v1alpha1.AutoscalerTargetShared, "HPA one scales Deployment shared, and so does HPA other")
	w.fails(other, v1alpha1.AutoscalerTargetShared, "HPA other scales Deployment shared, and so does HPA one")
}

// fails demands that the status, an Event on the HPA and the command line name a reason, with these words in the message.
func (w *world) fails(hpa *autoscalingv2.HorizontalPodAutoscaler, reason string, says ...string) {
	w.t.Helper()
	w.Eventually(w.autoscalers).Should(HaveField("Failing", ContainElement(SatisfyAll(HaveField("Namespace", hpa.Namespace),
		HaveField("Name", hpa.Name), HaveField("Reason", reason), haveMessage(says...)))))
	// Another cause of the same reason is not announced again.
	w.Eventually(func() []string { return w.eventsAbout(hpa) }).Should(ContainElement(HavePrefix(reason + ": ")))
	explained := []OmegaMatcher{ContainSubstring(": " + reason)}
	for _, word := range says {
		explained = append(explained, ContainSubstring(word))
	}
	w.Expect(w.plugin(cli.ExitBroken, "why", "hpa/"+hpa.Name, "-n", hpa.Namespace)).To(SatisfyAll(explained...))
}

// scaledByKEDA makes a ScaledObject with the HPA that KEDA makes of it, whose target has a pod.
func (w *world) scaledByKEDA(
	name string, annotations map[string]string, spec map[string]any, conditions ...map[string]any,
) *autoscalingv2.HorizontalPodAutoscaler {
	w.t.Helper()
	target := w.scaled(name)
	labels := map[string]string{"scaledobject.keda.sh/name": name}
	hpa := scaledBy("keda-hpa-"+name, target, queueLength("s0-prometheus", labels))
	owner := w.scaledObject(name, annotations, spec, hpa.Name, conditions...)
	hpa.Labels = labels
	hpa.OwnerReferences = []metav1.OwnerReference{{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: name, UID: owner.GetUID(),
		Controller: ptr.To(true)}}
	w.make(hpa)
	return hpa
}

// scaledObject makes a ScaledObject with the status that KEDA gives it; Ready where no conditions are named, but for one without an HPA.
func (w *world) scaledObject(
	name string, annotations map[string]string, spec map[string]any, hpa string, conditions ...map[string]any,
) *unstructured.Unstructured {
	w.t.Helper()
	whole := map[string]any{"scaleTargetRef": map[string]any{"name": name}, "triggers": []any{map[string]any{"type": "prometheus",
		"metadata": map[string]any{"serverAddress": "http://prometheus:9090", "query": "queue_length", "threshold": "10"}}}}
	for key, value := range spec {
		whole[key] = value
	}
	object := harness.Configuration("keda.sh/v1alpha1", "ScaledObject", "scaled", name, whole)
	object.SetAnnotations(annotations)
	w.make(object)
	if len(conditions) == 0 && hpa != "" {
		conditions = []map[string]any{conditionOf("Ready", "True", "ScaledObjectReady", "ScaledObject is defined correctly and is ready for scaling")}
	}
	all := make([]any, 0, len(conditions))
	for _, condition := range conditions {
		all = append(all, condition)
	}
	object.Object["status"] = map[string]any{"hpaName": hpa, "conditions": all}
	w.Expect(w.Client.Status().Update(w.t.Context(), object)).To(Succeed())
	return object
}

func conditionOf(kind, status, reason, message string) map[string]any {
	return map[string]any{"type": kind, "status": status, "reason": reason, "message": message}
}

// queueLength is an external metric.
func queueLength(name string, labels map[string]string) autoscalingv2.MetricSpec {
	identifier := autoscalingv2.MetricIdentifier{Name: name}
	if labels != nil {
		identifier.Selector = &metav1.LabelSelector{MatchLabels: labels}
	}
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: identifier,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)}}}
}

// sleeps scales the target of an HPA to 0, and has the HPA controller say so.
func (w *world) sleeps(hpa *autoscalingv2.HorizontalPodAutoscaler) {
	w.t.Helper()
	name := hpa.Spec.ScaleTargetRef.Name
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: hpa.Namespace, Name: name + "-1"}}
	w.Expect(w.Client.Delete(w.t.Context(), pod, client.GracePeriodSeconds(0))).To(Succeed())
	deployment := &appsv1.Deployment{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: hpa.Namespace, Name: name}, deployment)).To(Succeed())
	deployment.Spec.Replicas = ptr.To(int32(0))
	w.Expect(w.Client.Update(w.t.Context(), deployment)).To(Succeed())
	w.looksAs(hpa, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
}
