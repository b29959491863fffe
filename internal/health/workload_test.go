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

// short lacks one pod.
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

// waiting has a container that waits for a reason.
func waiting(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		unready(p)
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}})
	}
}

// crashed ended before with an exit code.
func crashed(code int32, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		waiting("CrashLoopBackOff", "back-off 10s restarting")(p)
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}
	}
}

func unscheduled(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
		Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}}
}

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
		"not seen by its controller": {
			deployment(func(d *appsv1.Deployment) { d.Generation++ }), nil, Progressing, []string{"generation"}},
		"a pod missing": {deployment(short), nil, Progressing, []string{"1/2"}},
		"a pod not ready": {
			deployment(short), []corev1.Pod{pod("a", 0), pod("b", 0, unready)}, Progressing, []string{"1/2", "Pod b runs and is not ready."}},
		"a pod starts": {
			deployment(short), []corev1.Pod{pod("b", 0, waiting("ContainerCreating", ""))}, Progressing, []string{"Pod b"}},
		"an image is not there": {
			deployment(short), []corev1.Pod{pod("b", 0, pull)}, Progressing,
			[]string{"Pod b: container main: ImagePullBackOff: Back-off pulling image", "example.com/none:v1"}},
		"a crash loop": {
			deployment(short), []corev1.Pod{pod("b", 0, crashed(255, "Error"))}, Progressing,
			[]string{"Pod b: container main: CrashLoopBackOff", "(exit code 255: Error)"}},
		"out of memory": {
			deployment(short), []corev1.Pod{pod("b", 0, crashed(137, "OOMKilled"))}, Progressing, []string{"(exit code 137: OOMKilled)"}},
		"no node takes it": {
			deployment(short), []corev1.Pod{pod("b", 0, unscheduled)}, Progressing,
			[]string{"Pod b: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."}},
		"no pod can be made": {
			deployment(forbidden), []corev1.Pod{pod("a", 0), pod("b", 0)}, Progressing,
			[]string{"0/2", "FailedCreate: no PriorityClass with name high was found"}},
		"given up": {
			deployment(late), []corev1.Pod{pod("b", 0, pull)}, Failed,
			[]string{"Progress deadline exceeded", "Pod b: container main: ImagePullBackOff"}},
		"the stuck one before one that is only slow": {
			deployment(short), []corev1.Pod{pod("slow", 5, unready), pod("stuck", 0, pull)}, Progressing, []string{"Pod stuck: "}},
		"the newest of two that are stuck": {
			deployment(short), []corev1.Pod{pod("old", 0, crashed(1, "Error")), pod("new", 5, pull)}, Progressing, []string{"Pod new: "}},
		"by name among pods of one age": {
			deployment(short), []corev1.Pod{pod("b", 0, pull), pod("a", 0, pull)}, Progressing, []string{"Pod a: "}},
		"not a stuck one that is on its way out": {
			deployment(short), []corev1.Pod{pod("old", 5, pull, deleted), pod("new", 0, unready)}, Progressing, []string{"Pod new runs"}},
		"not one that is on its way out": {
			deployment(short), []corev1.Pod{pod("old", 5, unready, deleted), pod("new", 0, unready)}, Progressing, []string{"Pod new runs"}},
	} {
		t.Run(name, func(t *testing.T) {
			state, message := Workload(tc.deployment, tc.pods)
			if state != tc.state {
				t.Errorf("state %d, want %d: %s", state, tc.state, message)
			}
			if len(tc.says) == 0 && message != "" {
				t.Errorf("%q is said of nothing", message)
			}
			for _, part := range tc.says {
				if !strings.Contains(message, part) {
					t.Errorf("%q does not say %q", message, part)
				}
			}
		})
	}
}

// TestRolledOut tells apart the pods of this specification and of an earlier one, ready or not.
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
