// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/presets"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

// TestStackIngress: an app that exposes nothing scales on the rate of the requests that Traefik sends to its Service, by the ready-made
// rule.
func TestStackIngress(t *testing.T) {
	const name = "ingress"
	g := story(t)
	traefik, found := presets.Of("traefik")
	g.Expect(found).To(BeTrue())
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	pipeline.Spec.CustomMetrics.Rules = append(pipeline.Spec.CustomMetrics.Rules, traefik.Rule(traefik.Namespace, "", 20*time.Second))
	givenAddon(t, "traefik")
	givenPipeline(t, pipeline)
	givenWorker(t, name)
	service := kit.SampleApp(name)[1]
	service.SetAnnotations(nil)
	ingress := ingressTo(name)
	scaler := kit.SampleScaler(name, kit.RequestsOfService(name, 3))
	scaler.Spec.Metrics[0].Object.Metric = autoscalingv2.MetricIdentifier{Name: traefik.Metric}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		if t.Failed() {
			out, err := cluster.Kubectl(ctx, "describe", "hpa", name, "-n", scaler.Namespace)
			t.Log(out, err)
		}
		g.Expect(cluster.Delete(ctx, scaler, ingress, service)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), service, ingress, scaler)).To(Succeed())

	start := time.Now()
	stop := givenRequests(t, "/api/v1/namespaces/traefik/services/http:traefik:web/proxy/"+name)
	thenPods(t, name, BeEquivalentTo(kit.SampleMaxReplicas))
	t.Logf("1 to %d pods in %.0f s, with the first scrape of Traefik", kit.SampleMaxReplicas, time.Since(start).Seconds())
	thenNotFailing(t, name)
	stop()
	start = time.Now()
	thenPods(t, name, BeEquivalentTo(1))
	t.Logf("back to 1 in %.0f s", time.Since(start).Seconds())
}

// ingressTo leads the path of an instance to its Service, for any host: the API server's proxy sends its own.
func ingressTo(name string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: kit.SampleNamespace, Name: name},
		Spec: networkingv1.IngressSpec{IngressClassName: ptr.To("traefik"), Rules: []networkingv1.IngressRule{{
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/" + name, PathType: ptr.To(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: name, Port: networkingv1.ServiceBackendPort{Number: 8080}}},
			}}}},
		}}},
	}
}

// givenRequests sends ten requests a second to a path of the API server, until stop or the end of the test. Their answers do not matter.
func givenRequests(t *testing.T, path string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		ticks := time.NewTicker(pollPeriod)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				_, _ = cluster.Get(ctx, path) // Traefik knows the path only once it has seen the Ingress.
			}
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}
