// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// remedies say who must do what about pods that the API server refuses. Their only reason is FailedCreate, so the API server's
// message chooses the remedy; any other message is stuck with a general one.
var remedies = []struct {
	// words are alternatives.
	words  []string
	remedy string
	waits  bool
}{
	{words: []string{"exceeded quota:"}, remedy: "An administrator of namespace {namespace} must raise that ResourceQuota, or the user " +
		"of the pipeline lower the component's replicas or resources."},
	{words: []string{"failed quota:"}, remedy: "The user of the pipeline must set the component's resources, which that ResourceQuota of " +
		"namespace {namespace} demands."},
	{words: []string{" usage per Container is ", " usage per Pod is ", " limit to request ratio per "},
		remedy: "The user of the pipeline must set the component's resources to what the LimitRanges of namespace {namespace} admit, or " +
			"an administrator of that namespace change them."},
	{words: []string{"insufficient quota to match these scopes"}, remedy: "The user of the pipeline must take back the component's " +
		`priorityClassName (set it to ""), or an administrator of namespace {namespace} make a ResourceQuota for that PriorityClass, ` +
		"such as config/manager/resource_quota.yaml."},
	{words: []string{"violates PodSecurity"}, remedy: "The user of the pipeline must take back the setting or patch that the policy " +
		"forbids (hostNetwork, for instance), or an administrator of the cluster change the label pod-security.kubernetes.io/enforce " +
		"of namespace {namespace}: kubectl label namespace {namespace} --overwrite pod-security.kubernetes.io/enforce=privileged."},
	{words: []string{"security context constraint"}, remedy: "The user of the pipeline must take back the setting or patch that the " +
		"constraint forbids (runAsUser, for instance), or an administrator of the " +
		"cluster grant a constraint that allows it (hostNetwork: oc adm policy add-scc-to-user hostnetwork-v2 -z {deployment} -n " +
		"{namespace})."},
	{words: []string{"error looking up service account"}, remedy: "The user of the pipeline must create that ServiceAccount in namespace " +
		"{namespace}, or correct the patch that names it."},
	{words: []string{"no PriorityClass with name"}, remedy: "An administrator of the cluster must create that PriorityClass, or the user " +
		"of the pipeline correct the component's priorityClassName."},
	{words: []string{"denied the request"}, remedy: "An administrator of the cluster must let that admission policy allow the pods of " +
		"namespace {namespace}, or the user of the pipeline set or patch what it demands."},
	// An outage of that webhook: the controller tries again.
	{words: []string{"failed calling webhook"}, remedy: "The owner of that webhook can look why it does not answer.", waits: true},
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
			said := func(words string) bool { return strings.Contains(condition.Message, words) }
			if slices.ContainsFunc(known.words, said) {
				names := strings.NewReplacer("{namespace}", deployment.Namespace, "{deployment}", deployment.Name)
				return evidence{!known.waits, text + " " + names.Replace(known.remedy)}
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
