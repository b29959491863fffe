// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestControlPlaneFaultsAreSurvived: after the fault the pipeline is Ready without help, and no client has written an object
// that did not need it.
func TestControlPlaneFaultsAreSurvived(t *testing.T) {
	needTestCluster(t)
	for _, fault := range []struct {
		name string
		args []string
	}{
		{"the API server is killed and started again", []string{"restart-apiserver"}},
		{"etcd does not answer for 30 s", []string{"pause-etcd", "--for=30s"}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			g := story(t)
			givenEveryAPI(t)
			before, err := cluster.Snapshot(t.Context())
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(cluster.Host(within(t, rollout), append([]string{"fault"}, fault.args...)...)).To(Succeed())
			start := time.Now()
			thenLed(t, start)
			thenReady(t, rollout)
			thenEveryAPI(t)
			t.Logf("everything works again %.1f s after the end of the fault", time.Since(start).Seconds())
			thenUnchanged(t, before)
		})
	}
}

// TestFrontProxyRotationIsSurvived replaces the authority and the certificate by which the API server speaks for users: the
// backends learn of it by themselves, and the operator has nothing to do with it.
func TestFrontProxyRotationIsSurvived(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	givenEveryAPI(t)
	before, err := cluster.Snapshot(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	poller := startPolling(t, everyAPI()...)

	g.Expect(cluster.Host(within(t, scrape), "fault", "rotate-front-proxy")).To(Succeed())
	poller.goOn(t, 20)
	poller.thenNoneFailed(t)
	thenReady(t, soon)
	thenUnchanged(t, before)
}

// thenLed waits until an operator has renewed its lease after a point in time, and returns by which name: one that cannot renew
// it in time ends, and is started again with another.
func thenLed(t *testing.T, after time.Time) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(cluster.Client.Get(t.Context(), key, lease)).To(Succeed())
		g.Expect(lease.Spec.HolderIdentity).NotTo(HaveValue(BeEmpty()), "there is no leader")
		g.Expect(lease.Spec.RenewTime.Time).To(BeTemporally(">", after))
	}, rollout, often).Should(Succeed())
	return *lease.Spec.HolderIdentity
}

// podOf returns the name of the pod in which the operator of a name runs.
func podOf(leader string) string {
	pod, _, _ := strings.Cut(leader, "_")
	return pod
}

// thenUnchanged checks that every managed object is and stays the one of before, and that no client writes it: an operator that
// was started again applies everything once, soon after.
func thenUnchanged(t *testing.T, before map[string]kit.Version) {
	t.Helper()
	NewWithT(t).Consistently(func(g Gomega) {
		after, err := cluster.Snapshot(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(cmp.Diff(before, after)).To(BeEmpty(), "managed objects, before (-) and after (+)")
	}, 5*time.Second, time.Second).Should(Succeed())
}
