// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// forwarding connects to a port of a pod through the API server, as kubectl port-forward does, and opens no port of this machine: what is
// sent reaches nobody else here.
type forwarding struct {
	connection httpstream.Connection
	pod        client.ObjectKey
	port       int
	requests   atomic.Int64
}

// forward begins a forwarding, which ends with the context.
func forward(ctx context.Context, config *rest.Config, pod client.ObjectKey, port int) (*forwarding, error) {
	dialer, err := podDialer(config, pod)
	if err != nil {
		return nil, err
	}
	type dialed struct {
		connection httpstream.Connection
		protocol   string
		err        error
	}
	answer := make(chan dialed, 1)
	go func() { // It knows no context.
		connection, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		answer <- dialed{connection, protocol, err}
		if err == nil {
			context.AfterFunc(ctx, func() { _ = connection.Close() })
		}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err() //nolint:wrapcheck // the caller says what it did
	case got := <-answer:
		if got.err == nil && got.protocol != portforward.PortForwardProtocolV1Name {
			got.err = fmt.Errorf("the API server answered by the protocol %q", got.protocol)
		}
		return &forwarding{connection: got.connection, pod: pod, port: port}, got.err
	}
}

// podDialer speaks WebSocket, and SPDY where something on the way to the API server, or its answer, refuses that.
func podDialer(config *rest.Config, pod client.ObjectKey) (httpstream.Dialer, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
	}
	at := clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a transport to the API server %s: %w", config.Host, err)
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	current, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, config)
	if err != nil {
		return nil, fmt.Errorf("make a transport to the API server %s: %w", config.Host, err)
	}
	return portforward.NewFallbackDialerForStreaming(current, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// dial connects to the port, whatever the address that it is asked for.
func (f *forwarding) dial(context.Context, string, string) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(f.port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(f.requests.Add(1), 10))
	stream := func(kind string) (httpstream.Stream, error) {
		headers.Set(corev1.StreamType, kind)
		made, err := f.connection.CreateStream(headers)
		if err != nil {
			return nil, fmt.Errorf("forward to pod %s: %w", f.pod, err)
		}
		return made, nil
	}
	problems, err := stream(corev1.StreamTypeError)
	if err != nil {
		return nil, err
	}
	_ = problems.Close() // Nothing is written to it.
	data, err := stream(corev1.StreamTypeData)
	if err != nil {
		_ = problems.Reset()
		f.connection.RemoveStreams(problems)
		return nil, err
	}
	c := &podConnection{Stream: data, of: f, problems: problems, ended: make(chan struct{})}
	go c.listen()
	return c, nil
}

// Bounds of what a kubelet says of a connection that it could not make: in bytes, and how long it is waited for at the end of the data.
const (
	mostProblem = 4 << 10
	mostWait    = time.Second
)

// podConnection is a connection to a port of a pod.
type podConnection struct {
	httpstream.Stream
	of       *forwarding
	problems httpstream.Stream
	// ended is closed once the kubelet says no more, and problem is what it said.
	ended   chan struct{}
	problem string
}

func (c *podConnection) listen() {
	said, _ := io.ReadAll(io.LimitReader(c.problems, mostProblem)) // Where it cannot be read, the data ends too.
	c.problem = string(said)
	close(c.ended)
}

// Read implements net.Conn. A connection that the kubelet could not make ends without data, and its error comes by the other stream.
func (c *podConnection) Read(into []byte) (int, error) {
	n, err := c.Stream.Read(into)
	if err == nil || n > 0 {
		return n, err //nolint:wrapcheck // as of any connection
	}
	select {
	case <-c.ended:
	case <-time.After(mostWait):
		return 0, err //nolint:wrapcheck // as of any connection
	}
	if c.problem != "" {
		err = fmt.Errorf("forward to port %d of pod %s: %s", c.of.port, c.of.pod, c.problem)
	}
	return 0, err
}

// Close implements net.Conn.
func (c *podConnection) Close() error {
	_, _ = c.problems.Reset(), c.Reset()
	c.of.connection.RemoveStreams(c.problems, c.Stream)
	return nil
}

// LocalAddr implements net.Conn.
func (c *podConnection) LocalAddr() net.Addr { return &net.UnixAddr{Net: "portforward"} }

// RemoteAddr implements net.Conn.
func (c *podConnection) RemoteAddr() net.Addr {
	return &net.UnixAddr{Net: "portforward", Name: fmt.Sprintf("%s:%d", c.of.pod, c.of.port)}
}

// SetDeadline implements net.Conn. The client closes a connection when a context ends, and sets no deadlines that count.
func (c *podConnection) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *podConnection) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *podConnection) SetWriteDeadline(time.Time) error { return nil }
