// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// retryPeriod is how often a standby looks whether the lease is free, before the jitter: client-go's and the operator's.
	retryPeriod = 2 * time.Second
	// drifted is a Service that the operator applies, driftedLabel a label of it, and drift what is written there.
	drifted      = "metrics-server"
	driftedLabel = "app.kubernetes.io/part-of"
	drift        = "drift"
)

// leaseKey is that of the lease that the operator's replicas share.
var leaseKey = client.ObjectKey{Namespace: kit.OperatorNamespace, Name: "metricspipeline-operator"}

// handOver is the end of one leader, as times since its SIGTERM.
type handOver struct{ released, taken, written time.Duration }

// p9HandOver gives the operator a standby, ends one leader after the other, and leaves the operator one pod.
func p9HandOver(ctx context.Context, cluster *kit.Cluster, step progress) ([]figure, error) {
	if err := standsBy(ctx, cluster); err != nil {
		return nil, err
	}
	var taken, written []float64
	for i := range p9Runs {
		run, err := endLeader(ctx, cluster)
		if err != nil {
			return nil, fmt.Errorf("end %d of a leader: %w", i+1, err)
		}
		step("  end %d of %d: lease free after %d ms, the standby's after %d ms, its first write after %d ms", i+1, p9Runs,
			run.released.Milliseconds(), run.taken.Milliseconds(), run.written.Milliseconds())
		taken = append(taken, run.taken.Seconds())
		written = append(written, run.written.Seconds())
	}
	period := retryPeriod.Seconds()
	return []figure{
		{
			name: fmt.Sprintf("SIGTERM of the leader to the standby's first write, median of %d", p9Runs), against: "RetryPeriod",
			ours: median(written), theirs: period, unit: "s", goal: p9Goal,
		},
		{
			name: "SIGTERM of the leader to the standby's lease", against: "RetryPeriod",
			ours: median(taken), theirs: period, unit: "s", free: true,
		},
	}, scale(ctx, cluster, 1)
}

// endLeader sends SIGTERM to the leader, changes an object as soon as the lease is not its any more, and waits until the
// standby has repaired it: at rest, a new leader has nothing else to write. Then there is a new standby.
func endLeader(ctx context.Context, cluster *kit.Cluster) (run handOver, err error) {
	ctx, cancel := context.WithTimeout(ctx, p9Limit)
	defer cancel()
	leader, err := leading(ctx, cluster)
	if err != nil {
		return run, err
	}
	leases, err := cluster.Watch(ctx, &coordinationv1.LeaseList{}, leaseKey)
	if err != nil {
		return run, err
	}
	defer leases.Stop()
	service := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: drifted}
	services, err := cluster.Watch(ctx, &corev1.ServiceList{}, service)
	if err != nil {
		return run, err
	}
	defer services.Stop()

	ended, err := terminate(ctx, cluster, leader)
	if err != nil {
		return run, err
	}
	next := ""
	released := func(lease *coordinationv1.Lease) bool {
		next = holder(lease)
		return !leads(leader, lease)
	}
	if run.released, err = sinceUntil(ctx, ended, leases, released); err != nil {
		return run, fmt.Errorf("wait for the lease of pod %s to be free: %w", leader.Name, err)
	}
	changed := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: service.Namespace, Name: service.Name}}
	if err := mergePatch(ctx, cluster, changed, fmt.Sprintf(`{"metadata": {"labels": {%q: %q}}}`, driftedLabel, drift)); err != nil {
		return run, err
	}
	run.taken = run.released
	for next == "" {
		if run.taken, err = sinceUntil(ctx, ended, leases, released); err != nil {
			return run, fmt.Errorf("wait for the standby's lease: %w", err)
		}
	}
	seen := false
	repaired := func(service *corev1.Service) bool {
		changed := service.Labels[driftedLabel] == drift
		seen = seen || changed
		return seen && !changed
	}
	if run.written, err = sinceUntil(ctx, ended, services, repaired); err != nil {
		return run, fmt.Errorf("wait for the standby to repair Service %s: %w", service, err)
	}
	return run, standsBy(ctx, cluster)
}

// terminate sends SIGTERM to the operator's process in one of its two pods, and returns when that was. The pod is neither started
// again nor replaced, since a new process looks at the lease at once.
func terminate(ctx context.Context, cluster *kit.Cluster, pod *corev1.Pod) (at time.Time, err error) {
	// Of two pods, the one that costs less to delete goes.
	cheap := fmt.Sprintf(`{"metadata": {"annotations": {%q: "-1"}}}`, corev1.PodDeletionCost)
	if err := mergePatch(ctx, cluster, pod, cheap); err != nil {
		return at, err
	}
	process, err := processOf(pod)
	if err != nil {
		return at, err
	}
	pid, err := strconv.Atoi(filepath.Base(process))
	if err != nil {
		return at, err
	}
	at = time.Now()
	return at, errors.Join(syscall.Kill(pid, syscall.SIGTERM), setReplicas(ctx, cluster, 1))
}

// sinceUntil reads events until done is true of an object, and returns how long after start that was.
func sinceUntil[T client.Object](ctx context.Context, start time.Time, events watch.Interface, done func(T) bool) (time.Duration, error) {
	for {
		select {
		case event, open := <-events.ResultChan():
			if !open {
				return 0, errors.New("the API server ended the watch")
			}
			if object, ok := event.Object.(T); ok && done(object) {
				return time.Since(start), nil
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// standsBy waits until both pods of the operator are ready and have nothing to do, so that one leads and the other waits.
func standsBy(ctx context.Context, cluster *kit.Cluster) error {
	if err := scale(ctx, cluster, 2); err != nil {
		return err
	}
	pods, err := operatorPods(ctx, cluster)
	for i := range pods {
		err = errors.Join(err, rested(ctx, &pods[i]))
	}
	return err
}

// leading returns the pod that has the lease.
func leading(ctx context.Context, cluster *kit.Cluster) (*corev1.Pod, error) {
	lease := &coordinationv1.Lease{}
	if err := cluster.Client.Get(ctx, leaseKey, lease); err != nil {
		return nil, err
	}
	pods, err := operatorPods(ctx, cluster)
	for i := range pods {
		if leads(&pods[i], lease) {
			return &pods[i], err
		}
	}
	return nil, errors.Join(err, fmt.Errorf("the lease is that of %q, which is none of %d pods", holder(lease), len(pods)))
}

func holder(lease *coordinationv1.Lease) string { return ptr.Deref(lease.Spec.HolderIdentity, "") }

// leads is true of the pod that has the lease: its name and something random are the holder's identity.
func leads(pod *corev1.Pod, lease *coordinationv1.Lease) bool {
	return strings.HasPrefix(holder(lease), pod.Name+"_")
}
