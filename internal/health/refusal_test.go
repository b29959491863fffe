// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// refusing is a Deployment of namespace metrics whose pods the API server refuses with a message.
func refusing(reason, message string) *appsv1.Deployment {
	return deployment(forbidden, func(d *appsv1.Deployment) {
		d.Namespace = "metrics"
		last := &d.Status.Conditions[len(d.Status.Conditions)-1]
		last.Reason, last.Message = reason, message
	})
}

// TestRefusedPodsSayWhoMustDoWhat by the words of the API server.
func TestRefusedPodsSayWhoMustDoWhat(t *testing.T) {
	const pods = `pods "metrics-server-6bfb4bc65d-x7k2p" is forbidden: `
	for name, tc := range map[string]struct {
		reason, message string
		state           State
		says            []string
	}{
		"a quota is used up": {
			message: pods + "exceeded quota: compute, requested: pods=1, used: pods=5, limited: pods=5", state: Stuck,
			says: []string{"exceeded quota: compute, requested: pods=1", "administrator of namespace metrics must raise", "replicas or resources"}},
		"a quota demands resources": {
			message: pods + "failed quota: compute: must specify limits.cpu", state: Stuck,
			says: []string{"must specify limits.cpu. " + user + " set the component's resources", "namespace metrics"}},
		"a priority class for which the namespace has no quota": {
			message: pods + "insufficient quota to match these scopes: [{PriorityClass In [system-cluster-critical]}]", state: Stuck,
			says: []string{"system-cluster-critical]}]. " + user + " take back the component's priorityClassName", `(set it to "")`,
				"namespace metrics make a ResourceQuota", "config/manager/resource_quota.yaml"}},
		"Pod Security": {
			message: pods + `violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)`, state: Stuck,
			says: []string{"(hostNetwork=true). " + user, "pod-security.kubernetes.io/enforce of namespace metrics",
				"kubectl label namespace metrics --overwrite pod-security.kubernetes.io/enforce=privileged."}},
		"a LimitRange": {
			message: pods + "maximum memory usage per Container is 100Mi, but limit is 300Mi", state: Stuck,
			says: []string{"but limit is 300Mi. " + user + " set the component's resources", "LimitRanges of namespace metrics"}},
		"a LimitRange of pods": {
			message: pods + "[minimum cpu usage per Pod is 1, but request is 100m, maximum memory usage per Pod is 1Mi. No limit is specified]", state: Stuck,
			says: []string{"No limit is specified]. " + user + " set the component's resources"}},
		"a LimitRange of ratios": {
			message: pods + "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000", state: Stuck,
			says: []string{user + " set the component's resources"}},
		"a security context constraint": {
			message: pods + "unable to validate against any security context constraint: [provider restricted-v2: .spec.securityContext.hostNetwork: " +
				"Invalid value: true: Host network is not allowed to be used]", state: Stuck,
			says: []string{"take back the setting or patch", "(runAsUser, for instance)",
				"oc adm policy add-scc-to-user hostnetwork-v2 -z metrics-server -n metrics)"}},
		"a ServiceAccount that is not there": {
			message: pods + `error looking up service account metrics/sa: serviceaccount "sa" not found`, state: Stuck,
			says: []string{`"sa" not found. ` + user + " create that ServiceAccount in namespace metrics"}},
		"a PriorityClass that is not there": {
			message: pods + "no PriorityClass with name high was found", state: Stuck, says: []string{"with name high", admin, "priorityClassName"}},
		"an admission webhook": {
			message: `admission webhook "policy.example.com" denied the request: no label team`, state: Stuck,
			says: []string{`"policy.example.com"`, "no label team. An " + admin}},
		"an admission policy": {
			message: pods + "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no label team", state: Stuck,
			says: []string{"no label team. " + user}},
		"an admission webhook that does not answer": {
			message: `Internal error occurred: failed calling webhook "policy.example.com": connection refused`, state: Progressing,
			says: []string{`"policy.example.com": connection refused. The owner of that webhook`}},
		"another reason": {
			message: `Pod "metrics-server-6bfb4bc65d-x7k2p" is invalid: spec.containers[0].image: Required value`, state: Stuck,
			says: []string{"Required value. " + user}},
		"a pod that cannot be deleted": {reason: "FailedDelete", message: "no", state: Progressing, says: []string{"FailedDelete: no."}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.reason == "" {
				tc.reason = "FailedCreate"
			}
			verdict := Workload(refusing(tc.reason, tc.message), nil, nil)
			if verdict.State != tc.state {
				t.Errorf("state %d, want %d: %s", verdict.State, tc.state, verdict.Message)
			}
			for _, part := range append(tc.says, tc.reason+": ") {
				if !strings.Contains(verdict.Message, part) {
					t.Errorf("%q does not say %q", verdict.Message, part)
				}
			}
			if strings.Contains(verdict.Message, "x7k2p") || strings.Contains(verdict.Message, "{namespace}") {
				t.Errorf("%q has the name of a pod, which is another one at each try, or a gap", verdict.Message)
			}
		})
	}
}

// TestRefusedPodsComeBeforeThoseThatAreThere because a refused pod can say nothing itself.
func TestRefusedPodsComeBeforeThoseThatAreThere(t *testing.T) {
	d := refusing("FailedCreate", "exceeded quota: compute")
	d.Status.UpdatedReplicas = 1
	if verdict := Workload(d, []corev1.Pod{pod("a", 0, unscheduled)}, nil); !strings.Contains(verdict.Message, "exceeded quota") {
		t.Errorf("%+v", verdict)
	}
}
