// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/tls"
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/cert"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// bundledName is that of the Service and the endpoints of a metrics-server that came with the cluster.
const bundledName = "bundled-metrics"

// BundledAPIService registers it, as a distribution does that verifies no certificate.
func BundledAPIService() *apiregv1.APIService {
	return &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1beta1.metrics.k8s.io"},
		Spec: apiregv1.APIServiceSpec{
			Group: "metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &apiregv1.ServiceReference{Namespace: metav1.NamespaceSystem, Name: bundledName, Port: ptr.To[int32](443)},
		},
	}
}

// StartBundled lets it run on an address of PodNetwork, not registered yet. The function that it returns removes it, and
// whatever APIService there is for its API.
func (c *Cluster) StartBundled(ctx context.Context, address string) (remove func(context.Context) error, err error) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: metav1.NamespaceSystem, Name: bundledName, Labels: map[string]string{"app": bundledName}}}
	service.Spec.Ports = []corev1.ServicePort{{Name: portName, Port: 443}}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(bundledName, nil, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if err := c.Client.Create(ctx, service, client.FieldOwner("distribution")); err != nil {
		return nil, err
	}
	backend, err := c.ServeBackend(ctx, service.Namespace, bundledName, address, pair,
		schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"})
	if err != nil {
		return nil, errors.Join(err, c.Client.Delete(ctx, service))
	}
	remove = func(ctx context.Context) error {
		apiService := client.IgnoreNotFound(c.Client.Delete(ctx, BundledAPIService()))
		return errors.Join(backend.Stop(ctx), apiService, c.Client.Delete(ctx, service))
	}
	if err := backend.Publish(ctx, true); err != nil {
		return nil, errors.Join(err, remove(ctx))
	}
	return remove, nil
}
