// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	backendPort = 10250
	// portName is the name of the Service's port, which its EndpointSlice repeats.
	portName = "https"
)

// Backend is a small aggregated API server that stands for the pods of one component. It serves with the pair from the
// Secret that the operator made, and answers the API server alone.
type Backend struct {
	cluster   *Cluster
	namespace string
	service   string
	address   string
	server    *http.Server
	pair      atomic.Pointer[tls.Certificate]
	failing   sync.Map
	measured  atomic.Pointer[[]string]
}

// StartBackend serves the APIs of a component with the serving pair in its Secret. Nothing leads to it before Publish.
func (c *Cluster) StartBackend(ctx context.Context, component string) (*Backend, error) {
	pair, err := c.servingPair(ctx, OperatorNamespace, component)
	if err != nil {
		return nil, err
	}
	return c.ServeBackend(ctx, OperatorNamespace, component, c.AddressOf(component), pair, components[component].apis...)
}

func (c *Cluster) servingPair(ctx context.Context, namespace, service string) (tls.Certificate, error) {
	secret := &corev1.Secret{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: service + "-tls"}, secret); err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the serving pair of %s: %w", service, err)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("loading the serving pair of %s: %w", service, err)
	}
	return pair, nil
}

// ServeBackend serves discovery of the group versions on an address of PodNetwork, each backend on one of its own, with a serving
// pair of the caller.
func (c *Cluster) ServeBackend(
	ctx context.Context, namespace, service, address string, pair tls.Certificate, apis ...schema.GroupVersion,
) (*Backend, error) {
	trusted, err := c.requestHeaderCA(ctx)
	if err != nil {
		return nil, err
	}
	b := &Backend{cluster: c, namespace: namespace, service: service, address: address}
	b.pair.Store(&pair)
	mux := http.NewServeMux()
	for _, api := range apis {
		mux.HandleFunc("/apis/"+api.String(), func(w http.ResponseWriter, r *http.Request) { b.discover(w, r, api) })
		mux.HandleFunc("/apis/"+api.String()+"/nodes", b.nodeMetrics)
	}
	if service == ManagedPrometheus {
		mux.Handle("/api/v1/", &Prometheus{})
	}
	b.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		// A refused certificate is part of the story.
		ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.pair.Load(), nil },
			// A client that only looks at the certificate has none.
			ClientAuth: tls.VerifyClientCertIfGiven,
			ClientCAs:  trusted,
		},
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, fmt.Sprint(backendPort)))
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", service, err)
	}
	go func() { _ = b.server.ServeTLS(listener, "", "") }()
	return b, nil
}

// requestHeaderCA returns what an aggregated server recognizes the API server by, from the same place.
func (c *Cluster) requestHeaderCA(ctx context.Context) (*x509.CertPool, error) {
	config := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"}
	if err := c.Client.Get(ctx, key, config); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(config.Data["requestheader-client-ca-file"])) {
		return nil, fmt.Errorf("the ConfigMap %s has no request header CA", key)
	}
	return pool, nil
}

func (b *Backend) discover(w http.ResponseWriter, r *http.Request, api schema.GroupVersion) {
	if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != frontProxyName {
		http.Error(w, "only the API server may send requests", http.StatusUnauthorized)
		return
	}
	if _, fails := b.failing.Load(api); fails {
		http.Error(w, "failing as the test demands", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: api.String(),
		APIResources: []metav1.APIResource{{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: metav1.Verbs{"get", "list"}}},
	})
}

// Measure has metrics of these nodes from now on.
func (b *Backend) Measure(nodes ...string) { b.measured.Store(&nodes) }

func (b *Backend) nodeMetrics(w http.ResponseWriter, _ *http.Request) {
	list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{Kind: "NodeMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}}
	if nodes := b.measured.Load(); nodes != nil {
		for _, name := range *nodes {
			list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}

// Reload serves with the pair in the Secret, as real backends do once the kubelet has brought it to them.
func (b *Backend) Reload(ctx context.Context) error {
	pair, err := b.cluster.servingPair(ctx, b.namespace, b.service)
	if err != nil {
		return err
	}
	b.Present(pair)
	return nil
}

// Present serves with a pair of the caller from now on.
func (b *Backend) Present(pair tls.Certificate) { b.pair.Store(&pair) }

// Fail makes the backend answer requests for a group version with an error, or answer again.
func (b *Backend) Fail(api schema.GroupVersion, fails bool) {
	if fails {
		b.failing.Store(api, true)
	} else {
		b.failing.Delete(api)
	}
}

// Publish makes the backend an endpoint of its Service, ready or not, as the EndpointSlice controller would.
func (b *Backend) Publish(ctx context.Context, ready bool) error {
	return b.apply(ctx, []discoveryv1.Endpoint{{
		Addresses: []string{b.address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready)},
	}})
}

// Withdraw leaves the Service without endpoints, as when there are no pods.
func (b *Backend) Withdraw(ctx context.Context) error {
	return b.apply(ctx, []discoveryv1.Endpoint{})
}

func (b *Backend) apply(ctx context.Context, endpoints []discoveryv1.Endpoint) error {
	service := &corev1.Service{}
	if err := b.cluster.Client.Get(ctx, client.ObjectKey{Namespace: b.namespace, Name: b.service}, service); err != nil {
		return fmt.Errorf("publishing a backend: %w", err)
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: b.sliceMeta()}
	_, err := controllerutil.CreateOrUpdate(ctx, b.cluster.Client, slice, func() error {
		// The controller copies the Service's labels, and says when something changed.
		slice.Labels = map[string]string{}
		maps.Copy(slice.Labels, service.Labels)
		slice.Labels[discoveryv1.LabelServiceName] = b.service
		slice.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: time.Now().Format(time.RFC3339Nano)}
		slice.AddressType = discoveryv1.AddressTypeIPv4
		slice.Ports = []discoveryv1.EndpointPort{{
			Name: ptr.To(portName), Port: ptr.To[int32](backendPort), Protocol: ptr.To(corev1.ProtocolTCP),
		}}
		slice.Endpoints = endpoints
		return controllerutil.SetControllerReference(service, slice, Scheme)
	})
	return err
}

func (b *Backend) sliceMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: b.namespace, Name: b.service + "-" + strings.ReplaceAll(b.address, ".", "-")}
}

// Stop closes the server and removes its EndpointSlice.
func (b *Backend) Stop(ctx context.Context) error {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: b.sliceMeta()}
	return errors.Join(b.server.Close(), client.IgnoreNotFound(b.cluster.Client.Delete(ctx, slice)))
}
