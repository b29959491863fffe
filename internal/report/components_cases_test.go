// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

func componentCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionComponentsReady
	unavailable := func(kstatus status.Status, says string, change func(*Observation)) conditionCase {
		return conditionCase{change: change, differ: map[string]string{condition: "False Unavailable"},
			ready: "Unavailable", kstatus: kstatus, says: says}
	}
	retained := func(reason string) operand.Finding {
		return operand.Finding{Condition: condition, Reason: v1alpha1.ReasonRetained, Message: reason}
	}
	return map[string]conditionCase{
		"a pod is missing": unavailable(status.InProgressStatus, "usage-server: ", func(o *Observation) {
			stands(o, usageServer, starting(usageServer))
		}),
		"a Deployment is not there yet": unavailable(status.InProgressStatus, "rules-server: The Deployment does not exist yet.",
			func(o *Observation) { stands(o, rulesServer, nil) }),
		"Kubernetes gave up on a Deployment, and another one starts": unavailable(status.FailedStatus, "rules-server: ",
			func(o *Observation) {
				stands(o, usageServer, givenUp(usageServer))
				stands(o, rulesServer, starting(rulesServer))
			}),
		"one of the workloads of a component starts": unavailable(status.InProgressStatus, "usage-shards: The Deployment does not exist yet.",
			func(o *Observation) {
				planOf(o, usageServer).Workloads = []string{usageServer, "usage-shards"}
				o.Workloads[usageServer] = append(o.Workloads[usageServer], cluster.Workload{Name: "usage-shards"})
			}),
		"a component has no workload": {
			change: func(o *Observation) {
				planOf(o, usageServer).Workloads = nil
				delete(o.Workloads, usageServer)
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"nothing runs of a component that is retained, and nothing is stored": {
			change: func(o *Observation) {
				planOf(o, rulesServer).Retained = "no rule is usable."
				stands(o, rulesServer, nil)
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"two components are retained": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{retained("one: away."), retained("two: away.")}
			},
			differ: map[string]string{condition: "False Retained"},
			ready:  "Retained", kstatus: status.InProgressStatus, says: "one: away. two: away."},
	}
}

// stuckCases are pods that no waiting brings, by the evidence.
func stuckCases() map[string]conditionCase {
	stuck := func(says string, change func(*cluster.Workload)) conditionCase {
		return conditionCase{
			change: func(o *Observation) {
				stands(o, usageServer, starting(usageServer))
				change(&o.Workloads[usageServer][0])
			},
			differ: map[string]string{v1alpha1.ConditionComponentsReady: "False WorkloadStuck"},
			ready:  "WorkloadStuck", kstatus: status.FailedStatus, says: says}
	}
	refused := func(message string) func(*cluster.Workload) {
		return func(w *cluster.Workload) {
			w.Deployment.Status.Conditions = append(w.Deployment.Status.Conditions, appsv1.DeploymentCondition{
				Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message})
		}
	}
	waiting := func(reason, message string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "usage-server-1", Namespace: "metrics"},
			Spec: corev1.PodSpec{NodeName: "node-1"},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "example.com/main:v1",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}}
	}
	both := stuck("usage-server: Available: 1/2. FailedCreate: exceeded quota: small.", nil)
	both.change = func(o *Observation) {
		stands(o, usageServer, starting(usageServer))
		refused("exceeded quota: small")(&o.Workloads[usageServer][0])
		stands(o, rulesServer, givenUp(rulesServer))
	}
	return map[string]conditionCase{
		"a quota is exceeded":  stuck("An administrator of namespace metrics must raise that ResourceQuota", refused("exceeded quota: small")),
		"Pod Security forbids": stuck("pod-security.kubernetes.io/enforce", refused(`violates PodSecurity "restricted:latest"`)),
		"an image cannot be pulled": stuck("image example.com/main:v1 cannot be pulled: not found. The user of the pipeline must",
			func(w *cluster.Workload) { w.Pods = []corev1.Pod{waiting("ErrImagePull", "not found")} }),
		"a pod cannot be scheduled": stuck("Unschedulable: 0/3 nodes are available.", func(w *cluster.Workload) {
			w.Pods = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "usage-server-1"}, Status: corev1.PodStatus{
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
					Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available."}}}}}
		}),
		"the source of a volume is missing": stuck("waits for Secret token, which a volume refers to", func(w *cluster.Workload) {
			w.Pods = []corev1.Pod{waiting("ContainerCreating", "")}
			w.Missing = []health.Source{{Kind: "Secret", Name: "token"}}
		}),
		"one workload is stuck, and Kubernetes gave up on another": both,
	}
}

func apiCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionAPIServicesAvailable
	return map[string]conditionCase{
		"an API waits for its backend": {
			change: func(o *Observation) {
				waits(o, metricsapi.Resource, v1alpha1.ReasonWaitingForBackend, "The Service has no ready endpoint yet.")
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "v1beta1.metrics.k8s.io: The Service has no ready endpoint yet."},
		"an API waits for an earlier step": {
			change: func(o *Observation) { unregister(o, metricsapi.Resource, nil) },
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: The API is registered once"},
		"kube-aggregator has not looked": {
			change: func(o *Observation) { o.APIServices[metricsapi.Resource.Name()].Status.Conditions = nil },
			differ: map[string]string{condition: "False WaitingForAggregator"},
			ready:  "WaitingForAggregator", kstatus: status.InProgressStatus, says: "kube-aggregator has not looked"},
		"an API does not answer": {
			change: func(o *Observation) {
				o.APIServices[metricsapi.Resource.Name()] = registered(metricsapi.Resource, usageServer, apiregv1.ConditionFalse,
					"FailedDiscoveryCheck")
			},
			differ: map[string]string{condition: "False FailedDiscoveryCheck"},
			ready:  "FailedDiscoveryCheck", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: said kube-aggregator"},
		"another owner's API does not answer": {
			change: func(o *Observation) {
				served(o, foreign(metricsapi.External, apiregv1.ConditionFalse, "MissingEndpoints"))
			},
			differ: map[string]string{condition: "False MissingEndpoints"},
			ready:  "MissingEndpoints", kstatus: status.InProgressStatus},
		"no rule of an API is usable": {
			change: func(o *Observation) {
				o.Plan.Rules[1].State, o.Plan.Rules[1].Message = v1alpha1.RuleRejected, "bad"
				unregister(o, metricsapi.External, &metricsapi.Omission{Reason: v1alpha1.ReasonConfigurationInvalid, Message: "none usable."})
			},
			differ: map[string]string{v1alpha1.ConditionRulesAccepted: "False RulesRejected", condition: "False ConfigurationInvalid"},
			ready:  "RulesRejected", kstatus: status.FailedStatus},
	}
}
