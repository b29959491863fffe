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
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// answering is a Prometheus that answers a query as the real one does.
func answering(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/query" || r.FormValue("query") == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000,"1"]}]}}`)
}

// guarded answers only who presents the token.
func guarded(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		answering(w, r)
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// serveTLS returns a server's URL and its certificate authority. With a client authority it demands a certificate.
func serveTLS(t *testing.T, clients []byte) (address string, ca []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(answering))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(clients) > 0 {
		server.TLS = &tls.Config{ClientCAs: x509.NewCertPool(), ClientAuth: tls.RequireAndVerifyClientCert}
		server.TLS.ClientCAs.AppendCertsFromPEM(clients)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestAsk(t *testing.T) {
	open := serve(t, answering)
	secured, ca := serveTLS(t, nil)
	token := Access{Token: []byte("secret")}
	for name, tc := range map[string]struct {
		url    string
		access Access
	}{
		"open":                            {open, Access{}},
		"a slash at the end of the URL":   {open + "/", Access{}},
		"a token":                         {serve(t, guarded("secret")), token},
		"a token that ends in a newline":  {serve(t, guarded("secret")), Access{Token: []byte("secret\n")}},
		"a token that is not demanded":    {open, token},
		"TLS with the right authority":    {secured, Access{CA: ca}},
		"TLS with several authorities":    {secured, Access{CA: append(selfSigned(t).cert, ca...)}},
		"TLS, a token that is not needed": {secured, Access{CA: ca, Token: []byte("secret")}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Ask(t.Context(), tc.url, tc.access); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAskUnderPrefix keeps the path of the URL: routePrefix of a Prometheus, or the tenant of a Mimir.
func TestAskUnderPrefix(t *testing.T) {
	url := serve(t, http.StripPrefix("/prometheus", http.HandlerFunc(answering)).ServeHTTP)
	if err := Ask(t.Context(), url+"/prometheus", Access{}); err != nil {
		t.Error(err)
	}
}

func TestAskWithClientCertificate(t *testing.T) {
	client := selfSigned(t)
	url, ca := serveTLS(t, client.cert)
	if err := Ask(t.Context(), url, Access{CA: ca, ClientCert: client.cert, ClientKey: client.key}); err != nil {
		t.Error(err)
	}
	if err := Ask(t.Context(), url, Access{CA: ca}); err == nil {
		t.Error("answered without a client certificate")
	}
}

type pair struct{ cert, key []byte }

// selfSigned returns a client certificate that is its own authority.
func selfSigned(t *testing.T) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "client"},
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

// TestAskSaysWhatIsWrong in words that lead a person to the field to look at.
func TestAskSaysWhatIsWrong(t *testing.T) {
	secured, ca := serveTLS(t, nil)
	closed := httptest.NewServer(http.HandlerFunc(answering))
	closed.Close()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	respond := func(status int, body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	answer := func(status int) string { return respond(status, "") }
	for name, tc := range map[string]struct {
		url    string
		access Access
		ctx    context.Context
		cause  Cause
		says   []string
	}{
		"no token": {url: serve(t, guarded("secret")), cause: Unauthorized,
			says: []string{"401 Unauthorized and no credentials are presented", "spec.prometheus.auth.bearerToken", "spec.prometheus.tls.clientCert"}},
		"another token": {url: serve(t, guarded("secret")), access: Access{Token: []byte("no")}, cause: Unauthorized,
			says: []string{"401 Unauthorized to the credentials", "valid", "spec.prometheus.auth.bearerToken"}},
		"a token without permission": {url: answer(http.StatusForbidden), access: Access{Token: []byte("no")}, cause: Unauthorized,
			says: []string{"403 Forbidden to the credentials", "allow", "spec.prometheus.auth.bearerToken"}},
		"no authority":  {url: secured, cause: Untrusted, says: []string{"unknown authority", "spec.prometheus.tls.ca"}},
		"the wrong one": {url: secured, access: Access{CA: selfSigned(t).cert}, cause: Untrusted, says: []string{"unknown authority"}},
		"no PEM": {url: secured, access: Access{CA: []byte("junk")}, cause: BadCredentials,
			says: []string{"spec.prometheus.tls.ca", "PEM"}},
		"half a client": {url: secured, access: Access{CA: ca, ClientCert: selfSigned(t).cert}, cause: BadCredentials,
			says: []string{"spec.prometheus.tls.clientCert"}},
		"a wrong path": {url: serve(t, answering) + "/prefix", cause: NotPrometheus, says: []string{"404", "path"}},
		"a web page": {url: respond(http.StatusOK, "<html>welcome</html>"), cause: NotPrometheus,
			says: []string{"web page", "not the Prometheus HTTP API", "path", "/select/0/prometheus", "the operator's own pod sent the query"}},
		"some other JSON": {url: respond(http.StatusOK, "{}"), cause: NotPrometheus, says: []string{"not the Prometheus HTTP API", "path"}},
		"no TLS":          {url: strings.Replace(answer(http.StatusOK), "http:", "https:", 1), cause: NotPrometheus, says: []string{"does not speak TLS", "scheme"}},
		"still starting":  {url: respond(http.StatusServiceUnavailable, "Service Unavailable"), cause: Unreachable, says: []string{"503"}},
		"nothing listens on localhost": {url: closed.URL, cause: OwnPod, says: []string{"connection refused", "the operator's own pod sent the query",
			"spec.prometheus.adapterURL to " + closed.URL}},
		"a connection that is cut": {url: serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), cause: Unreachable,
			says: []string{"EOF"}},
		"no answer in time": {url: closed.URL, ctx: canceled, cause: Unreachable, says: []string{"context canceled"}},
		"no URL":            {url: "http://[", cause: NotPrometheus, says: []string{"http://[", "spec.prometheus.url"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.ctx != nil {
				ctx = tc.ctx
			}
			err := Ask(ctx, tc.url, tc.access)
			var unusable *UnusableError
			if !errors.As(err, &unusable) {
				t.Fatalf("error %v, want an UnusableError", err)
			}
			if unusable.Cause != tc.cause {
				t.Errorf("cause %d, want %d: %v", unusable.Cause, tc.cause, err)
			}
			for _, part := range tc.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "welcome") {
				t.Errorf("%q repeats the page, which may change with every answer", err)
			}
			if again := Ask(ctx, tc.url, tc.access); again.Error() != err.Error() {
				t.Errorf("%q the first time, then %q", err, again)
			}
		})
	}
}

// TestDigest changes with each credential, and with where one ends and the next begins.
func TestDigest(t *testing.T) {
	digests := map[string]string{}
	for name, access := range map[string]Access{
		"none":          {},
		"token":         {Token: []byte("ab")},
		"other token":   {Token: []byte("ac")},
		"CA":            {CA: []byte("ab")},
		"certificate":   {ClientCert: []byte("ab")},
		"key":           {ClientKey: []byte("ab")},
		"token and CA":  {Token: []byte("a"), CA: []byte("b")},
		"the other way": {Token: []byte("b"), CA: []byte("a")},
		"with a length": {Token: []byte("a1:b")},
		"user":          {Username: []byte("ab")},
		"password":      {Password: []byte("ab")},
		"header":        {Headers: []Header{{"X-A", []byte("ab")}}},
		"other header":  {Headers: []Header{{"X-B", []byte("ab")}}},
		"server name":   {ServerName: "ab"},
		"insecure":      {Insecure: true},
	} {
		digest := access.Digest()
		if digest != access.Digest() {
			t.Errorf("%s: the digest changes by itself", name)
		}
		if other, taken := digests[digest]; taken {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		digests[digest] = name
	}
}
