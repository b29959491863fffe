// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// deployment returns a Deployment of two pods that runs as specified, changed by the functions.
func deployment(changes ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-server", Generation: 2},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		},
	}
	for _, change := range changes {
		change(d)
	}
	return d
}

// short has one pod too few.
func short(d *appsv1.Deployment) { d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 1 }

// late was given up on.
func late(d *appsv1.Deployment) {
	short(d)
	d.Status.Conditions[1].Status, d.Status.Conditions[1].Reason = corev1.ConditionFalse, "ProgressDeadlineExceeded"
}

// forbidden gets no new pods from the API server.
func forbidden(d *appsv1.Deployment) {
	d.Status.UpdatedReplicas = 0
	d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure,
		Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "no PriorityClass with name high was found"})
}

// pod returns a pod that was created so many minutes after the first, and is ready.
func pod(name string, minutes int, changes ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 12, minutes, 0, 0, time.UTC))}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, change := range changes {
		change(&p)
	}
	return p
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func deleted(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.Now()) }

func failed(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }

// creating has a node, and waits for its volumes or its sandbox.
func creating(p *corev1.Pod) {
	waiting("ContainerCreating", "")(p)
	p.Spec.NodeName, p.Status.Phase = "node-1", corev1.PodPending
}

// waiting has a container that waits for a reason.
func waiting(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		unready(p)
		p.Spec.NodeName = "node-1"
		p.Spec.Containers = []corev1.Container{{Name: "main", Image: "example.com/main:v1"}}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}})
	}
}

// crashed ended before with an exit code, and was restarted so many times.
func crashed(code int32, reason string, restarts int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		waiting("CrashLoopBackOff", "back-off 10s restarting")(p)
		p.Status.ContainerStatuses[0].RestartCount = restarts
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}
	}
}

func unscheduled(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
		Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}}
}

// of makes a pod one of the template with this hash.
func of(hash string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash} }
}

// rolling has one new pod beside two old ones.
func rolling(d *appsv1.Deployment) { d.Status.Replicas, d.Status.UpdatedReplicas = 3, 1 }

func TestWorkload(t *testing.T) {
	pull := waiting("ImagePullBackOff", `Back-off pulling image "example.com/none:v1"`)
	for name, tc := range map[string]struct {
		deployment *appsv1.Deployment
		pods       []corev1.Pod
		state      State
		says       []string
	}{
		"absent":                       {nil, nil, Progressing, []string{"does not exist yet"}},
		"as specified":                 {deployment(), []corev1.Pod{pod("a", 0), pod("b", 0)}, Current, nil},
		"as specified, a pod is ended": {deployment(), []corev1.Pod{pod("a", 0), pod("old", 0, unready, deleted)}, Current, nil},
		"as specified, a pod is stuck that is not needed": {deployment(), []corev1.Pod{pod("a", 0), pod("old", 0, pull)}, Current, nil},
		"not seen by its controller": {
			deployment(func(d *appsv1.Deployment) { d.Generation++ }), nil, Progressing, []string{"generation"}},
		"just corrected, while the pods and conditions of the mistake are still there": {
			deployment(forbidden, func(d *appsv1.Deployment) { d.Generation++ }), []corev1.Pod{pod("a", 0, pull)},
			Progressing, []string{"generation"}},
		"a pod missing": {deployment(short), nil, Progressing, []string{"1/2"}},
		"a pod not ready": {
			deployment(short), []corev1.Pod{pod("a", 0), pod("b", 0, unready)}, Progressing, []string{"1/2", "Pod b runs and is not ready."}},
		"a pod starts": {
			deployment(short), []corev1.Pod{pod("b", 0, creating)}, Progressing, []string{"Pod b is starting."}},
		"an image is not there": {
			deployment(short), []corev1.Pod{pod("b", 0, pull)}, Stuck, []string{"Pod b: container main: image example.com/main:v1 cannot be pulled"}},
		"a crash loop that may end": {
			deployment(short), []corev1.Pod{pod("b", 0, crashed(255, "Error", 2))}, Progressing,
			[]string{"Pod b: container main: CrashLoopBackOff", "(exit code 255: Error)"}},
		"no node takes it": {
			deployment(short), []corev1.Pod{pod("b", 0, unscheduled)}, Stuck,
			[]string{"Pod b: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu. An administrator of the cluster must"}},
		"no pod can be made": {
			deployment(forbidden), []corev1.Pod{pod("a", 0), pod("b", 0)}, Stuck,
			[]string{"0/2", "FailedCreate: no PriorityClass with name high was found. An administrator of the cluster must create",
				"Pods of the earlier specification still serve: 2."}},
		"given up": {
			deployment(late), []corev1.Pod{pod("b", 0, pull)}, Failed,
			[]string{"Progress deadline exceeded", "Pod b: container main: image example.com/main:v1 cannot be pulled"}},
		"given up without evidence": {
			deployment(late), []corev1.Pod{pod("b", 0, unready)}, Failed, []string{"Progress deadline exceeded", "Pod b runs"}},
		"the stuck one before one that is only slow": {
			deployment(short), []corev1.Pod{pod("slow", 5, unready), pod("stuck", 0, pull)}, Stuck, []string{"Pod stuck: "}},
		"the stuck one before one that waits": {
			deployment(short), []corev1.Pod{pod("crashed", 5, crashed(1, "Error", 1)), pod("stuck", 0, pull)}, Stuck, []string{"Pod stuck: "}},
		"the newest of two that are stuck": {
			deployment(short), []corev1.Pod{pod("old", 0, crashed(1, "Error", 9)), pod("new", 5, pull)}, Stuck, []string{"Pod new: "}},
		"by name among pods of one age": {
			deployment(short), []corev1.Pod{pod("b", 0, pull), pod("a", 0, pull)}, Stuck, []string{"Pod a: "}},
		"not a stuck one that is on its way out": {
			deployment(short), []corev1.Pod{pod("old", 5, pull, deleted), pod("new", 0, unready)}, Progressing, []string{"Pod new runs"}},
		"not one that is on its way out": {
			deployment(short), []corev1.Pod{pod("old", 5, unready, deleted), pod("new", 0, unready)}, Progressing, []string{"Pod new runs"}},
		"not one that was evicted and is replaced": {
			deployment(short), []corev1.Pod{pod("evicted", 5, unready, failed), pod("new", 0, unready)}, Progressing, []string{"Pod new runs"}},
		"new pods that are stuck beside old ones that serve": {
			deployment(rolling), []corev1.Pod{pod("new", 5, of("n"), pull), pod("a", 0, of("o")), pod("b", 0, of("o")), pod("c", 0, of("o"), unready)},
			Stuck, []string{"Pod new: container main: image", "Pods of the earlier specification still serve: 2."}},
		"new pods that start after old ones that were stuck": {
			deployment(rolling, short), []corev1.Pod{pod("new", 5, of("n"), creating), pod("old", 0, of("o"), pull)},
			Progressing, []string{"Pod new is starting."}},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := Workload(tc.deployment, tc.pods, nil)
			if verdict.State != tc.state {
				t.Errorf("state %d, want %d: %s", verdict.State, tc.state, verdict.Message)
			}
			if len(tc.says) == 0 && verdict.Message != "" {
				t.Errorf("%q is said of nothing", verdict.Message)
			}
			for _, part := range tc.says {
				if !strings.Contains(verdict.Message, part) {
					t.Errorf("%q does not say %q", verdict.Message, part)
				}
			}
		})
	}
}

// TestRolledOut distinguishes pods of this specification from those of an earlier one, ready or not.
func TestRolledOut(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*appsv1.Deployment)
		want   bool
	}{
		"as specified":                 {func(*appsv1.Deployment) {}, true},
		"one is not ready":             {short, true},
		"an old pod is left":           {func(d *appsv1.Deployment) { d.Status.Replicas = 3 }, false},
		"a new one is not there yet":   {func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 }, false},
		"not seen by its controller":   {func(d *appsv1.Deployment) { d.Generation++ }, false},
		"new, before there is any pod": {func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2} }, false},
	} {
		if got := RolledOut(deployment(tc.change)); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestPortsOfNodes: a pod that waits for an old one to end is on its way; one that waits for others that stay is not.
func TestPortsOfNodes(t *testing.T) {
	waits := func(nodes string) func(*corev1.Pod) {
		return scheduled("Unschedulable", "0/3 nodes are available: "+nodes+" node(s) didn't have free ports for the requested pod ports, "+
			"1 node(s) had untolerated taint(s). preemption: 0/3 nodes are available: No preemption victims found for incoming pod.")
	}
	placed := func(p *corev1.Pod) { p.Spec.NodeName = "node-1" }
	ending := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }
	old := func(p *corev1.Pod) { p.Labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "old"} }
	for name, tc := range map[string]struct {
		pods  []corev1.Pod
		state State
	}{
		"an old pod ends":                      {[]corev1.Pod{pod("b", 1, waits("1")), pod("a", 0, placed, old, ending)}, Progressing},
		"an old pod has just ended":            {[]corev1.Pod{pod("b", 1, waits("1"))}, Progressing},
		"on one of two nodes an old pod ended": {[]corev1.Pod{pod("c", 2, waits("2")), pod("b", 1, placed)}, Progressing},
		"more pods than nodes":                 {[]corev1.Pod{pod("b", 1, waits("1")), pod("a", 0, placed)}, Stuck},
		"more pods than two nodes":             {[]corev1.Pod{pod("c", 2, waits("2")), pod("b", 1, placed), pod("a", 0, placed)}, Stuck},
		"an old pod that does not end":         {[]corev1.Pod{pod("b", 1, waits("1")), pod("a", 0, placed, old)}, Stuck},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := Workload(deployment(short), tc.pods, nil)
			if verdict.State != tc.state {
				t.Errorf("state %d, want %d: %s", verdict.State, tc.state, verdict.Message)
			}
			for _, part := range []string{"didn't have free ports", user + " lower its replicas to the number of nodes or set its port"} {
				if !strings.Contains(verdict.Message, part) {
					t.Errorf("%q does not say %q", verdict.Message, part)
				}
			}
		})
	}
}
