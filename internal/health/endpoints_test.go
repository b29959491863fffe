// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

func TestReadyEndpoints(t *testing.T) {
	https := []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To[int32](10250)}}
	endpoint := func(ready *bool, addresses ...string) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	yes, no := ptr.To(true), ptr.To(false)
	for name, tc := range map[string]struct {
		slices []discoveryv1.EndpointSlice
		want   []string
	}{
		"none":  {nil, nil},
		"empty": {[]discoveryv1.EndpointSlice{{Ports: https}}, nil},
		"sorted, over several slices, each once": {
			[]discoveryv1.EndpointSlice{
				{Ports: https, Endpoints: []discoveryv1.Endpoint{endpoint(yes, "10.0.0.9"), endpoint(yes, "10.0.0.1")}},
				{Ports: https, Endpoints: []discoveryv1.Endpoint{endpoint(yes, "10.0.0.9"), endpoint(yes, "10.0.0.5")}},
			},
			[]string{"10.0.0.1:10250", "10.0.0.5:10250", "10.0.0.9:10250"}},
		"only the ready ones; unset means ready": {
			[]discoveryv1.EndpointSlice{{Ports: https, Endpoints: []discoveryv1.Endpoint{
				endpoint(no, "10.0.0.1"), endpoint(nil, "10.0.0.2"), endpoint(yes, "10.0.0.3")}}},
			[]string{"10.0.0.2:10250", "10.0.0.3:10250"}},
		"only the named port": {
			[]discoveryv1.EndpointSlice{{
				Ports: []discoveryv1.EndpointPort{
					{Name: ptr.To("metrics"), Port: ptr.To[int32](8080)}, {Port: ptr.To[int32](1)}, {Name: ptr.To("https")}, https[0]},
				Endpoints: []discoveryv1.Endpoint{endpoint(yes, "10.0.0.1")}}},
			[]string{"10.0.0.1:10250"}},
		"IPv6": {
			[]discoveryv1.EndpointSlice{{Ports: https, Endpoints: []discoveryv1.Endpoint{endpoint(yes, "fd00::1")}}},
			[]string{"[fd00::1]:10250"}},
		"the first address of an endpoint": {
			[]discoveryv1.EndpointSlice{{Ports: https, Endpoints: []discoveryv1.Endpoint{endpoint(yes, "10.0.0.1", "10.0.0.2"), endpoint(yes)}}},
			[]string{"10.0.0.1:10250"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, ReadyEndpoints(tc.slices, "https")); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// serving returns the address of a TLS server, and its certificate as PEM, which is valid for example.com.
func serving(t *testing.T) (address string, certificate []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// anotherAuthority is a certificate that signed nothing here; it ends in 2126.
const anotherAuthority = `-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUdoIVq7ZylOo5HJOOgPd5hnEoSxwwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYW5vdGhlci1hdXRob3JpdHkwIBcNMjYxMTIzMDc0ODM4WhgP
MjEyNjEwMzAwNzQ4MzhaMBwxGjAYBgNVBAMMEWFub3RoZXItYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEvXeUmRWat2xRbBu8AQE99hrgjYGYXCS
F+OwljzCTbvqFNGt7XUCg0ZOtsQkIek6bh05CTcspc4siXBMZl03GaNTMFEwHQYD
VR0OBBYEFAWXw3NGurcgZw+eGvDrN1NYnTVmMB8GA1UdIwQYMBaAFAWXw3NGurcg
Zw+eGvDrN1NYnTVmMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIh
AOw1fTZBHp/nAK6Uj5fUw0B9TsIoA1yeDkdoMea8zOe2AiBBs0a3n3P70bb9IdE3
r6DSKilD409wmWjKT+DL49ag3Q==
-----END CERTIFICATE-----
`

// cutting returns the address of a server that resets every connection.
func cutting(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			// Read first: the reset has to meet the client when it waits for the answer.
			if _, err := connection.Read(make([]byte, 1)); err == nil {
				err = connection.(*net.TCPConn).SetLinger(0)
				if err != nil {
					t.Error(err)
				}
			}
			connection.Close()
		}
	}()
	return listener.Addr().String()
}

func TestVerifyTLS(t *testing.T) {
	address, authority := serving(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	noListener := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()

	for name, tc := range map[string]struct {
		ctx                 context.Context
		address, serverName string
		bundle              []byte
		says                string
	}{
		"right":                  {address: address, serverName: "example.com", bundle: authority},
		"one of two in a bundle": {address: address, serverName: "example.com", bundle: append([]byte(anotherAuthority), authority...)},
		"another name": {address: address, serverName: "metrics-server.metrics.svc", bundle: authority,
			says: "not metrics-server.metrics.svc"},
		"another authority": {address: address, serverName: "example.com", bundle: []byte(anotherAuthority),
			says: "signed by unknown authority"},
		"no bundle":       {address: address, serverName: "example.com", says: "the caBundle has no certificate"},
		"nothing listens": {address: noListener, serverName: "example.com", bundle: authority, says: "connection refused"},
		"no TLS": {address: plain.Listener.Addr().String(), serverName: "example.com", bundle: authority,
			says: "does not look like a TLS handshake"},
		"a connection that is cut": {address: cutting(t), serverName: "example.com", bundle: authority, says: "connection reset by peer"},
		"no more time": {ctx: canceled, address: address, serverName: "example.com", bundle: authority,
			says: "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.ctx != nil {
				ctx = tc.ctx
			}
			err := VerifyTLS(ctx, tc.address, tc.serverName, tc.bundle)
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("error %v, want %q", err, tc.says)
			}
			if len(tc.bundle) > 0 && !strings.Contains(err.Error(), tc.address) {
				t.Errorf("%q does not name the endpoint %s", err, tc.address)
			}
			// The message goes into a status: our own port, which differs with each try, would write it again each time.
			for _, found := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(err.Error(), -1) {
				if found != tc.address {
					t.Errorf("%q has the address %s, which is not the endpoint's", err, found)
				}
			}
		})
	}
}

// TestVerifyTLSEnds at the deadline, and sends and reads nothing but a handshake: what listens decides neither how long it takes nor
// how much is read.
func TestVerifyTLSEnds(t *testing.T) {
	authority := []byte(anotherAuthority)
	for name, answer := range map[string]func(net.Conn){
		"nothing is answered": func(net.Conn) {},
		"an answer without end": func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c, err := listener.Accept(); err == nil {
					answer(c)
					_, _ = io.Copy(io.Discard, c) // Until the other side closes.
					_ = c.Close()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := VerifyTLS(ctx, listener.Addr().String(), "a", authority); err == nil {
				t.Error("it verifies")
			}
			<-done
			_ = listener.Close()
		})
	}
}
