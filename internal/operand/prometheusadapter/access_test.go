// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/operandtest"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// certificate returns one that is its own authority, for a name that is not the host of a test server.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"gateway.internal"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	content, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: content})
}

// gateway is a Prometheus that answers only requests which admits admits. With clients it demands a certificate of that authority.
func gateway(t *testing.T, cert, key, clients []byte, admits func(*http.Request) bool) string {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/api/v1/query" || r.FormValue("query") != "up" || !admits(r) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if len(clients) > 0 {
		server.TLS.ClientCAs, server.TLS.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		server.TLS.ClientCAs.AppendCertsFromPEM(clients)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL + "/tenant"
}

// adapterClient is the adapter's client as its main package makes it of its arguments and the operator's Secret.
func adapterClient(t *testing.T, proposal operand.Proposal) adapter.Client {
	t.Helper()
	c := *proposal.Component
	values := map[string]string{}
	variables, err := json.Marshal(operandtest.ValueAt(t, c, "/spec/template/spec/containers/0/env"))
	if err != nil {
		t.Fatal(err)
	}
	var decoded []corev1.EnvVar
	if err := json.Unmarshal(variables, &decoded); err != nil {
		t.Fatal(err)
	}
	for _, variable := range decoded {
		from := variable.ValueFrom.SecretKeyRef
		if from.Name != c.AccessSecret {
			t.Errorf("%s is of Secret %s", variable.Name, from.Name)
		}
		values["$("+variable.Name+")"] = string(proposal.Access[from.Key])
	}
	headers, verb, client := http.Header{}, http.MethodGet, http.DefaultClient
	for _, arg := range operandtest.Args(t, c) {
		flag, value, _ := strings.Cut(arg, "=")
		switch flag {
		case "--prometheus-header":
			name, variable, _ := strings.Cut(value, "=")
			headers.Add(name, values[variable])
		case "--prometheus-verb":
			verb = value
		case "--prometheus-auth-config":
			client = &http.Client{Transport: transportOf(t, proposal.Access[filepath.Base(value)])}
		case "--prometheus-token-file", "--prometheus-ca-file", "--prometheus-client-tls-cert-file":
			t.Errorf("%s is given beside a kubeconfig, of which the adapter would take nothing", arg)
		}
	}
	base, err := url.Parse(argument(t, c, "--prometheus-url"))
	if err != nil {
		t.Fatal(err)
	}
	return adapter.NewClient(client, base, headers, verb)
}

func argument(t *testing.T, c operand.Component, flag string) string {
	t.Helper()
	value, found := operandtest.Arg(t, c, flag)
	if !found {
		t.Fatalf("there is no %s", flag)
	}
	return value
}

// transportOf reads a kubeconfig as the adapter does for --prometheus-auth-config.
func transportOf(t *testing.T, kubeconfig []byte) http.RoundTripper {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: file},
		&clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

// TestTheAdapterHasTheOperatorsAccess: what answers the operator's query answers the adapter's client too, and no argument or variable
// of its pods has a secret.
func TestTheAdapterHasTheOperatorsAccess(t *testing.T) {
	cert, key := certificate(t)
	client, clientKey := certificate(t)
	admin := func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "admin" && password == "s3cret"
	}
	bearer := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer s3cret" }
	team := func(r *http.Request) bool {
		return r.Header.Get("X-Scope-OrgID") == "s3cret" && r.Method == http.MethodPost
	}
	for name, tc := range map[string]struct {
		clients []byte
		admits  func(*http.Request) bool
		access  prometheus.Access
	}{
		"basic auth, a CA and another name": {nil, admin,
			prometheus.Access{Username: []byte("admin\n"), Password: []byte("s3cret\n"), CA: cert, ServerName: "gateway.internal"}},
		"a token from a file, any certificate": {nil, bearer, prometheus.Access{Token: []byte("s3cret\n"), Insecure: true}},
		"a token, another name":                {nil, bearer, prometheus.Access{Token: []byte("s3cret"), CA: cert, ServerName: "gateway.internal"}},
		"a client certificate, any certificate": {client, func(*http.Request) bool { return true },
			prometheus.Access{ClientCert: client, ClientKey: clientKey, Insecure: true}},
		"a tenant's header, by POST": {nil, team, prometheus.Access{Insecure: true, Method: v1alpha1.QueryPOST,
			Headers: []prometheus.Header{{Name: "X-Scope-OrgID", Value: []byte("s3cret\n")}, {Name: "X-Other", Value: []byte("a=b")}}}},
		"a header that is a credential": {nil, bearer, prometheus.Access{CA: cert, ServerName: "gateway.internal",
			Headers: []prometheus.Header{{Name: "authorization", Value: []byte("Bearer s3cret")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			base := gateway(t, cert, key, tc.clients, tc.admits)
			in := input()
			in.Spec.Prometheus = v1alpha1.PrometheusSpec{URL: base, QueryMethod: tc.access.Method,
				Auth: &v1alpha1.PrometheusAuth{}, TLS: &v1alpha1.ClientTLS{}}
			in.Facts.Prometheus.Target.URL, in.Facts.Prometheus.Access = base, tc.access
			proposal := plan(t, in)
			if _, err := adapterClient(t, proposal).Query(t.Context(), 0, "up"); err != nil {
				t.Error(err)
			}
			for _, patch := range proposal.Component.Patches {
				if strings.Contains(patch.Content, "s3cret") {
					t.Errorf("the pods show a secret: %s", patch.Content)
				}
			}
			stored, err := json.Marshal(proposal.Component)
			if err != nil || strings.Contains(string(stored), "s3cret") || strings.Contains(string(stored), "czNjcmV0") {
				t.Errorf("the component, which is stored, has a secret (%v): %s", err, stored)
			}
		})
	}
}

// TestFilesOfTheUserSuffice for what an earlier release could say: an upgrade replaces no pod, and there is no Secret of ours.
func TestFilesOfTheUserSuffice(t *testing.T) {
	in := input()
	token(&in)
	in.Spec.Prometheus.QueryMethod, in.Spec.Prometheus.Dialect = v1alpha1.QueryGET, v1alpha1.DialectPromQL
	in.Spec.Prometheus.TLS = &v1alpha1.ClientTLS{Verification: v1alpha1.TLSVerify, ClientCert: &v1alpha1.NameReference{Name: "client"},
		CA: &v1alpha1.CertificateAuthority{Secret: &v1alpha1.KeyReference{Name: "ca", Key: "ca.crt"}}}
	in.Facts.Prometheus.Access.CA, in.Facts.Prometheus.Access.ClientCert = []byte("ca"), []byte("cert")
	proposal := plan(t, in)
	if proposal.Access != nil || proposal.Component.AccessSecret != "" {
		t.Errorf("Secret %q with %d keys", proposal.Component.AccessSecret, len(proposal.Access))
	}
	for _, flag := range []string{"--prometheus-auth-config", "--prometheus-header", "--prometheus-verb"} {
		if value, found := operandtest.Arg(t, *proposal.Component, flag); found {
			t.Errorf("%s=%s", flag, value)
		}
	}
}

// TestAccessOfARetainedForm is known as long as that is what the spec names: then its Secret is repaired.
func TestAccessOfARetainedForm(t *testing.T) {
	in := input()
	in.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BasicAuth: &v1alpha1.BasicAuth{}}
	in.Facts.Prometheus.Access.Username, in.Facts.Prometheus.Access.Password = []byte("admin"), []byte("one")
	in.LastGood = applied(t, in)
	elsewhere := in
	elsewhere.Facts.Prometheus.Target.URL, elsewhere.Facts.Prometheus.Answer = "https://elsewhere", probe.Answer{}
	if proposal := plan(t, elsewhere); proposal.Retained == "" || len(proposal.Access) == 0 {
		t.Errorf("retained %q with %d keys", proposal.Retained, len(proposal.Access))
	}
	elsewhere.Facts.Prometheus.Access.Password = []byte("two")
	if proposal := plan(t, elsewhere); proposal.Retained == "" || proposal.Access != nil {
		t.Errorf("retained %q with %d keys of another password", proposal.Retained, len(proposal.Access))
	}
}

// TestAdapterURL is where the adapter queries, also when only that has changed, and a NetworkPolicy does not stop what a proxy in its
// pod connects to.
func TestAdapterURL(t *testing.T) {
	in := input()
	in.LastGood = applied(t, in)
	in.Spec.Prometheus.AdapterURL = "http://localhost:8005/workspaces/ws-1"
	proposal := plan(t, in)
	if got := argument(t, *proposal.Component, "--prometheus-url"); got != in.Spec.Prometheus.AdapterURL {
		t.Errorf("--prometheus-url=%s", got)
	}
	var opened bool
	for _, operation := range operandtest.Operations(t, *proposal.Component, "NetworkPolicy") {
		value, _ := operation.Value.(map[string]any)
		_, port := value["port"]
		opened = opened || value["protocol"] == "TCP" && !port
	}
	if !opened {
		t.Error("the NetworkPolicy does not let every port out")
	}
	in.Facts.Prometheus.Answer = probe.Answer{}
	if retained := plan(t, in).Retained; !strings.Contains(retained, "it keeps querying http://prometheus.monitoring.svc:9090, ") {
		t.Errorf("retained: %q", retained)
	}
}

// TestAccessIsSaid where it weakens the metrics, or where nothing can be judged.
func TestAccessIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(*operand.Input)
		condition string
		says      string
	}{
		"any certificate": {func(in *operand.Input) { in.Facts.Prometheus.Access.Insecure = true }, v1alpha1.ConditionPrometheusReady,
			"spec.prometheus.tls.verification is Insecure: nothing verifies"},
		"the adapter's own pod": {func(in *operand.Input) { in.Spec.Prometheus.AdapterURL = "http://127.0.0.1:8005" }, v1alpha1.ConditionPrometheusReady,
			"spec.prometheus.adapterURL http://127.0.0.1:8005, in its own pod"},
		"another URL": {func(in *operand.Input) { in.Spec.Prometheus.AdapterURL = "http://thanos:9090" }, "", ""},
		"MetricsQL": {func(in *operand.Input) { in.Spec.Prometheus.Dialect = v1alpha1.DialectMetricsQL }, v1alpha1.ConditionRulesAccepted,
			"spec.prometheus.dialect is MetricsQL"},
	} {
		in := input()
		tc.change(&in)
		findings := plan(t, in).Findings
		if tc.says == "" {
			if len(findings) > 0 {
				t.Errorf("%s: %+v", name, findings)
			}
			continue
		}
		if len(findings) != 1 || findings[0].Condition != tc.condition || findings[0].Reason != "" || !strings.Contains(findings[0].Message, tc.says) {
			t.Errorf("%s: %+v", name, findings)
		}
	}
}

// TestDialect: what only the store can judge is rejected as PromQL, and in use as MetricsQL, at once when the field changes.
func TestDialect(t *testing.T) {
	in := input()
	in.Spec.CustomMetrics.Rules = nil
	in.Spec.ExternalMetrics.Rules[0].MetricsQuery = "sum(rate(<<.Series>>{<<.LabelMatchers>>})) default 0"
	o, _ := newOperand()
	if diff := states(planAgain(t, o, in)); diff[external+"depth"] != rejected {
		t.Errorf("as PromQL: %v", diff)
	}
	in.Spec.Prometheus.Dialect = v1alpha1.DialectMetricsQL
	if diff := states(planAgain(t, o, in)); diff[external+"depth"] != inUse {
		t.Errorf("as MetricsQL: %v", diff)
	}
}
