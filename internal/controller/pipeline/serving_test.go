// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
)

// run lets the pods of a gadget run: its Deployments are rolled out, and an endpoint serves with the stored certificate.
func (w *world) run(name string, workloads ...string) {
	w.t.Helper()
	for _, workload := range append([]string{name}, workloads...) {
		deployment := &appsv1.Deployment{}
		if !w.exists(deployment, workload) {
			w.t.Fatalf("there is no Deployment %s to run", workload)
		}
		deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1,
			ReadyReplicas: 1, AvailableReplicas: 1, Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}
		if err := w.client.Status().Update(w.t.Context(), deployment); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.exists(&corev1.Service{}, name) {
		w.endpoint(name, name, name+"-tls")
	}
}

// endpoint adds a ready endpoint of a component, which presents the certificate in a Secret.
func (w *world) endpoint(name, component, secret string) {
	w.t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: ownership.Labels(component)},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(w.serve(secret))}},
	}
	slice.Labels[discoveryv1.LabelServiceName] = component
	if err := w.client.Create(w.t.Context(), slice); err != nil {
		w.t.Fatal(err)
	}
}

// serve presents the certificate in a Secret on a port of this machine.
func (w *world) serve(secretName string) int32 {
	w.t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			secret := &corev1.Secret{}
			if err := w.client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: secretName}, secret); err != nil {
				return nil, err
			}
			pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
			return &pair, err
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.(*tls.Conn).Handshake()
			_ = connection.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		w.t.Fatal(err)
	}
	return int32(number)
}

// registered calls the operator until an APIService exists: a backend's certificate is verified beside the worker.
func (w *world) registered(api metricsapi.API) {
	w.t.Helper()
	w.until("the APIService is made", func() bool { return w.exists(&apiregv1.APIService{}, api.Name()) })
}

// available lets kube-aggregator find what answers for metrics APIs.
func (w *world) available(status apiregv1.ConditionStatus, apis ...metricsapi.API) {
	w.t.Helper()
	for _, api := range apis {
		apiService := &apiregv1.APIService{}
		if !w.exists(apiService, api.Name()) {
			w.t.Fatalf("there is no APIService %s", api.Name())
		}
		apiService.CreationTimestamp = metav1.NewTime(moment) // The fake API server's clock is not the world's.
		apiService.Status.Conditions = []apiregv1.APIServiceCondition{{Type: apiregv1.Available, Status: status, Reason: "Passed",
			Message: "all checks passed", LastTransitionTime: metav1.NewTime(w.clock.Now())}}
		if err := w.client.Update(w.t.Context(), apiService); err != nil {
			w.t.Fatal(err)
		}
	}
}

// healthy is a world in which the gadgets serve their metrics APIs.
func healthy(t *testing.T, gadgets ...*gadget) *world {
	t.Helper()
	w := newWorld(t, gadgets)
	w.settle()
	for _, g := range gadgets {
		w.run(g.name, g.workloads...)
		for _, api := range g.apis {
			w.registered(api)
		}
		w.available(apiregv1.ConditionTrue, g.apis...)
	}
	w.settle()
	w.drain()
	return w
}

// answers waits until some more questions have been answered otherwise than before.
func (w *world) answers(n int) {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for range n {
		select {
		case <-w.answered:
		case <-deadline:
			w.t.Fatal("no answer")
		}
	}
}

func (w *world) removeEndpoints() {
	w.t.Helper()
	if err := w.client.DeleteAllOf(w.t.Context(), &discoveryv1.EndpointSlice{}, client.InNamespace(namespace)); err != nil {
		w.t.Fatal(err)
	}
}
