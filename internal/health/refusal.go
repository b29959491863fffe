// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// remedies say who must do what about pods that the API server refuses. Their only reason is FailedCreate, so the API server's
// message chooses the remedy; any other message is stuck with a general one.
var remedies = []struct {
	words, remedy string
	waits         bool
}{
	{words: "exceeded quota:", remedy: "An administrator of namespace {namespace} must raise that ResourceQuota, or the user of the " +
		"pipeline lower the component's replicas or resources."},
	{words: "failed quota:", remedy: "The user of the pipeline must set the component's resources, which that ResourceQuota of " +
		"namespace {namespace} demands."},
	{words: "insufficient quota to match these scopes", remedy: "The user of the pipeline must take back the component's " +
		"priorityClassName, or an administrator of namespace {namespace} make a ResourceQuota for that PriorityClass."},
	{words: "violates PodSecurity", remedy: "The user of the pipeline must take back the setting or patch that the policy forbids " +
		"(hostNetwork, for instance), or an administrator of the cluster change the label pod-security.kubernetes.io/enforce " +
		"of namespace {namespace}."},
	{words: "error looking up service account", remedy: "The user of the pipeline must create that ServiceAccount in namespace " +
		"{namespace}, or correct the patch that names it."},
	{words: "no PriorityClass with name", remedy: "An administrator of the cluster must create that PriorityClass, or the user of " +
		"the pipeline correct the component's priorityClassName."},
	{words: "denied the request", remedy: "An administrator of the cluster must let that admission policy allow the pods of " +
		"namespace {namespace}, or the user of the pipeline set or patch what it demands."},
	// An outage of that webhook: the controller tries again.
	{words: "failed calling webhook", remedy: "The owner of that webhook can look why it does not answer.", waits: true},
}

// refusal is the evidence that the API server refuses new pods, of which no pod can be evidence.
func refusal(deployment *appsv1.Deployment) evidence {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type != appsv1.DeploymentReplicaFailure || condition.Status != corev1.ConditionTrue {
			continue
		}
		text := fmt.Sprintf("%s: %s.", condition.Reason, strings.TrimSuffix(unnamed(condition.Message, deployment.Name), "."))
		if condition.Reason != "FailedCreate" {
			return evidence{false, text} // FailedDelete: its pods run.
		}
		for _, known := range remedies {
			if strings.Contains(condition.Message, known.words) {
				return evidence{!known.waits, text + " " + strings.ReplaceAll(known.remedy, "{namespace}", deployment.Namespace)}
			}
		}
		return evidence{true, text + " The user of the pipeline must correct the setting or patch that the API server refuses, or an " +
			"administrator of the cluster allow it."}
	}
	return evidence{}
}

// unnamed takes the random names of pods out of a message: each try has another, which would change the status.
func unnamed(message, deployment string) string {
	name := regexp.MustCompile(regexp.QuoteMeta(deployment) + `-[a-z0-9]+-[a-z0-9]{5}\b`)
	return name.ReplaceAllString(message, deployment+"-*")
}
