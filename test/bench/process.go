// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// installAlone installs the operator with one replica: what is measured is one process, and a standby would share its core.
func installAlone(ctx context.Context, cluster *kit.Cluster) error {
	if err := cluster.InstallOperator(ctx); err != nil {
		return err
	}
	return scale(ctx, cluster, 1)
}

// takeDown deletes the pipeline, the operator and what a row has made, also where the row was canceled.
func takeDown(ctx context.Context, limit time.Duration, cluster *kit.Cluster, made ...client.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return errors.Join(cluster.DeletePipeline(ctx), cluster.UninstallOperator(ctx), cluster.Delete(ctx, made...))
}

// installTraced installs the operator alone, has its Go runtime log each collection, and waits for the pod that does.
func installTraced(ctx context.Context, cluster *kit.Cluster) error {
	if err := installAlone(ctx, cluster); err != nil {
		return err
	}
	_, err := cluster.Kubectl(ctx, "-n", kit.OperatorNamespace, "set", "env", "deployment/"+kit.OperatorName, "GODEBUG=gctrace=1")
	if err != nil {
		return err
	}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
	return kit.Await(ctx, cluster, &appsv1.DeploymentList{}, key, kit.RolledOut)
}

// restart replaces the operator's pod and returns the new one, once it is ready.
func restart(ctx context.Context, cluster *kit.Cluster) (*corev1.Pod, error) {
	old, err := operatorPods(ctx, cluster)
	if err != nil {
		return nil, err
	}
	for i := range old {
		if err := cluster.Delete(ctx, &old[i]); err != nil {
			return nil, err
		}
	}
	var pod *corev1.Pod
	err = kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pods, err := operatorPods(ctx, cluster)
		if err != nil || len(pods) != 1 {
			return false, err
		}
		pod = &pods[0]
		return kit.PodReady(pod), nil
	})
	return pod, err
}

func operatorPods(ctx context.Context, cluster *kit.Cluster) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	err := cluster.Client.List(ctx, pods, client.InNamespace(kit.OperatorNamespace),
		client.MatchingLabels{"app.kubernetes.io/name": kit.OperatorName})
	return pods.Items, err
}

// scale sets how many pods the operator has, and waits until it has them and no others.
func scale(ctx context.Context, cluster *kit.Cluster, replicas int) error {
	if err := setReplicas(ctx, cluster, replicas); err != nil {
		return err
	}
	return kit.Poll(ctx, func(ctx context.Context) (bool, error) {
		pods, err := operatorPods(ctx, cluster)
		ready := 0
		for i := range pods {
			if kit.PodReady(&pods[i]) {
				ready++
			}
		}
		return len(pods) == replicas && ready == replicas, err
	})
}

// setReplicas is scale without the wait.
func setReplicas(ctx context.Context, cluster *kit.Cluster, replicas int) error {
	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}}
	return mergePatch(ctx, cluster, operator, fmt.Sprintf(`{"spec": {"replicas": %d}}`, replicas))
}

// cordon keeps new pods off all nodes, or lets them come again.
func cordon(ctx context.Context, cluster *kit.Cluster, on bool) error {
	nodes := &corev1.NodeList{}
	if err := cluster.Client.List(ctx, nodes); err != nil {
		return err
	}
	for i := range nodes.Items {
		if err := mergePatch(ctx, cluster, &nodes.Items[i], fmt.Sprintf(`{"spec": {"unschedulable": %t}}`, on)); err != nil {
			return err
		}
	}
	return nil
}

func mergePatch(ctx context.Context, cluster *kit.Cluster, object client.Object, patch string) error {
	return cluster.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(kit.FieldOwner))
}

// rested waits until the operator's process in a pod has nothing to do: it used less than 2 % of a processor for 2 seconds,
// which its lease alone would use.
func rested(ctx context.Context, pod *corev1.Pod) error {
	const look, ticks = 2 * time.Second, 4
	process, err := processOf(pod)
	if err != nil {
		return err
	}
	before, err := usedTicks(process)
	for err == nil {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return fmt.Errorf("wait for pod %s to have nothing to do: %w", pod.Name, ctx.Err())
		}
		var now float64
		if now, err = usedTicks(process); err == nil && now-before <= ticks {
			return nil
		}
		before = now
	}
	return err
}

// usedTicks is how long a process has used a processor, in hundredths of a second.
func usedTicks(process string) (float64, error) {
	stat, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may have blanks.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 11, 12
	if len(fields) <= stime {
		return 0, fmt.Errorf("read %s: %q", filepath.Join(process, "stat"), stat)
	}
	user, err := strconv.ParseFloat(fields[utime], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[stime], 64)
	return user + system, err
}

// collection is one run of Go's garbage collector.
type collection struct {
	// at is when it began, in seconds since the start of the process.
	at float64
	// peak is the heap at its end, and live what of it was still in use, in MiB.
	peak, live float64
}

// quiet is after how long without a collection the Go runtime collects all the same, in seconds, less a little.
const quiet = 119

// idle is true when the last collection came because there was none for so long: the process has nothing to do.
func idle(all []collection) bool {
	last := len(all) - 1
	return last > 0 && all[last].at-all[last-1].at > quiet
}

// A line such as: gc 7 @1.518s 2%: 0.03+5.8+0.02 ms clock, 0.06+3.9/2.1/0+0.05 ms cpu, 23->24->12 MB, 24 MB goal, ...
var collectionLine = regexp.MustCompile(`^gc \d+ @([0-9.]+)s .* (\d+)->(\d+)->(\d+) MB, .*`)

// collections reads what the Go runtime of a traced pod has logged.
func collections(ctx context.Context, cluster *kit.Cluster, pod *corev1.Pod) ([]collection, error) {
	log, err := cluster.Kubectl(ctx, "-n", pod.Namespace, "logs", pod.Name)
	if err != nil {
		return nil, err
	}
	var all []collection
	for line := range strings.Lines(log) {
		fields := collectionLine.FindStringSubmatch(strings.TrimSpace(line))
		if fields == nil {
			continue
		}
		var values [4]float64
		for i := range values {
			if values[i], err = strconv.ParseFloat(fields[i+1], 64); err != nil {
				return nil, fmt.Errorf("read the collection %q: %w", line, err)
			}
		}
		all = append(all, collection{values[0], max(values[1], values[2]), values[3]})
	}
	return all, nil
}

// resident reads how much memory the operator's process in a pod uses, and the most that it ever used, in MiB.
func resident(pod *corev1.Pod) (now, most float64, err error) {
	process, err := processOf(pod)
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(status) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib / 1024
		case "VmHWM:":
			most = kib / 1024
		}
	}
	return now, most, nil
}

// processOf returns the folder below /proc of the operator's process in a pod.
func processOf(pod *corev1.Pod) (string, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		groups, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		// The systemd driver of cgroups writes the UID with underscores.
		if !strings.Contains(strings.ReplaceAll(string(groups), "_", "-"), string(pod.UID)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if bytes.Contains(command, []byte("--leader-elect")) {
			return filepath.Dir(file), nil
		}
	}
	return "", fmt.Errorf("no process of pod %s, whose containers are %+v: it is looked for in /proc, so measure on the machine of the "+
		"cluster, as root", pod.Name, pod.Status.ContainerStatuses)
}
