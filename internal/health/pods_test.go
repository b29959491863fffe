// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	user  = "The user of the pipeline must"
	admin = "administrator of the cluster"
)

// scheduled gives a pod the condition PodScheduled with status False.
func scheduled(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: message}}
	}
}

// running changes the container of a crashed pod into one that runs again, from a minute on.
func running(minute int) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(minute)}}
	}
}

// unreadySince says when the pod was last ready.
func unreadySince(minute int) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = at(minute) }
}

func at(minute int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC))
}

// ended changes the container of a crashed pod into one that has just ended again.
func ended(p *corev1.Pod) {
	status := &p.Status.ContainerStatuses[0]
	status.State = corev1.ContainerState{Terminated: status.LastTerminationState.Terminated}
}

// asInit makes the container an init container.
func asInit(p *corev1.Pod) {
	p.Status.InitContainerStatuses, p.Status.ContainerStatuses = p.Status.ContainerStatuses, nil
	p.Spec.InitContainers, p.Spec.Containers = p.Spec.Containers, nil
}

// TestPodIsStuckOrWaits by what the scheduler and the kubelet say of it.
func TestPodIsStuckOrWaits(t *testing.T) {
	const notFound = `rpc error: code = NotFound desc = failed to pull and unpack image "example.com/main:v1": not found`
	combine := func(changes ...func(*corev1.Pod)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for _, change := range changes {
				change(p)
			}
		}
	}
	for name, tc := range map[string]struct {
		pod   func(*corev1.Pod)
		stuck bool
		says  []string
	}{
		"no node fits":                         {unscheduled, true, []string{"3 Insufficient cpu.", admin, "nodeSelector"}},
		"no node fits, as a claim is missing":  {scheduled("Unschedulable", `persistentvolumeclaim "data" not found.`), true, []string{`"data"`}},
		"a scheduling gate is closed":          {scheduled("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates"), false, []string{"SchedulingGated"}},
		"the scheduler had an error":           {scheduled("SchedulerError", "etcd"), false, []string{"SchedulerError: etcd."}},
		"other pods make room for it":          {combine(unscheduled, func(p *corev1.Pod) { p.Status.NominatedNodeName = "node-2" }), false, []string{"waits for node node-2"}},
		"an image is not in its registry":      {waiting("ErrImagePull", notFound), true, []string{"image example.com/main:v1", "v1\": not found. " + user, "imagePullSecrets"}},
		"a pull without a reason":              {waiting("ImagePullBackOff", `Back-off pulling image "example.com/main:v1"`), true, []string{"cannot be pulled. " + user}},
		"a pull is refused":                    {waiting("ErrImagePull", "rpc error: code = Unknown desc = pull access denied"), true, []string{"pull access denied"}},
		"the container runtime restarts":       {waiting("ErrImagePull", "rpc error: code = Unavailable desc = connection error"), false, []string{"connection error", "tries again"}},
		"a registry does not answer":           {waiting("RegistryUnavailable", "image pull failed because the registry is unavailable"), false, []string{"tries again"}},
		"a registry did not answer":            {waiting("ImagePullBackOff", `Back-off pulling image "example.com/main:v1": RegistryUnavailable: image pull failed`), false, []string{"tries again"}},
		"the kubelet limits its pulls":         {waiting("ErrImagePull", "pull QPS exceeded"), false, []string{"tries again"}},
		"a signature is not accepted":          {waiting("SignatureValidationFailed", "no signature"), true, []string{"example.com/main:v1", "no signature. An " + admin}},
		"an image that is never pulled":        {waiting("ErrImageNeverPull", ""), true, []string{"image example.com/main:v1 is not on node node-1", admin}},
		"an image with an impossible name":     {waiting("InvalidImageName", "Failed to apply"), true, []string{`"example.com/main:v1"`, user}},
		"a Secret of an environment is absent": {waiting("CreateContainerConfigError", `secret "token" not found`), true, []string{`secret "token" not found. ` + user}},
		"a container that cannot be created":   {waiting("CreateContainerError", "no command specified"), true, []string{"node node-1", "no command specified. An " + admin}},
		"a container runtime that is slow":     {waiting("CreateContainerError", "context deadline exceeded"), false, []string{"context deadline exceeded."}},
		"a reason without a remedy":            {waiting("ImageInspectError", "Failed to inspect image"), false, []string{"ImageInspectError: Failed to inspect image."}},
		"an init container's image":            {combine(waiting("ErrImagePull", notFound), asInit), true, []string{"image example.com/main:v1"}},

		"two ends":   {crashed(1, "Error", 2), false, []string{"(exit code 1: Error)", "is restarted"}},
		"three ends": {crashed(1, "Error", 3), true, []string{"3 times or more (exit code 1: Error). " + user, "kubectl logs --previous"}},
		"an end with last words": {combine(crashed(1, "Error", 3), func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].LastTerminationState.Terminated.Message = strings.Repeat("x", 900) + "\n  FAILED: no such file\n"
		}, asInit), true, []string{`3 times or more (exit code 1: Error), saying "x`, `x FAILED: no such file". ` + user}},
		"out of memory":                     {crashed(137, "OOMKilled", 3), true, []string{"(exit code 137: OOMKilled)", "memory limit"}},
		"ended a moment ago":                {combine(crashed(1, "Error", 3), ended), true, []string{"(exit code 1: Error)"}},
		"runs again and was not ready yet":  {combine(crashed(1, "Error", 3), running(5), unreadySince(4)), true, []string{"(exit code 1: Error)"}},
		"runs again after few ends":         {combine(crashed(1, "Error", 2), running(5), unreadySince(4)), false, []string{"Pod b runs and is not ready."}},
		"ran ready since, and is unready":   {combine(crashed(1, "Error", 3), running(5), unreadySince(6)), false, []string{"Pod b runs and is not ready."}},
		"an init container that ends":       {combine(crashed(1, "Error", 3), asInit), true, []string{"container main: CrashLoopBackOff"}},
		"a container starts":                {creating, false, []string{"Pod b is starting."}},
		"a container waits for an init one": {waiting("PodInitializing", ""), false, []string{"Pod b is starting."}},
	} {
		t.Run(name, func(t *testing.T) {
			found := worst([]corev1.Pod{pod("b", 0, tc.pod)})
			if found.stuck != tc.stuck {
				t.Errorf("stuck is %v, want %v: %s", found.stuck, tc.stuck, found.text)
			}
			if !strings.HasPrefix(found.text, "Pod b") || !strings.HasSuffix(found.text, ".") || strings.Contains(found.text, "..") {
				t.Errorf("%q is no sentence about the pod", found.text)
			}
			for _, part := range tc.says {
				if !strings.Contains(found.text, part) {
					t.Errorf("%q does not say %q", found.text, part)
				}
			}
		})
	}
}

// TestVerdictStaysWhileTheSameIsTriedAgain because each change of it is a write and an Event.
func TestVerdictStaysWhileTheSameIsTriedAgain(t *testing.T) {
	const image = "example.com/main:v1"
	lookup := func(port string) string {
		return "rpc error: code = Unknown desc = dial tcp: lookup example.com: read udp 10.0.0.5:" + port + "->10.96.0.10:53: i/o timeout"
	}
	backedOff := func(message string) func(*corev1.Pod) {
		return waiting("ImagePullBackOff", `Back-off pulling image "`+image+`": ErrImagePull: `+message)
	}
	again := func(restarts int32, changes ...func(*corev1.Pod)) corev1.Pod {
		p := pod("b", 0, crashed(1, "Error", restarts), unreadySince(1))
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated.FinishedAt = at(int(restarts))
		for _, change := range changes {
			change(&p)
		}
		return p
	}
	for name, tries := range map[string][]corev1.Pod{
		"a pull":       {pod("b", 0, waiting("ErrImagePull", lookup("4711"))), pod("b", 0, backedOff(lookup("4711"))), pod("b", 0, backedOff(lookup("815")))},
		"a crash loop": {again(3), again(4, running(20)), again(4, ended), again(5, func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State.Waiting.Message = "back-off 5m0s" })},
	} {
		want := Workload(deployment(short), tries[:1], nil)
		if want.State != Stuck {
			t.Errorf("%s: %+v", name, want)
		}
		for _, p := range tries[1:] {
			if diff := cmp.Diff(want, Workload(deployment(short), []corev1.Pod{p}, nil)); diff != "" {
				t.Errorf("%s: verdict (-first +later):\n%s", name, diff)
			}
		}
	}
}
