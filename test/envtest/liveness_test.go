// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestAWorkerThatHangsIsNotAlive has one write of each controller never return, whatever becomes of its context.
func TestAWorkerThatHangsIsNotAlive(t *testing.T) {
	for _, tc := range []struct{ name, path, worker string }{
		{"the pipeline's", "/namespaces/" + harness.OperatorNamespace + "/services/" + metricsServer, "metricspipeline-"},
		{"the monitors'", "/servicemonitors/metricspipeline-annotated", "-monitors"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			released := make(chan struct{})
			w := beginOn(t, cluster, harness.Conditions{
				Options: controller.Options{Timing: controller.Timing{Work: time.Second}},
				Wrap: func(next http.RoundTripper) http.RoundTripper {
					return harness.RoundTripper(func(request *http.Request) (*http.Response, error) {
						if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, tc.path) {
							<-released
						}
						return next.RoundTrip(request)
					})
				},
			})
			t.Cleanup(func() { close(released) })
			w.installCRDs(harness.PrometheusCRD(), harness.ServiceMonitorCRD(), harness.PodMonitorCRD())
			w.Expect(w.Operator.Alive()).To(Succeed())
			w.app("shop", nil)
			w.apply(`prometheus: {url: "http://prometheus.shop.svc:9090"}`) // Without any, no monitor is written.
			w.Eventually(w.Operator.Alive).Should(MatchError(And(ContainSubstring(tc.worker), ContainSubstring("its deadline is"))))
			w.Expect(w.Operator.Ready()).To(Succeed(), "a standby would be no better")
		})
	}
}

// TestAStandbyIsReadyAndAlive while another replica has the lease.
func TestAStandbyIsReadyAndAlive(t *testing.T) {
	const lease = "metricspipeline-envtest"
	w := &world{World: harness.NewWorld(t, cluster), Gomega: NewWithT(t), t: t}
	leader := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: lease},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("another"), LeaseDurationSeconds: ptr.To[int32](3600),
			RenewTime: ptr.To(metav1.NowMicro()), AcquireTime: ptr.To(metav1.NowMicro())},
	}
	w.Expect(w.Client.Create(t.Context(), leader)).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(t), leader)).To(Succeed()) })
	w.Expect(w.Launch(logTo(t), harness.Conditions{Manager: func(o *ctrl.Options) {
		o.LeaderElection, o.LeaderElectionID, o.LeaderElectionNamespace = true, lease, harness.OperatorNamespace
	}})).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Operator.Stop()).To(Succeed()) })

	w.SetDefaultEventuallyTimeout(soon)
	w.Eventually(func() string { return strings.Join(w.Operator.Requests.Take(), "\n") }).Should(ContainSubstring(lease))
	w.Expect(w.Operator.Ready()).To(Succeed())
	w.Expect(w.Operator.Alive()).To(Succeed())
	w.Expect(w.Operator.Elected).NotTo(BeClosed())
}
