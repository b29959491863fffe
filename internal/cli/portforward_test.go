// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// forwardServer is an API server whose kubelet connects port 9090 of one pod to a Prometheus with TLS that demands a token.
type forwardServer struct {
	*apiServer
	// dial connects to the Prometheus; its error is that nothing listens in the pod.
	dial func() (net.Conn, error)
	// withoutWebSocket makes it, or a proxy before it, refuse WebSocket; forbidden makes it refuse any forwarding.
	withoutWebSocket, forbidden bool

	lock sync.Mutex
	// spoken are the protocols by which ports were forwarded, and asked how often Prometheus was with the token and without.
	spoken     []string
	with, sans int
}

const forwardPath = "/api/v1/namespaces/" + usualNamespace + "/pods/managed-prometheus-old/portforward"

func (s *forwardServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !strings.HasSuffix(r.URL.Path, "/portforward"):
		s.apiServer.ServeHTTP(w, r)
	case r.URL.Path != forwardPath || r.Method == http.MethodGet && s.withoutWebSocket:
		http.Error(w, "not here", http.StatusBadRequest)
	case s.forbidden:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"kind":"Status","message":"User \"viewer\" cannot create resource \"pods/portforward\""}`)
	case r.Method == http.MethodGet:
		s.speak("WebSocket")
		upgrader := websocket.Upgrader{Subprotocols: []string{"SPDY/3.1+" + portforward.PortForwardProtocolV1Name}}
		raw, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		_, _ = spdy.NewServerConnection(portforward.NewTunnelingConnection("server", raw), s.connect())
	default:
		s.speak("SPDY")
		w.Header().Set(httpstream.HeaderProtocolVersion, portforward.PortForwardProtocolV1Name)
		spdy.NewResponseUpgrader().UpgradeResponse(w, r, s.connect())
	}
}

func (s *forwardServer) speak(protocol string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.spoken = append(s.spoken, protocol)
}

// connect is what a kubelet does with the two streams of a connection, which come in any order.
func (s *forwardServer) connect() httpstream.NewStreamHandler {
	problems := map[string]chan httpstream.Stream{}
	problemsOf := func(stream httpstream.Stream) chan httpstream.Stream {
		s.lock.Lock()
		defer s.lock.Unlock()
		id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
		if problems[id] == nil {
			problems[id] = make(chan httpstream.Stream, 1)
		}
		return problems[id]
	}
	return func(stream httpstream.Stream, replied <-chan struct{}) error {
		if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
			problemsOf(stream) <- stream
			return nil
		}
		go func() {
			<-replied
			problem := <-problemsOf(stream)
			defer func() { _, _ = problem.Close(), stream.Close() }()
			to, err := s.dial()
			if err != nil || stream.Headers().Get(corev1.PortHeader) != "9090" {
				_, _ = io.WriteString(problem, "connection refused in the pod")
				return
			}
			defer to.Close()
			go func() { _, _ = io.Copy(to, stream) }()
			_, _ = io.Copy(stream, to)
		}()
		return nil
	}
}

// managedWorld has the Prometheus that the operator runs as a Deployment.
func managedWorld(t *testing.T, intercept interceptor.Funcs) (*world, *forwardServer) {
	t.Helper()
	server := &forwardServer{apiServer: &apiServer{methods: map[string]bool{}, samples: map[string]string{}}}
	authority, _, err := certs.EnsureAuthority(certs.Pair{}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	name := prometheus.Managed{Namespace: usualNamespace}.ServerName()
	serving, _, err := certs.EnsureServing(certs.Pair{}, authority, []string{name}, certs.LifetimeFor(v1alpha1.CertificatesSpec{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(serving.Cert, serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	asked := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		server.lock.Lock()
		defer server.lock.Unlock()
		if user != prometheus.ManagedUser || password != "sesame" {
			server.sans++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		server.with++
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
	}))
	asked.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	asked.StartTLS()
	t.Cleanup(asked.Close)
	server.dial = func() (net.Conn, error) {
		return (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", asked.Listener.Addr().String())
	}
	server.Server = httptest.NewServer(server)
	t.Cleanup(server.Close)

	w := liveWorld(t, server.apiServer, intercept)
	c := w.change(t, func(found *v1alpha1.MetricsPipeline) {
		found.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{}
		found.Status.Prometheus = &v1alpha1.PrometheusStatus{URL: "https://" + name + ":9090", Origin: prometheus.ManagedField}
	})
	for _, object := range []client.Object{
		promPod("managed-prometheus-new", time.Minute, corev1.ConditionTrue), promPod("managed-prometheus-old", time.Hour, corev1.ConditionTrue),
		promPod("managed-prometheus-broken", 2*time.Hour, corev1.ConditionFalse),
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: usualNamespace, Name: cluster.ManagedSecret},
			Data: map[string][]byte{cluster.TokenKey: []byte("sesame"), cluster.AuthorityKey: authority.Cert}},
	} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	return w, server
}

func promPod(name string, age time.Duration, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: usualNamespace, Name: name,
		CreationTimestamp: metav1.NewTime(today.Add(-age)),
		Labels:            map[string]string{"app.kubernetes.io/name": "managed-prometheus", "metricspipeline.io/component": "managed-prometheus"}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
}

// TestWhyByPortForward: the Prometheus that demands a token is asked in a pod of its own, by whichever protocol leads there.
func TestWhyByPortForward(t *testing.T) {
	for protocol, refused := range map[string]bool{"WebSocket": false, "SPDY": true} {
		t.Run(protocol, func(t *testing.T) {
			w, server := managedWorld(t, interceptor.Funcs{})
			server.withoutWebSocket = refused
			found := w.explainWeb(t, ExitBroken)
			if link := verdictOf(t, found, diagnose.LinkSeries); link.Verdict == diagnose.Unseen || len(link.Queries) == 0 {
				t.Errorf("the link Series is %+v", link)
			}
			if server.with == 0 || server.sans > 0 || !slices.Equal(server.spoken, []string{protocol}) {
				t.Errorf("asked %d times with the token and %d without, by %v", server.with, server.sans, server.spoken)
			}
		})
	}
}

// TestWhyWithoutRightsAtManaged: who may not is told which right is missing; nothing is called broken, and no token is sent.
func TestWhyWithoutRightsAtManaged(t *testing.T) {
	secrets := interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object,
		options ...client.GetOption) error {
		if _, is := object.(*corev1.Secret); is {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, nil)
		}
		return c.Get(ctx, key, object, options...)
	}}
	pods := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		stated := client.ListOptions{}
		stated.ApplyOptions(options)
		if _, is := list.(*corev1.PodList); is && stated.Namespace == usualNamespace {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
		}
		return c.List(ctx, list, options...)
	}}
	for name, tc := range map[string]struct {
		intercept interceptor.Funcs
		forbidden bool
		says      string
	}{
		"the token":   {secrets, false, "administrator grant you get of that Secret"},
		"its pods":    {pods, false, "administrator grant you list of them"},
		"to its port": {interceptor.Funcs{}, true, `cannot create resource "pods/portforward"`},
	} {
		t.Run(name, func(t *testing.T) {
			w, server := managedWorld(t, tc.intercept)
			server.forbidden = tc.forbidden
			link := verdictOf(t, w.explainWeb(t, ExitUnseen), diagnose.LinkSeries)
			if link.Verdict != diagnose.Unseen || !strings.Contains(link.Seen, tc.says) {
				t.Errorf("the link Series is %+v", link)
			}
			if server.with+server.sans > 0 {
				t.Error("Prometheus was asked")
			}
		})
	}
}

// TestWhyManagedIsDown: that is what is broken, and not a link that cannot be seen; and the token goes to nobody whom the components'
// authority does not name.
func TestWhyManagedIsDown(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*testing.T, client.Client, *forwardServer)
		says   string
	}{
		"no pod is ready": {func(t *testing.T, c client.Client, _ *forwardServer) {
			t.Helper()
			for _, pod := range []string{"managed-prometheus-old", "managed-prometheus-new"} {
				if err := c.Delete(t.Context(), promPod(pod, 0, "")); err != nil {
					t.Fatal(err)
				}
			}
		}, "no pod of Deployment metricspipeline-system/managed-prometheus is ready"},
		"nothing listens": {func(_ *testing.T, _ client.Client, server *forwardServer) {
			server.dial = func() (net.Conn, error) { return nil, net.ErrClosed }
		}, "connection refused in the pod"},
		"another authority": {func(t *testing.T, c client.Client, _ *forwardServer) {
			t.Helper()
			other, _, err := certs.EnsureAuthority(certs.Pair{}, nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			secret := &corev1.Secret{}
			key := client.ObjectKey{Namespace: usualNamespace, Name: cluster.ManagedSecret}
			if err := c.Get(t.Context(), key, secret); err != nil {
				t.Fatal(err)
			}
			secret.Data[cluster.AuthorityKey] = other.Cert
			if err := c.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}, "certificate does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			w, server := managedWorld(t, interceptor.Funcs{})
			c, err := w.client()
			if err != nil {
				t.Fatal(err)
			}
			tc.change(t, c, server)
			found := w.explainWeb(t, ExitBroken)
			if finding := found.first(); finding == nil || finding.Reason != v1alpha1.AutoscalerPrometheusUnreachable {
				t.Errorf("the finding is %+v", finding)
			}
			config, err := w.config()
			if err != nil {
				t.Fatal(err)
			}
			known, err := pipeline(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			asked, err := askManaged(t.Context(), config, c, known, usualNamespace)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tried(t.Context(), asked); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error is %v, want %q", err, tc.says)
			}
			if server.with+server.sans > 0 {
				t.Error("Prometheus was asked")
			}
		})
	}
}
