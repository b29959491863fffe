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

// Foreign is a backend that belongs to another owner.
type Foreign struct {
	// Namespace of its Service, and the name of that and of its endpoints.
	Namespace, Service string
	// Owner is the field manager that installs it.
	Owner string
	API   schema.GroupVersion
}

// The backends of others that stories know: a metrics-server that came with the cluster, and KEDA's server as its chart installs it.
var (
	bundled = Foreign{metav1.NamespaceSystem, "bundled-metrics", "distribution",
		schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}}
	KEDA = Foreign{"keda", "keda-operator-metrics-apiserver", "helm",
		schema.GroupVersion{Group: "external.metrics.k8s.io", Version: "v1beta1"}}
)

// APIService registers it, as an owner does that verifies no certificate.
func (f Foreign) APIService() *apiregv1.APIService {
	return &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: f.API.Version + "." + f.API.Group},
		Spec: apiregv1.APIServiceSpec{
			Group: f.API.Group, Version: f.API.Version, GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &apiregv1.ServiceReference{Namespace: f.Namespace, Name: f.Service, Port: ptr.To[int32](443)},
		},
	}
}

// BundledAPIService registers the metrics-server that came with the cluster.
func BundledAPIService() *apiregv1.APIService { return bundled.APIService() }

// StartBundled is StartForeign for the metrics-server that came with the cluster.
func (c *Cluster) StartBundled(ctx context.Context, address string) (remove func(context.Context) error, err error) {
	return c.StartForeign(ctx, bundled, address)
}

// StartForeign lets a backend run on an address of PodNetwork, not registered yet. The function that it returns removes it, and
// whatever APIService there is for its API.
func (c *Cluster) StartForeign(ctx context.Context, f Foreign, address string) (remove func(context.Context) error, err error) {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: f.Namespace, Name: f.Service, Labels: map[string]string{"app": f.Service}}}
	service.Spec.Ports = []corev1.ServicePort{{Name: portName, Port: 443}}
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey(f.Service, nil, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	if err := c.Client.Create(ctx, service, client.FieldOwner(f.Owner)); err != nil {
		return nil, err
	}
	backend, err := c.ServeBackend(ctx, service.Namespace, f.Service, address, pair, f.API)
	if err != nil {
		return nil, errors.Join(err, c.Client.Delete(ctx, service))
	}
	remove = func(ctx context.Context) error {
		apiService := client.IgnoreNotFound(c.Client.Delete(ctx, f.APIService()))
		return errors.Join(backend.Stop(ctx), apiService, c.Client.Delete(ctx, service))
	}
	if err := backend.Publish(ctx, true); err != nil {
		return nil, errors.Join(err, remove(ctx))
	}
	return remove, nil
}
