// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// basic answers only the user, and says what it demands as Prometheus itself does.
func basic(user, password string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		answering(w, r)
	}
}

// tenant answers only requests for a tenant, as Mimir does.
func tenant(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Scope-OrgID") != id {
			http.Error(w, "no org id", http.StatusUnauthorized)
			return
		}
		answering(w, r)
	}
}

// only answers requests of one method.
func only(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			http.Error(w, "not allowed", http.StatusMethodNotAllowed)
			return
		}
		answering(w, r)
	}
}

// serveNamed returns the URL of a server whose self-signed certificate is for other names than the host of the URL, and that
// certificate.
func serveNamed(t *testing.T, names ...string) (address string, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(answering))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func user(name, password string) Access {
	return Access{Username: []byte(name), Password: []byte(password)}
}

// TestAskByEachKind of access that spec.prometheus can name.
func TestAskByEachKind(t *testing.T) {
	named, ca := serveNamed(t, "prometheus.internal")
	header := func(value string) Access { return Access{Headers: []Header{{"x-scope-orgid", []byte(value)}}} }
	for name, tc := range map[string]struct {
		url    string
		access Access
	}{
		"basic auth":                            {serve(t, basic("admin", "secret")), user("admin", "secret")},
		"basic auth from files":                 {serve(t, basic("admin", " secret ")), user("admin\n", " secret \r\n")},
		"a header":                              {serve(t, tenant("team-a")), header("team-a")},
		"a header from a file":                  {serve(t, tenant("team-a")), header("team-a\n")},
		"a header that is a credential":         {serve(t, guarded("secret")), Access{Headers: []Header{{"Authorization", []byte("Bearer secret")}}}},
		"a certificate for another name":        {named, Access{CA: ca, ServerName: "prometheus.internal"}},
		"any certificate":                       {named, Access{Insecure: true}},
		"any certificate of a server by name":   {named, Access{Insecure: true, ServerName: "other.internal"}},
		"by GET where nothing else is served":   {serve(t, only(http.MethodGet)), Access{}},
		"by GET, set":                           {serve(t, only(http.MethodGet)), Access{Method: v1alpha1.QueryGET}},
		"by POST where nothing else is served":  {serve(t, only(http.MethodPost)), Access{Method: v1alpha1.QueryPOST}},
		"by GET with basic auth under a prefix": {serve(t, http.StripPrefix("/select/0/prometheus", basic("a", "b")).ServeHTTP) + "/select/0/prometheus/", user("a", "b")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Ask(t.Context(), tc.url, tc.access); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFaultsNameTheField by which each is corrected.
func TestFaultsNameTheField(t *testing.T) {
	named, ca := serveNamed(t, "prometheus.internal", "prometheus.example.com")
	nameless, namelessCA := serveNamed(t)
	respond := func(status int, body string, headers ...string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	asks := func(scheme string) string {
		return respond(http.StatusUnauthorized, "", "WWW-Authenticate", scheme+` realm="x"`)
	}
	bearer := Access{Token: []byte("secret")}
	for name, tc := range map[string]struct {
		url    string
		access Access
		cause  Cause
		says   string
	}{
		"basic auth, and nothing presented": {serve(t, basic("a", "b")), Access{}, Unauthorized,
			"401 Unauthorized and no credentials are presented; set spec.prometheus.auth.basicAuth"},
		"basic auth, and a token presented": {asks("Basic"), bearer, Unauthorized,
			"to the credentials of spec.prometheus.auth.bearerToken, and demands others; set spec.prometheus.auth.basicAuth"},
		"basic auth, and another password": {serve(t, basic("a", "b")), user("a", "c"), Unauthorized,
			"put valid ones where spec.prometheus.auth.basicAuth leads to"},
		"a token, and nothing presented": {asks("Bearer"), Access{}, Unauthorized, "; set spec.prometheus.auth.bearerToken"},
		"a user without permission":      {respond(http.StatusForbidden, ""), user("a", "b"), Unauthorized, "allow their owner to query, or name others in spec.prometheus.auth.basicAuth"},
		"the tenant is missing": {serve(t, tenant("a")), bearer, Unauthorized,
			"the id of a tenant; name it in spec.prometheus.auth.headers, as X-Scope-OrgID"},
		"AWS": {respond(http.StatusForbidden, `{"message":"Missing Authentication Token"}`, "X-Amzn-Requestid", "1"), Access{}, Unauthorized, "SigV4"},
		"a proxy that demands a client certificate": {respond(http.StatusBadRequest, "<html>No required SSL certificate was sent</html>"), Access{},
			Unauthorized, "set spec.prometheus.tls.clientCert"},
		"TLS at an http URL": {respond(http.StatusBadRequest, "Client sent an HTTP request to an HTTPS server."), Access{}, NotPrometheus,
			"set the scheme of spec.prometheus.url to https"},
		"another name": {named, Access{CA: ca}, Untrusted,
			"; set spec.prometheus.tls.serverName to a name that it is valid for, or give Prometheus a certificate for host 127.0.0.1"},
		"no name in the certificate": {nameless, Access{CA: namelessCA}, Untrusted,
			"no subject alternative name, so no name verifies it: give Prometheus a certificate for host 127.0.0.1, or accept any"},
		"self-signed":             {named, Access{ServerName: "prometheus.internal"}, Untrusted, "set spec.prometheus.tls.ca to the authority that signed it"},
		"GET is refused":          {serve(t, only(http.MethodPost)), Access{}, MethodRefused, "405 Method Not Allowed to a query by GET; set spec.prometheus.queryMethod to POST"},
		"POST is refused":         {serve(t, only(http.MethodGet)), Access{Method: v1alpha1.QueryPOST}, MethodRefused, "405 Method Not Allowed to a query by POST; set spec.prometheus.queryMethod to GET"},
		"a URL that is too long":  {respond(http.StatusRequestURITooLong, ""), Access{}, MethodRefused, "set spec.prometheus.queryMethod to POST"},
		"a path that is missing":  {serve(t, http.NotFound), Access{}, NotPrometheus, "404 Not Found; correct the path of spec.prometheus.url"},
		"a page":                  {respond(http.StatusOK, "hello", "Content-Type", "text/html; charset=utf-8"), Access{}, NotPrometheus, "correct the path of spec.prometheus.url"},
		"a token of two lines":    {named, Access{Token: []byte("a\nb")}, BadCredentials, "spec.prometheus.auth.bearerToken names has a line break"},
		"a header of two lines":   {named, Access{Headers: []Header{{"X-A", []byte("a\nb")}}}, BadCredentials, "spec.prometheus.auth.headers[X-A] names has a line break"},
		"a colon in a user name":  {named, user("a:b", "c"), BadCredentials, "spec.prometheus.auth.basicAuth.username names has a colon"},
		"an error page may pass":  {respond(http.StatusBadGateway, "<html>", "Content-Type", "text/html"), Access{}, Unreachable, "502"},
		"Prometheus' own refusal": {respond(http.StatusUnprocessableEntity, `{"status":"error","errorType":"execution","error":"too many samples"}`), Access{}, Unreachable, "too many samples"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Ask(t.Context(), tc.url, tc.access)
			var unusable *UnusableError
			if !errors.As(err, &unusable) {
				t.Fatalf("error %v, want an UnusableError", err)
			}
			if unusable.Cause != tc.cause || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("cause %d, want %d and %q: %v", unusable.Cause, tc.cause, tc.says, err)
			}
			for _, secret := range []string{"secret", "Basic ", "hello"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q repeats %q", err, secret)
				}
			}
		})
	}
}

// TestAskForAdapter names the field that its URL comes from.
func TestAskForAdapter(t *testing.T) {
	err := AskForAdapter(t.Context(), serve(t, http.NotFound), Access{})
	if err == nil || !strings.Contains(err.Error(), "the path of spec.prometheus.adapterURL") {
		t.Errorf("error %v", err)
	}
}

// TestClientSendsOneRequest for each query: a refused method is said, and not tried again by another that the adapter does not use.
func TestClientSendsOneRequest(t *testing.T) {
	for _, method := range []v1alpha1.QueryMethod{v1alpha1.QueryGET, v1alpha1.QueryPOST} {
		for _, status := range []int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented} {
			var requests atomic.Int32
			base := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if r.Method != string(method) || r.FormValue("query") != "up" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.WriteHeader(status)
			})
			client, err := NewClient(base, Access{Method: method}, 1<<10)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = client.Query(t.Context(), "up", time.Unix(0, 0))
			if got := client.Unusable(err).Status; got != status {
				t.Errorf("%s, %d: status %d of %v", method, status, got, err)
			}
			client.Close()
			if got := requests.Load(); got != 1 {
				t.Errorf("%s, %d: %d requests", method, status, got)
			}
		}
	}
}

// TestClientIsForEveryQuery: endpoints that have no form, several at once, and a bound of its own.
func TestClientIsForEveryQuery(t *testing.T) {
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Scope-Orgid") != "a" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/api/v1/targets":
			fmt.Fprint(w, `{"status":"success","data":{"activeTargets":[{"health":"up"}],"droppedTargets":[]}}`)
		case "/api/v1/series":
			fmt.Fprintf(w, `{"status":"success","data":[{"job":%q}]}`, r.FormValue("match[]"))
		default:
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[]},"padding":%q}`, strings.Repeat("a", 4<<10))
		}
	})
	client, err := NewClient(base, Access{Headers: []Header{{"X-Scope-OrgID", []byte("a")}}}, 4<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error)
	for range 4 {
		go func() {
			targets, err := client.Targets(ctx)
			if err == nil && len(targets.Active) != 1 {
				err = fmt.Errorf("targets %v", targets)
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	series, _, err := client.Series(ctx, []string{"up"}, time.Time{}, time.Time{})
	if err != nil || len(series) != 1 || series[0]["job"] != "up" {
		t.Errorf("series %v, error %v", series, err)
	}
	if _, _, err = client.Query(ctx, "up", time.Time{}); err == nil || !strings.Contains(client.Unusable(err).Error(), "longer than 4 KiB") {
		t.Errorf("error %v", err)
	}
}

// TestDigestOfAnEarlierRelease: an upgrade must not replace the pods of an adapter, which carry it.
func TestDigestOfAnEarlierRelease(t *testing.T) {
	access := Access{Token: []byte("token"), CA: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key")}
	if got, want := access.Digest(), "830eec1ebf651ac5"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestLoopback(t *testing.T) {
	for base, want := range map[string]bool{
		"http://localhost:8005/workspaces/a": true, "http://127.0.0.1": true, "http://127.1.2.3:80": true, "http://[::1]:9090": true,
		"http://localhost.example.com": false, "http://10.0.0.1": false, "http://prometheus.monitoring.svc": false, "": false,
	} {
		if got := Loopback(base); got != want {
			t.Errorf("%q: %t", base, got)
		}
	}
}
